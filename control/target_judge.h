// Whether one target is up: a judge that is told what its questions and probes met, and says when to probe.
// Free of clocks, packets and DPDK, so that every fault can be played to it.
//
//   up        It goes down after `fall` tries in a row without an answer, if a probe that is sent at the
//   first of them
//             isn't answered either: so neither a lost packet nor names that it can't resolve turn it down.
//             It also goes down where nine answers of ten are SERVFAIL or REFUSED, over kMinFailedNames
//             different names, if the probe confirms it and another target can take over: a target that
//             answers badly is better than none. It is probed too where nothing was asked of it for a while,
//             so that one in reserve is known to be good.
//   down      Nothing is sent to it but probes, after half an interval at first, then with doubling waits of
//   up to
//             four, each off by up to a quarter, so that targets that went down together aren't probed
//             together.
//   on trial  It answered a probe. A few questions of clients go to it, and probes at every quarter of an
//   interval;
//             `rise` answers bring it up. A failure takes it down again.
//
// A target that flaps has to give twice as many answers each time, up to eight times as many.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "conf/config.h"
#include "dataplane/base/limits.h"

namespace shunt::control {

enum class TargetState : std::uint8_t { kDown, kUp, kOnTrial };

/// What happened at a target since it was told last.
struct TargetEvents {
  std::uint64_t answered = 0;  ///< by whatever RCODE, SERVFAIL and REFUSED among them
  std::uint64_t servfails = 0;
  std::uint64_t refused = 0;  ///< RCODE REFUSED
  std::uint64_t timeouts = 0;
  std::uint64_t unreachable = 0;  ///< tries that the target's network or port refused
  std::uint64_t malformed = 0;
  std::uint64_t failed_names = 0;  ///< a bit for each of 64 classes of names of servfails and refused
};

class TargetJudge {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  /// How a probe ended. Bad is an answer with SERVFAIL or REFUSED.
  enum class Probe : std::uint8_t { kGood, kBad, kSilent };

  TargetJudge(const conf::HealthCheck& settings, Time now) : settings_(settings), since_(now), heard_(now) {}

  /// Takes over changed settings.
  void set(const conf::HealthCheck& settings) { settings_ = settings; }
  /// Told every few hundred milliseconds. `others_up`: another target of the upstream is up. True where the
  /// state has changed.
  bool take(const TargetEvents& events, bool others_up, Time now);
  /// A probe is due now; `chance` is uniform in [0, 1). `often`: also without any suspicion, at every
  /// interval where nothing was asked. Once true, the caller probes and tells how that ended, before it asks
  /// again.
  bool wants_probe(bool often, Time now, double chance);
  /// True where the state has changed.
  bool probed(Probe result, bool others_up, Time now);

  /// A probe could not be sent: it tells nothing.
  void probe_lost() { probing_ = false; }

  TargetState state() const { return state_; }
  Time since() const { return since_; }
  /// For people; empty for what is up since it was configured.
  const std::string& why() const { return why_; }

 private:
  static constexpr double kFailureShare = 0.9;
  static constexpr int kMinFailedNames = 8;
  static constexpr unsigned kIdleIntervals = 5;  ///< without a word from a target, until it is probed
  static constexpr std::chrono::seconds kWindow{8}, kFlap{30}, kSteady{60};
  static constexpr std::chrono::milliseconds kLongestTry{kMaxWaitMs / 2};
  static constexpr unsigned kMostFlaps = 3, kMostDoublings = 3;

  void change(TargetState to, std::string why, Time now);
  void go_down(std::string why, bool by_answers, Time now);
  void note_window(const TargetEvents& events, Time now);
  bool is_failing() const;
  void forget_silence();
  bool judge_up(const TargetEvents& events, bool others_up, Time now);
  bool judge_trial(const TargetEvents& events, Time now);
  bool fall_if_silent(Time now);
  bool probed_up(Probe result, bool others_up, Time now);
  bool succeed(unsigned answers, Time now);
  std::string silent_text() const;
  std::string failing_text() const;
  std::chrono::milliseconds interval(double intervals) const {
    return std::chrono::milliseconds(static_cast<std::int64_t>(intervals * settings_.interval_ms));
  }
  unsigned needed() const { return settings_.rise << flaps_; }

  struct Window {
    std::uint64_t answered = 0, servfails = 0, refused = 0, failed_names = 0;
    Window operator+(const Window& other) const {
      return {answered + other.answered, servfails + other.servfails, refused + other.refused,
              failed_names | other.failed_names};
    }
  };

  conf::HealthCheck settings_;
  TargetState state_ = TargetState::kUp;
  Time since_;
  std::string why_;

  // While it is up.
  Time heard_;  ///< the last answer
  Time last_probe_{};
  std::uint64_t silent_ = 0;                       ///< tries without an answer, in a row
  std::uint64_t unreachable_ = 0, malformed_ = 0;  ///< of these
  bool probe_silent_ = false;                      ///< a probe among them
  bool failing_ = false;                           ///< the share of failures is suspicious: the probe decides
  Window window_, last_window_;
  Time window_start_{};

  // While it is down, or on trial.
  bool down_by_answers_ = false;
  Time fell_{};
  unsigned doublings_ = 0;
  unsigned successes_ = 0;
  Time next_probe_{};
  bool wait_set_ = false;   ///< next_probe_ holds
  bool recovered_ = false;  ///< it was down before it came up
  unsigned flaps_ = 0;
  bool probing_ = false;
};

}  // namespace shunt::control
