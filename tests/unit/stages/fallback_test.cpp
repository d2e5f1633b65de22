// When no target answers: on_all_down.
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

using state::OnAllDown;

class Fallback : public WorkerTest {
 protected:
  void set(OnAllDown policy) { rig.snapshot().upstreams[0].on_all_down = policy; }
  void take_down() { rig.health(0).up = rig.health(1).up = state::TargetHealth::kDown; }
  void bring_up() { rig.health(0).up = rig.health(1).up = state::TargetHealth::kUp; }
  /// Has `name` answered and cached for `ttl` seconds, and lets `seconds` pass.
  void cache(const std::string& name, std::uint32_t ttl, unsigned seconds, unsigned records = 2) {
    const Sent question = ask_upstream(query(name));
    rig.reply(question, answer_to(question.dns, records, ttl));
    rig.turn_for_one();
    rig.turn(seconds * 1000);
  }
  Sent ask_once(const std::string& name, std::uint16_t id = 9) {
    rig.ask(query(name, id, 1, 1232));
    return rig.turn_for_one();
  }
  static std::uint16_t extended_error(const Sent& sent) { return load_be16(&sent.dns[sent.dns.size() - 2]); }
  static void expect_stale(const Sent& sent, const std::string& name, unsigned records = 2) {
    ASSERT_TRUE(sent.to(kClient));
    EXPECT_EQ(sent.rcode(), dns::Rcode::kNoError);
    EXPECT_EQ(load_be16(&sent.dns[6]), records);
    for (unsigned i = 0; i < records; ++i)
      EXPECT_EQ(load_be32(&sent.dns[12 + wire_name(name).size() + 4 + i * 16 + 6]), 30u);
    EXPECT_EQ(extended_error(sent), 3);
  }
  std::uint64_t count(Counter c) { return rig.stats()[c]; }
};

TEST_F(Fallback, servfail_alone_by_default_though_an_expired_answer_is_there) {
  cache("a.corp", 10, 20);
  take_down();
  const Sent answer = ask_once("a.corp");
  EXPECT_EQ(answer.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(extended_error(answer), 22);
}

TEST_F(Fallback, an_expired_answer_is_served_with_ttl_30_and_said_to_be_stale) {
  set(OnAllDown::kStale);
  cache("a.corp", 10, 20);
  take_down();
  expect_stale(ask_once("A.corp", 77), "a.corp");
  EXPECT_EQ(count(Counter::served_stale), 1u);
  EXPECT_EQ(count(Counter::answered_cache), 1u);
}

TEST_F(Fallback, an_expired_answer_is_served_where_all_targets_are_silent) {
  set(OnAllDown::kStale);
  cache("a.corp", 10, 20);
  rig.ask(query("a.corp", 9, 1, 1232));
  rig.ask(query("a.corp", 10, 1, 1232), "10.0.0.7");
  rig.turn();
  rig.turn(810);
  EXPECT_EQ(rig.sent().size(), 2u) << "both targets are asked first";
  rig.turn(810);
  std::vector<Sent> answers = rig.sent();
  ASSERT_EQ(answers.size(), 2u);
  for (const Sent& answer : answers)
    EXPECT_EQ(extended_error(answer), 3);
  // For a while the next ones are served at once, and nobody is asked.
  expect_stale(ask_once("a.corp"), "a.corp");
  EXPECT_EQ(count(Counter::served_stale), 3u);
  rig.turn(4000);
  expect_stale(ask_once("a.corp"), "a.corp");
  // Then the upstream is tried again, and what it says is taken.
  rig.turn(2000);
  const Sent question = ask_once("a.corp");
  ASSERT_TRUE(question.to(kTargetA));
  rig.reply(question, answer_to(question.dns, 1, 300));
  EXPECT_EQ(load_be32(&rig.turn_for_one().dns[12 + 8 + 4 + 6]), 300u);
  rig.ask(query("a.corp", 3));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
}

TEST_F(Fallback, fresh_answers_are_not_touched_by_a_failure_before) {
  set(OnAllDown::kStale);
  cache("a.corp", 10, 20);
  take_down();
  ask_once("a.corp");
  bring_up();
  rig.turn(6000);
  const Sent question = ask_once("a.corp");
  rig.reply(question, answer_to(question.dns, 1, 300));
  rig.turn_for_one();
  take_down();
  const Sent answer = ask_once("a.corp");
  EXPECT_EQ(load_be32(&answer.dns[12 + 8 + 4 + 6]), 300u);
  EXPECT_NE(extended_error(answer), 3);
}

TEST_F(Fallback, an_answer_is_stale_no_longer_than_allowed) {
  set(OnAllDown::kStale);
  rig.snapshot().upstreams[0].stale_ttl = 100;
  cache("a.corp", 10, 109);
  take_down();
  expect_stale(ask_once("a.corp"), "a.corp");
  rig.turn(1000);
  EXPECT_EQ(ask_once("a.corp").rcode(), dns::Rcode::kServFail);
}

TEST_F(Fallback, what_was_never_answered_is_servfail) {
  set(OnAllDown::kStale);
  take_down();
  const Sent answer = ask_once("a.corp");
  EXPECT_EQ(answer.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(extended_error(answer), 22);
  EXPECT_EQ(count(Counter::served_stale), 0u);
}

TEST_F(Fallback, a_failure_that_was_cached_is_no_stale_answer) {
  set(OnAllDown::kStale);
  take_down();
  ask_once("a.corp");
  rig.turn(6000);
  EXPECT_EQ(ask_once("a.corp").rcode(), dns::Rcode::kServFail);
}

TEST_F(Fallback, an_upstreams_servfail_is_no_better_than_a_stale_answer) {
  set(OnAllDown::kStale);
  cache("a.corp", 10, 20);
  rig.health(1).up = state::TargetHealth::kDown;
  const Sent question = ask_once("a.corp");
  Bytes failure = answer_to(question.dns, 0);
  failure[3] = static_cast<std::uint8_t>(failure[3] | 2);
  rig.reply(question, failure);
  expect_stale(rig.turn_for_one(), "a.corp");
}

// Of an upstream over TCP or TLS, or through the host, the control plane brings the answers.
TEST_F(Fallback, nor_is_a_servfail_that_the_control_plane_brings) {
  set(OnAllDown::kStale);
  rig.snapshot().upstreams[0].over_streams = rig.snapshot().upstreams[0].by_control = true;
  const auto resolve = [this](dns::Rcode rcode) {
    rig.ask(query("a.corp", 9, 1, 1232));
    rig.turn();
    void* p = nullptr;
    ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
    auto* const event = static_cast<rte_mbuf*>(p);
    const auto* const octets = rte_pktmbuf_mtod(event, const std::uint8_t*);
    Bytes answer = answer_to(Bytes(octets, octets + event->data_len), 2, 10);
    answer[3] = static_cast<std::uint8_t>(answer[3] | static_cast<unsigned>(rcode));
    rte_mbuf* const packet = rig.packet(answer);
    message_of(packet) = message_of(event);
    message_of(packet).kind = MessageKind::kAnswer;
    rte_pktmbuf_free(event);
    rte_ring_enqueue(rig.rings().orders, packet);
  };
  resolve(dns::Rcode::kNoError);
  EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kNoError);
  rig.turn(20'000);
  resolve(dns::Rcode::kServFail);
  expect_stale(rig.turn_for_one(), "a.corp");
}

TEST_F(Fallback, the_default_upstream_is_asked_only_where_told_to) {
  take_down();
  EXPECT_EQ(ask_once("a.corp").rcode(), dns::Rcode::kServFail);
  for (const Sent& sent : rig.sent())
    EXPECT_FALSE(sent.to(kTargetA) || sent.to(kTargetB)) << "an internal name left";
  EXPECT_EQ(count(Counter::asked_default), 0u);
}

TEST_F(Fallback, the_default_upstream_answers_while_all_are_down) {
  set(OnAllDown::kDefault);
  take_down();
  const Sent question = ask_once("a.corp");
  ASSERT_TRUE(question.to(kTargetA));
  EXPECT_EQ(rig.worker().targets()[2].sent, 1u) << "of the default upstream";
  rig.reply(question, answer_to(question.dns, 1, 300));
  EXPECT_EQ(rig.turn_for_one().id(), 9);
  EXPECT_EQ(count(Counter::answered_default), 1u);
  // It is kept as the default's answer: used while the others are down, and not afterwards.
  EXPECT_TRUE(ask_once("a.corp", 10).to(kClient));
  EXPECT_EQ(count(Counter::answered_cache), 1u);
  bring_up();
  ASSERT_TRUE(ask_once("a.corp", 11).to(kTargetA));
  EXPECT_EQ(rig.worker().targets()[0].sent, 1u);
  rig.turn(810);
  rig.sent();
}

TEST_F(Fallback, the_default_upstream_is_asked_after_all_were_silent) {
  set(OnAllDown::kDefault);
  const Sent first = ask_once("a.corp");
  rig.turn(810);
  rig.sent();
  rig.turn(810);
  const std::vector<Sent> third = rig.sent();
  ASSERT_EQ(third.size(), 1u);
  EXPECT_EQ(rig.worker().targets()[2].sent, 1u);
  rig.reply(first, answer_to(first.dns));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty()) << "it is the default's answer that is waited for now";
  rig.reply(third[0], answer_to(third[0].dns));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
  for (unsigned target = 0; target < 4; ++target)
    EXPECT_EQ(rig.worker().targets()[target].in_flight, 0u);
}

TEST_F(Fallback, where_the_default_is_down_too_the_failure_is_remembered) {
  set(OnAllDown::kDefault);
  take_down();
  rig.health(2).up = rig.health(3).up = state::TargetHealth::kDown;
  EXPECT_EQ(ask_once("a.corp").rcode(), dns::Rcode::kServFail);
  const Sent again = ask_once("a.corp", 10);
  EXPECT_EQ(again.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(extended_error(again), 13);
}

TEST_F(Fallback, a_default_upstream_through_the_host_is_asked_by_the_control_plane) {
  set(OnAllDown::kDefault);
  rig.snapshot().upstreams[1].through_host = rig.snapshot().upstreams[1].by_control = true;
  take_down();
  rig.ask(query("a.corp", 5));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  auto* packet = static_cast<rte_mbuf*>(p);
  EXPECT_EQ(message_of(packet).kind, MessageKind::kMiss);
  EXPECT_EQ(message_of(packet).upstream, 1u);
  message_of(packet).kind = MessageKind::kFail;
  message_of(packet).error = dns::ExtendedError::kNoReachableAuthority;
  rte_ring_enqueue(rig.rings().orders, packet);
  EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kServFail);
}

}  // namespace
}  // namespace shunt::testing
