// Which target is asked, and what is kept of how it went.
#include <bit>

#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

Bytes failure_to(const Bytes& question, dns::Rcode rcode) {
  Bytes m = answer_to(question, 0);
  store_be16(&m[2], static_cast<std::uint16_t>(load_be16(&m[2]) | static_cast<unsigned>(rcode)));
  return m;
}

class Targets : public WorkerTest {
 protected:
  void set_policy(state::Policy policy) { rig.snapshot().upstreams[0].policy = policy; }
  const state::TargetStats& stats_of(unsigned target) { return rig.worker().targets()[target]; }
  std::uint32_t in_flight() { return stats_of(0).in_flight + stats_of(1).in_flight; }
  /// How many of `count` queries go to the first target; each is answered.
  unsigned share_of_first(unsigned count) {
    unsigned first = 0;
    for (unsigned i = 0; i < count; ++i) {
      const Sent question = ask_upstream(query("n" + std::to_string(next_++) + ".corp"));
      first += question.to(kTargetA) ? 1u : 0u;
      rig.reply(question, answer_to(question.dns));
      rig.turn_for_one();
    }
    return first;
  }
  unsigned next_ = 0;
};

TEST_F(Targets, ordered_takes_the_first_that_is_up) {
  EXPECT_EQ(share_of_first(20), 20u);
  rig.health(0).up = state::TargetHealth::kDown;
  EXPECT_EQ(share_of_first(20), 0u);
}

TEST_F(Targets, random_takes_all_that_are_up) {
  set_policy(state::Policy::kRandom);
  const unsigned first = share_of_first(200);
  EXPECT_GT(first, 60u);
  EXPECT_LT(first, 140u);
}

TEST_F(Targets, fastest_takes_the_fast_one_and_seldom_another) {
  set_policy(state::Policy::kFastest);
  rig.health(0).latency_us = 20'000;
  rig.health(1).latency_us = 1'000;
  const unsigned slow = share_of_first(4000);
  EXPECT_GT(slow, 2u) << "a target that became fast must be noticed";
  EXPECT_LT(slow, 40u) << "one in a hundred would show in the 99th percentile";
  rig.health(0).latency_us = 500;
  EXPECT_GT(share_of_first(400), 380u);
}

TEST_F(Targets, fastest_spreads_over_equally_fast_ones_and_those_not_measured_yet) {
  set_policy(state::Policy::kFastest);
  for (const std::uint32_t other : {1100u, 0u}) {
    rig.health(0).latency_us = 1000;
    rig.health(1).latency_us = other;
    const unsigned first = share_of_first(200);
    EXPECT_GT(first, 60u) << other;
    EXPECT_LT(first, 140u) << other;
  }
}

TEST_F(Targets, fastest_passes_over_what_is_down_and_retries_on_the_other) {
  set_policy(state::Policy::kFastest);
  rig.health(0).latency_us = 20'000;
  rig.health(1).latency_us = 1'000;
  rig.health(1).up = state::TargetHealth::kDown;
  EXPECT_EQ(share_of_first(20), 20u);
  rig.health(1).up = state::TargetHealth::kUp;
  const Sent first = ask_upstream(query("a.corp"));
  rig.turn(810);
  const std::vector<Sent> second = rig.sent();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_NE(second[0].to(kTargetA), first.to(kTargetA));
}

TEST_F(Targets, one_on_trial_gets_few_questions_and_all_where_no_other_is_up) {
  rig.health(0).up = state::TargetHealth::kOnTrial;
  const unsigned first = share_of_first(800);
  EXPECT_GT(first, 15u);
  EXPECT_LT(first, 110u);
  rig.health(1).up = state::TargetHealth::kDown;
  EXPECT_EQ(share_of_first(20), 20u);
}

TEST_F(Targets, one_on_trial_is_asked_where_the_other_did_not_answer) {
  rig.health(1).up = state::TargetHealth::kOnTrial;
  while (ask_upstream(query("n" + std::to_string(next_++) + ".corp")).to(kTargetB)) {
  }
  rig.turn(810);
  for (const Sent& sent : rig.sent())
    EXPECT_TRUE(sent.to(kTargetB) || sent.to(kClient));
}

TEST_F(Targets, servfail_and_refused_have_another_target_asked) {
  for (const dns::Rcode rcode : {dns::Rcode::kServFail, dns::Rcode::kRefused}) {
    const Sent first = ask_upstream(query("n" + std::to_string(next_++) + ".corp", 5));
    EXPECT_TRUE(first.to(kTargetA));
    rig.reply(first, failure_to(first.dns, rcode));
    const Sent second = rig.turn_for_one();
    ASSERT_TRUE(second.to(kTargetB));
    rig.reply(second, answer_to(second.dns));
    const Sent answer = rig.turn_for_one();
    EXPECT_TRUE(answer.to(kClient));
    EXPECT_EQ(answer.rcode(), dns::Rcode::kNoError);
  }
  EXPECT_EQ(stats_of(0).servfails, 1u);
  EXPECT_EQ(stats_of(0).refused, 1u);
  EXPECT_EQ(std::popcount(stats_of(0).failed_names.bits()), 2);
  EXPECT_EQ(in_flight(), 0u);
}

TEST_F(Targets, a_failure_that_all_agree_on_reaches_the_client) {
  const Sent first = ask_upstream(query("a.corp"));
  rig.reply(first, failure_to(first.dns, dns::Rcode::kServFail));
  const Sent second = rig.turn_for_one();
  rig.reply(second, failure_to(second.dns, dns::Rcode::kServFail));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_EQ(answer.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(in_flight(), 0u);
}

TEST_F(Targets, a_failure_reaches_the_client_where_no_other_is_up) {
  rig.health(1).up = state::TargetHealth::kDown;
  const Sent first = ask_upstream(query("a.corp"));
  rig.reply(first, failure_to(first.dns, dns::Rcode::kRefused));
  EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kRefused);
}

TEST_F(Targets, a_late_failure_does_not_end_the_wait_for_the_other) {
  const Sent first = ask_upstream(query("a.corp"));
  rig.turn(810);
  const std::vector<Sent> second = rig.sent();
  ASSERT_EQ(second.size(), 1u);
  rig.reply(first, failure_to(first.dns, dns::Rcode::kServFail));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  rig.reply(second[0], answer_to(second[0].dns));
  EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kNoError);
}

TEST_F(Targets, a_probe_is_about_one_target) {
  rte_mbuf* order = rig.packet(query("probe.corp", 1, 2));
  Message& m = message_of(order);
  m = {};
  m.kind = MessageKind::kAsk;
  m.ticket = 7;
  m.upstream = 0;
  m.target = 0;
  rte_ring_enqueue(rig.rings().orders, order);
  const Sent question = rig.turn_for_one();
  rig.reply(question, failure_to(question.dns, dns::Rcode::kServFail));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  auto* reply = static_cast<rte_mbuf*>(p);
  EXPECT_GT(reply->data_len, 0);
  rte_pktmbuf_free(reply);
  EXPECT_EQ(in_flight(), 0u);
}

TEST_F(Targets, what_is_in_flight_is_what_waits_for_an_answer) {
  const Sent a = ask_upstream(query("a.corp"));
  EXPECT_EQ(stats_of(0).in_flight, 1u);
  rig.turn(810);
  ASSERT_EQ(rig.sent().size(), 1u);
  EXPECT_EQ(stats_of(0).in_flight, 0u);
  EXPECT_EQ(stats_of(0).timeouts, 1u);
  EXPECT_EQ(stats_of(1).in_flight, 1u);
  rig.reply(a, answer_to(a.dns));  // late, and still the answer
  rig.turn_for_one();
  EXPECT_EQ(in_flight(), 0u);
  ask_upstream(query("b.corp"));
  rig.turn(810);
  rig.turn(810);
  rig.sent();
  EXPECT_EQ(in_flight(), 0u);
  EXPECT_EQ(stats_of(1).timeouts, 1u);
}

TEST_F(Targets, latency_goes_into_its_bucket_and_malformed_answers_are_the_targets) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.turn(4);
  Bytes cut = answer_to(question.dns);
  cut.resize(cut.size() - 3);
  rig.reply(question, cut);
  rig.turn();
  EXPECT_EQ(stats_of(0).malformed, 1u);
  rig.reply(question, answer_to(question.dns));
  rig.turn_for_one();
  EXPECT_EQ(stats_of(0).answered, 1u);
  EXPECT_EQ(stats_of(0).latency_us_sum, 4000u);
  EXPECT_EQ(stats_of(0).latency[Durations::bucket_of(4000)], 1u);
}

TEST(TargetsLimit, a_full_target_is_passed_over_and_all_full_is_told) {
  Rig rig({.per_target = 2});
  for (unsigned i = 0; i < 5; ++i)
    rig.ask(query("n" + std::to_string(i) + ".corp", 1, 1, 1232));
  rig.turn();
  unsigned to_a = 0, to_b = 0, refused = 0;
  for (const Sent& sent : rig.sent()) {
    to_a += sent.to(kTargetA) ? 1u : 0u;
    to_b += sent.to(kTargetB) ? 1u : 0u;
    if (!sent.to(kClient)) continue;
    ++refused;
    EXPECT_EQ(sent.rcode(), dns::Rcode::kServFail);
    EXPECT_EQ(load_be16(&sent.dns[sent.dns.size() - 2]), 23);
  }
  EXPECT_EQ(to_a, 2u);
  EXPECT_EQ(to_b, 2u);
  EXPECT_EQ(refused, 1u);
  EXPECT_EQ(rig.stats()[Counter::pending_full], 1u);
  rig.check_laws();
}

TEST(FailedNames, one_name_is_one_and_a_new_span_starts_anew) {
  state::FailedNames names;
  for (int i = 0; i < 100; ++i)
    names.add(0x1234567812345678, 16);
  EXPECT_EQ(std::popcount(names.bits()), 1);
  names.add(0xffffffffffffffff, 17);
  EXPECT_EQ(std::popcount(names.bits()), 2);
  names.add(0x1234567812345678, 24);
  EXPECT_EQ(std::popcount(names.bits()), 1);
}

}  // namespace
}  // namespace shunt::testing
