// The histograms: how long queries waited, by what ended the wait, and how many came at once.
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

class Waits : public WorkerTest {
 protected:
  const Durations& waited(Waited kind) { return rig.stats().waited[static_cast<std::size_t>(kind)]; }
  void expect_one(Waited kind, std::uint64_t us) {
    for (const Waited each : {Waited::for_rule, Waited::for_default, Waited::for_zone, Waited::for_error}) {
      EXPECT_EQ(waited(each).count(), each == kind ? 1u : 0u);
    }
    EXPECT_EQ(waited(kind).sum, us);
    EXPECT_EQ(waited(kind).buckets[Durations::bucket_of(us)], 1u);
  }
};

TEST_F(Waits, rules_upstream_from_arrival_to_answer) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.turn(7);
  rig.reply(question, answer_to(question.dns));
  rig.turn(5);
  expect_one(Waited::for_rule, 12'000);
}

TEST_F(Waits, upstreams_servfail_is_an_answer_of_the_upstream) {
  rig.health(1).up = state::TargetHealth::kDown;  // else that one would be asked now
  const Sent question = ask_upstream(query("a.corp"));
  Bytes answer = answer_to(question.dns, 0);
  answer[3] = static_cast<std::uint8_t>(answer[3] | static_cast<unsigned>(dns::Rcode::kServFail));
  rig.reply(question, answer);
  rig.turn(3);
  expect_one(Waited::for_rule, 3'000);
}

TEST_F(Waits, each_waiter_of_a_question_has_a_wait_of_its_own) {
  const Sent question = ask_upstream(query("a.corp", 1));
  rig.ask(query("a.corp", 2), "10.0.0.7");
  rig.turn(20);
  rig.reply(question, answer_to(question.dns));
  rig.turn(4);
  EXPECT_EQ(waited(Waited::for_rule).count(), 2u);
  EXPECT_EQ(waited(Waited::for_rule).sum, 24'000u + 4'000u);
}

TEST_F(Waits, miss_and_its_decision_are_in_it) {
  rig.ask(query("www.example.net"));
  rig.turn();
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  message_of(static_cast<rte_mbuf*>(p)).kind = MessageKind::kDecision;
  rte_ring_enqueue(rig.rings().orders, p);
  rig.turn(2);
  const std::vector<Sent> question = rig.sent();
  ASSERT_EQ(question.size(), 1u);
  rig.reply(question[0], answer_to(question[0].dns));
  rig.turn(30);
  expect_one(Waited::for_default, 32'000);
}

TEST_F(Waits, silent_targets_end_in_an_error) {
  ask_upstream(query("a.corp"));
  rig.turn(810);
  rig.turn(810);
  expect_one(Waited::for_error, 1'620'000);
}

TEST_F(Waits, what_is_answered_at_once_does_not_wait) {
  for (const char* name : {"x.nx.example", "fixed.example", "x.refused.example"})
    rig.ask(query(name));
  rig.turn();
  rig.health(0).up = rig.health(1).up = 0;
  rig.ask(query("a.corp"));
  rig.turn(1);
  EXPECT_EQ(rig.stats()[Counter::answered_error], 1u);
  rig.ask(query("a.corp"));  // the failure, from the cache
  rig.turn(1);
  EXPECT_EQ(rig.stats()[Counter::answered_cache], 1u);
  for (const Durations& each : rig.stats().waited)
    EXPECT_EQ(each.count(), 0u);
}

TEST_F(Waits, question_of_the_control_plane_is_no_query) {
  for (const bool answered : {true, false}) {
    rte_mbuf* order = rig.packet(query("health.corp"));
    Message& m = message_of(order);
    m = {};
    m.kind = MessageKind::kAsk;
    m.ticket = 7;
    rte_ring_enqueue(rig.rings().orders, order);
    const Sent question = rig.turn_for_one();
    if (answered) rig.reply(question, answer_to(question.dns));
    rig.turn(answered ? 5 : 900);
    void* p = nullptr;
    ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
    rte_pktmbuf_free(static_cast<rte_mbuf*>(p));
  }
  for (const Durations& each : rig.stats().waited)
    EXPECT_EQ(each.count(), 0u);
}

TEST_F(Waits, bursts_are_counted_by_their_queries) {
  for (unsigned i = 0; i < kBurst + 3; ++i)
    rig.ask(query("x.nx.example"));
  const Sent question = [this] {
    rig.turn();
    rig.sent();
    return ask_upstream(query("a.corp"));
  }();
  rig.reply(question, answer_to(question.dns));  // a burst without queries is none
  rig.turn();
  const BurstSizes& bursts = rig.stats().burst_queries;
  EXPECT_EQ(bursts.buckets, (decltype(bursts.buckets){1, 0, 1, 0, 0, 1, 0}));
  EXPECT_EQ(bursts.sum, kBurst + 4);
}

}  // namespace
}  // namespace shunt::testing
