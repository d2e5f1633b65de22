// Faults of a target, played to its judge with a clock of the test's.
#include "control/target_judge.h"

#include <gtest/gtest.h>

#include <optional>

namespace shunt::control {
namespace {

using std::chrono::milliseconds;
using Probe = TargetJudge::Probe;

class Judge : public ::testing::Test {
 protected:
  static constexpr milliseconds kTick{200}, kTimeout{800};

  /// What the target does at the moment.
  enum class Mood { kGood, kSilent, kServfail, kRefused, kBrokenNames };

  /// Lets `ms` pass, in ticks: `queries` at each, all for `names` different names, met with the target's
  /// mood. True where the state was `until` at the end of a tick; then it returns at once.
  bool run(milliseconds ms, unsigned queries, TargetState until, unsigned names = 64) {
    for (milliseconds passed{0}; passed < ms; passed += kTick) {
      now_ += kTick;
      if (probe_due_ && now_ >= *probe_due_) answer_probe();
      // A target that is down gets no queries.
      judge_.take(judge_.state() == TargetState::kDown ? TargetEvents{} : events(queries, names), others_up_,
                  now_);
      if (judge_.wants_probe(often_, now_, 0.5)) {
        ++probes_;
        probe_due_ = now_ + (mood_ == Mood::kSilent ? kTimeout : milliseconds(1));
        if (mood_ != Mood::kSilent) answer_probe();
      }
      if (judge_.state() == until) return true;
    }
    return false;
  }
  bool stays_up(milliseconds ms, unsigned queries, unsigned names = 64) {
    return !run(ms, queries, TargetState::kDown, names) && judge_.state() == TargetState::kUp;
  }

  TargetJudge::Time now_{std::chrono::hours(1)};
  conf::HealthCheck settings_;
  TargetJudge judge_{settings_, now_};
  Mood mood_ = Mood::kGood;
  bool others_up_ = true, often_ = false;
  unsigned probes_ = 0;
  bool probe_is_bad_ = false;

 private:
  void answer_probe() {
    probe_due_.reset();
    const bool bad = mood_ == Mood::kServfail || mood_ == Mood::kRefused || probe_is_bad_;
    judge_.probed(mood_ == Mood::kSilent ? Probe::kSilent
                  : bad                  ? Probe::kBad
                                         : Probe::kGood,
                  others_up_, now_);
  }
  TargetEvents events(unsigned queries, unsigned names) const {
    TargetEvents e;
    if (mood_ == Mood::kSilent) {
      e.timeouts = queries;
      return e;
    }
    e.answered = queries;
    if (queries == 0 || mood_ == Mood::kGood) return e;
    (mood_ == Mood::kRefused ? e.refused : e.servfails) = queries;
    e.failed_names = names >= 64 ? ~0ull : (1ull << names) - 1;
    return e;
  }
  std::optional<TargetJudge::Time> probe_due_;
};

TEST_F(Judge, silence_takes_it_down_within_seconds_and_says_why) {
  mood_ = Mood::kSilent;
  EXPECT_TRUE(run(milliseconds(2000), 10, TargetState::kDown));
  EXPECT_NE(judge_.why().find("in a row unanswered"), std::string::npos) << judge_.why();
  EXPECT_EQ(judge_.since(), now_);
}

TEST_F(Judge, a_few_queries_suffice) {
  mood_ = Mood::kSilent;
  judge_.take({.timeouts = 1}, true, now_);
  EXPECT_TRUE(run(milliseconds(4000), 0, TargetState::kDown)) << "its own probes bring the rest";
}

TEST_F(Judge, it_comes_back_by_itself_within_seconds) {
  for (const milliseconds outage : {milliseconds(200), milliseconds(20'000), milliseconds(600'000)}) {
    mood_ = Mood::kSilent;
    ASSERT_TRUE(run(milliseconds(4000), 10, TargetState::kDown));
    EXPECT_FALSE(run(outage, 10, TargetState::kUp));
    mood_ = Mood::kGood;
    EXPECT_TRUE(run(milliseconds(8000), 10, TargetState::kUp)) << outage.count();
    EXPECT_TRUE(stays_up(milliseconds(90'000), 10)) << "and is trusted after a while";
  }
}

TEST_F(Judge, it_is_on_trial_before_it_is_up) {
  mood_ = Mood::kSilent;
  ASSERT_TRUE(run(milliseconds(4000), 10, TargetState::kDown));
  mood_ = Mood::kGood;
  EXPECT_TRUE(run(milliseconds(3000), 0, TargetState::kOnTrial));
  EXPECT_EQ(judge_.why(), "it answered a probe");
  EXPECT_TRUE(run(milliseconds(3000), 0, TargetState::kUp)) << "probes alone bring it up, without any query";
  EXPECT_EQ(judge_.why(), "2 answers in a row");
}

TEST_F(Judge, a_trial_that_fails_ends_down) {
  mood_ = Mood::kSilent;
  ASSERT_TRUE(run(milliseconds(4000), 10, TargetState::kDown));
  ASSERT_FALSE(run(milliseconds(10'000), 10, TargetState::kUp));
  mood_ = Mood::kGood;
  ASSERT_TRUE(run(milliseconds(6000), 0, TargetState::kOnTrial));
  mood_ = Mood::kSilent;
  EXPECT_TRUE(run(milliseconds(2000), 1, TargetState::kDown));
  EXPECT_NE(judge_.why().find("on trial"), std::string::npos);
}

TEST_F(Judge, questions_sent_before_it_went_down_do_not_end_its_trial) {
  mood_ = Mood::kSilent;
  ASSERT_TRUE(run(milliseconds(4000), 10, TargetState::kDown));
  mood_ = Mood::kGood;
  ASSERT_TRUE(run(milliseconds(1500), 0, TargetState::kOnTrial));
  judge_.take({.timeouts = 100}, true, now_);
  EXPECT_EQ(judge_.state(), TargetState::kOnTrial);
}

TEST_F(Judge, waits_between_probes_grow_and_end_at_four_intervals) {
  mood_ = Mood::kSilent;
  ASSERT_TRUE(run(milliseconds(4000), 10, TargetState::kDown));
  probes_ = 0;
  run(milliseconds(60'000), 0, TargetState::kUp);
  // Half, one and two intervals, then four, and the probe's own 0.8 s each time.
  EXPECT_GE(probes_, 11u);
  EXPECT_LE(probes_, 16u);
}

TEST_F(Judge, a_lost_packet_is_no_reason) {
  for (int i = 0; i < 100; ++i) {
    judge_.take({.timeouts = 1}, true, now_);
    ASSERT_TRUE(stays_up(milliseconds(400), i % 2 == 0 ? 0 : 1));
  }
}

TEST_F(Judge, a_name_that_it_never_answers_is_no_reason) {
  // The only one that is asked: the probes tell that the target lives.
  for (int i = 0; i < 200; ++i) {
    judge_.take({.timeouts = 5}, true, now_);
    ASSERT_TRUE(stays_up(milliseconds(200), 0));
  }
}

TEST_F(Judge, one_broken_name_never_turns_it_red) {
  mood_ = Mood::kServfail;
  EXPECT_TRUE(stays_up(milliseconds(120'000), 100, 1));
  EXPECT_TRUE(stays_up(milliseconds(120'000), 100, 7));
}

TEST_F(Judge, a_broken_zone_does_not_turn_it_red_while_the_probe_is_answered) {
  mood_ = Mood::kBrokenNames;
  EXPECT_TRUE(stays_up(milliseconds(120'000), 100, 64));
  EXPECT_GT(probes_, 5u);
  EXPECT_LE(probes_, 125u) << "one an interval at most";
}

TEST_F(Judge, servfail_and_refused_for_all_names_take_it_down_where_another_can_take_over) {
  for (const Mood mood : {Mood::kServfail, Mood::kRefused}) {
    judge_ = TargetJudge(settings_, now_);
    mood_ = mood;
    others_up_ = false;
    EXPECT_TRUE(stays_up(milliseconds(60'000), 10)) << "bad answers are better than none";
    others_up_ = true;
    EXPECT_TRUE(run(milliseconds(3000), 10, TargetState::kDown));
    EXPECT_NE(judge_.why().find(mood == Mood::kServfail ? "SERVFAIL share 100 %" : "REFUSED share 100 %"),
              std::string::npos)
        << judge_.why();
    mood_ = Mood::kGood;
    EXPECT_TRUE(run(milliseconds(8000), 1, TargetState::kUp));
  }
}

TEST_F(Judge, down_for_bad_answers_it_stays_so_while_they_are_bad) {
  mood_ = Mood::kServfail;
  ASSERT_TRUE(run(milliseconds(3000), 10, TargetState::kDown));
  EXPECT_FALSE(run(milliseconds(60'000), 1, TargetState::kUp));
  // The probe's name stays broken, and clients' questions are answered: they decide.
  mood_ = Mood::kGood;
  probe_is_bad_ = true;
  EXPECT_TRUE(run(milliseconds(10'000), 1, TargetState::kUp));
}

TEST_F(Judge, a_target_that_only_answers_servfail_to_probes_comes_back_from_silence) {
  mood_ = Mood::kSilent;
  ASSERT_TRUE(run(milliseconds(4000), 10, TargetState::kDown));
  mood_ = Mood::kGood;
  probe_is_bad_ = true;
  EXPECT_TRUE(run(milliseconds(8000), 0, TargetState::kUp));
}

TEST_F(Judge, a_share_of_failures_below_nine_in_ten_is_no_reason) {
  for (int i = 0; i < 600; ++i) {
    now_ += kTick;
    judge_.take({.answered = 10, .servfails = 8, .failed_names = ~0ull}, true, now_);
    ASSERT_FALSE(judge_.wants_probe(false, now_, 0.5));
  }
}

TEST_F(Judge, a_flapping_target_needs_longer_each_time) {
  milliseconds longest{0}, first{0};
  for (int flap = 0; flap < 6; ++flap) {
    mood_ = Mood::kSilent;
    ASSERT_TRUE(run(milliseconds(6000), 10, TargetState::kDown));
    mood_ = Mood::kGood;
    const TargetJudge::Time began = now_;
    ASSERT_TRUE(run(milliseconds(20'000), 10, TargetState::kUp));
    const auto took = std::chrono::duration_cast<milliseconds>(now_ - began);
    if (flap == 0) first = took;
    longest = std::max(longest, took);
    ASSERT_TRUE(stays_up(milliseconds(2000), 10));
  }
  EXPECT_GT(longest, 3 * first);
  EXPECT_LT(longest, milliseconds(12'000)) << "still within seconds";
  // Steady for a minute, it is trusted again.
  ASSERT_TRUE(stays_up(milliseconds(61'000), 10));
  mood_ = Mood::kSilent;
  ASSERT_TRUE(run(milliseconds(6000), 10, TargetState::kDown));
  mood_ = Mood::kGood;
  EXPECT_TRUE(run(first + milliseconds(1000), 10, TargetState::kUp));
}

TEST_F(Judge, one_in_reserve_is_probed_and_found_silent) {
  EXPECT_TRUE(stays_up(milliseconds(60'000), 0));
  EXPECT_GE(probes_, 8u);
  EXPECT_LE(probes_, 15u);
  mood_ = Mood::kSilent;
  EXPECT_TRUE(run(milliseconds(12'000), 0, TargetState::kDown));
}

TEST_F(Judge, it_is_probed_more_often_where_its_latency_is_wanted) {
  often_ = true;
  EXPECT_TRUE(stays_up(milliseconds(60'000), 0));
  EXPECT_GE(probes_, 45u);
}

TEST_F(Judge, what_clients_ask_saves_probes) {
  EXPECT_TRUE(stays_up(milliseconds(60'000), 1));
  EXPECT_EQ(probes_, 0u);
}

TEST_F(Judge, settings_rule) {
  settings_ = {.fall = 30, .rise = 1, .interval_ms = 200};
  judge_ = TargetJudge(settings_, now_);
  mood_ = Mood::kSilent;
  EXPECT_FALSE(run(milliseconds(2000), 2, TargetState::kDown));
  EXPECT_TRUE(run(milliseconds(4000), 2, TargetState::kDown));
  mood_ = Mood::kGood;
  EXPECT_TRUE(run(milliseconds(1200), 0, TargetState::kUp));
}

TEST_F(Judge, a_probe_that_could_not_be_sent_tells_nothing) {
  judge_.take({.timeouts = 100}, true, now_);
  for (int i = 0; i < 100; ++i) {
    now_ += std::chrono::seconds(1);
    ASSERT_TRUE(judge_.wants_probe(false, now_, 0.5));
    ASSERT_FALSE(judge_.wants_probe(false, now_, 0.5)) << "one at a time";
    judge_.probe_lost();
  }
  EXPECT_EQ(judge_.state(), TargetState::kUp);
}

TEST_F(Judge, refused_connections_and_malformed_answers_are_told) {
  judge_.take({.timeouts = 2, .unreachable = 3, .malformed = 4}, true, now_);
  ASSERT_TRUE(judge_.wants_probe(false, now_, 0.5));
  EXPECT_TRUE(judge_.probed(Probe::kSilent, true, now_));
  EXPECT_EQ(judge_.why(), "6 tries in a row unanswered, 3 refused by its host, 4 malformed answers");
}

}  // namespace
}  // namespace shunt::control
