#include "control/target_judge.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace shunt::control {

void TargetJudge::change(TargetState to, std::string why, Time now) {
  state_ = to;
  why_ = std::move(why);
  since_ = now;
  heard_ = now;
  forget_silence();
  failing_ = false;
  window_ = last_window_ = {};
  successes_ = 0;
  wait_set_ = false;
}

void TargetJudge::go_down(std::string why, bool by_answers, Time now) {
  if (state_ == TargetState::kOnTrial) {
    doublings_ = std::min(doublings_ + 1, kMostDoublings);
  } else {
    const bool flaps = recovered_ && now - since_ < kFlap;
    if (flaps) flaps_ = std::min(flaps_ + 1, kMostFlaps);
    if (now - since_ >= kSteady) flaps_ = 0;
    doublings_ = flaps_;
    down_by_answers_ = by_answers;
  }
  fell_ = now;
  change(TargetState::kDown, std::move(why), now);
}

void TargetJudge::forget_silence() {
  silent_ = unreachable_ = malformed_ = 0;
  probe_silent_ = false;
}

void TargetJudge::note_window(const TargetEvents& events, Time now) {
  if (now - window_start_ >= kWindow) {
    last_window_ = now - window_start_ < 2 * kWindow ? window_ : Window{};
    window_ = {};
    window_start_ = now;
  }
  window_ = window_ + Window{events.answered, events.servfails, events.refused, events.failed_names};
}

bool TargetJudge::is_failing() const {
  const Window sum = window_ + last_window_;
  return sum.answered != 0 && std::popcount(sum.failed_names) >= kMinFailedNames &&
         static_cast<double>(sum.servfails + sum.refused) >=
             kFailureShare * static_cast<double>(sum.answered);
}

std::string TargetJudge::silent_text() const {
  std::string text = fmt::format("{} {} in a row unanswered", silent_, silent_ == 1 ? "try" : "tries");
  if (unreachable_ != 0) text += fmt::format(", {} refused by its host", unreachable_);
  if (malformed_ != 0) text += fmt::format(", {} malformed answers", malformed_);
  return text;
}

std::string TargetJudge::failing_text() const {
  const Window sum = window_ + last_window_;
  const double share =
      100.0 * static_cast<double>(sum.servfails + sum.refused) / static_cast<double>(sum.answered);
  return fmt::format("{} share {:.0f} % over {} or more different names",
                     sum.servfails >= sum.refused ? "SERVFAIL" : "REFUSED", share,
                     std::popcount(sum.failed_names));
}

bool TargetJudge::fall_if_silent(Time now) {
  if (silent_ < settings_.fall || !probe_silent_) return false;
  go_down(silent_text(), false, now);
  return true;
}

bool TargetJudge::judge_up(const TargetEvents& events, bool others_up, Time now) {
  if (events.answered != 0) {
    forget_silence();
    heard_ = now;
  } else {
    silent_ += events.timeouts + events.unreachable;
    unreachable_ += events.unreachable;
    malformed_ += events.malformed;
  }
  failing_ = others_up && is_failing();
  return fall_if_silent(now);
}

// `answers` more in a row.
bool TargetJudge::succeed(unsigned answers, Time now) {
  successes_ += answers;
  if (successes_ < needed()) return false;
  recovered_ = true;
  doublings_ = 0;
  change(TargetState::kUp, fmt::format("{} answers in a row", needed()), now);
  return true;
}

bool TargetJudge::judge_trial(const TargetEvents& events, Time now) {
  // What was sent before it went down may run out only now.
  const std::uint64_t lost = now - fell_ < kLongestTry ? 0 : events.timeouts + events.unreachable;
  const std::uint64_t bad = std::min(events.answered, events.servfails + events.refused);
  if (events.answered == 0) {
    if (lost == 0) return false;
    go_down("unanswered while on trial", down_by_answers_, now);
    return true;
  }
  if (down_by_answers_ && bad == events.answered) {
    go_down("its answers failed while on trial", true, now);
    return true;
  }
  // However many answers come at once, they tell of one moment.
  return lost == 0 && succeed(1, now);
}

bool TargetJudge::take(const TargetEvents& events, bool others_up, Time now) {
  note_window(events, now);
  switch (state_) {
    case TargetState::kUp:
      return judge_up(events, others_up, now);
    case TargetState::kOnTrial:
      return judge_trial(events, now);
    case TargetState::kDown:
      // A late answer: it lives, perhaps.
      if (events.answered != 0 && wait_set_ && !down_by_answers_) next_probe_ = now;
      return false;
  }
  return false;
}

bool TargetJudge::wants_probe(bool often, Time now, double chance) {
  if (probing_) return false;
  bool due = false;
  if (state_ == TargetState::kUp) {
    const auto quiet = interval(often ? 1 : kIdleIntervals);
    due = (silent_ != 0 && now - last_probe_ >= interval(0.25)) ||
          (failing_ && now - last_probe_ >= interval(1)) ||
          (now - heard_ >= quiet && now - last_probe_ >= quiet);
  } else {
    if (!wait_set_) {
      const double intervals = state_ == TargetState::kOnTrial ? 0.25 : 0.5 * (1u << doublings_);
      next_probe_ = now + interval(intervals * (0.75 + 0.5 * chance));
      wait_set_ = true;
    }
    due = now >= next_probe_;
  }
  if (!due) return false;
  probing_ = true;
  wait_set_ = false;
  last_probe_ = now;
  return true;
}

bool TargetJudge::probed_up(Probe result, bool others_up, Time now) {
  if (result == Probe::kSilent) {
    ++silent_;
    probe_silent_ = true;
    return fall_if_silent(now);
  }
  forget_silence();
  heard_ = now;
  if (!failing_) return false;
  if (result == Probe::kBad && others_up) {
    go_down(failing_text(), true, now);
    return true;
  }
  // It answers what it is to answer: the names are broken, not the target.
  failing_ = false;
  window_ = last_window_ = {};
  return false;
}

bool TargetJudge::probed(Probe result, bool others_up, Time now) {
  if (!probing_) return false;
  probing_ = false;
  if (state_ == TargetState::kUp) return probed_up(result, others_up, now);
  if (result == Probe::kSilent) {
    if (state_ == TargetState::kOnTrial) {
      go_down("a probe unanswered while on trial", down_by_answers_, now);
      return true;
    }
    doublings_ = std::min(doublings_ + 1, kMostDoublings);
    return false;
  }
  // Where it went down for bad answers, a bad one is no success, and no failure either: clients' questions
  // decide.
  const unsigned counts = result == Probe::kBad && down_by_answers_ ? 0 : 1;
  const bool begins = state_ == TargetState::kDown;
  if (begins) change(TargetState::kOnTrial, "it answered a probe", now);
  return succeed(counts, now) || begins;
}

}  // namespace shunt::control
