// The log of queries: each that ends is told of once, with what its client got and who gave it.
#include <algorithm>

#include "dataplane/state/query_log.h"
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

using state::LoggedQuery;
using state::QueryEnd;

class Log : public WorkerTest {
 protected:
  void SetUp() override { rig.view().query_log = std::make_shared<const state::QueryLog>(1); }
  std::vector<LoggedQuery> logged() {
    std::vector<LoggedQuery> all;
    rig.view().query_log->rings[0]->drain([&](const LoggedQuery& q) { all.push_back(q); });
    return all;
  }
  /// The one that was logged; expects just one, from the rig's client.
  LoggedQuery one() {
    const auto all = logged();
    EXPECT_EQ(all.size(), 1u);
    if (all.empty()) return {};
    EXPECT_EQ(all[0].client.address, *IpAddress::parse(kClient));
    EXPECT_EQ(all[0].server, (SocketAddress{*IpAddress::parse(kEndpoint), kDnsPort}));
    EXPECT_EQ(all[0].generation, rig.snapshot().generation);
    return all[0];
  }
  static Bytes bytes(const LoggedQuery& q) { return {q.message().begin(), q.message().end()}; }
  Sent ask_and_answer(std::string_view name) {
    rig.ask(query(name));
    return rig.turn_for_one();
  }
};

TEST_F(Log, an_answer_by_a_rule) {
  const Sent sent = ask_and_answer("x.nx.example");
  const LoggedQuery q = one();
  EXPECT_EQ(q.end, QueryEnd::kRule);
  EXPECT_EQ(q.client.port, 40000);
  EXPECT_FALSE(q.stream);
  EXPECT_EQ(q.asked_us, q.ended_us);
  EXPECT_EQ(bytes(q), sent.dns);
}

TEST_F(Log, an_upstreams_answer_with_its_wait_and_the_cached_ones_behind_it) {
  const Sent question = ask_upstream(query("a.corp"));
  EXPECT_TRUE(logged().empty()) << "it waits";
  rig.turn(25);
  rig.reply(question, answer_to(question.dns));
  const Sent sent = rig.turn_for_one();
  const LoggedQuery q = one();
  EXPECT_EQ(q.end, QueryEnd::kUpstream);
  EXPECT_EQ(q.ended_us - q.asked_us, 25000u);
  EXPECT_EQ(bytes(q), sent.dns);
  // The buffers that answers to those that waited were in come back, many times over: they tell of no wait.
  for (int i = 0; i < 3000; ++i) {
    rig.turn(i % 100 == 0 ? 1 : 0);
    ask_and_answer("a.corp");
    const LoggedQuery hit = one();
    ASSERT_EQ(hit.end, QueryEnd::kCache);
    ASSERT_EQ(hit.asked_us, hit.ended_us);
  }
}

TEST_F(Log, all_who_shared_a_wait) {
  const Sent question = ask_upstream(query("a.corp", 1));
  rig.ask(query("A.corp", 2), "10.0.0.9", 41000);
  rig.turn(5);
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  EXPECT_EQ(rig.sent().size(), 2u);
  const auto all = logged();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_NE(all[0].client, all[1].client);
  EXPECT_NE(all[0].asked_us, all[1].asked_us);
}

TEST_F(Log, an_error_of_ours) {
  Bytes bad = query("x.nx.example");
  bad.push_back(0);
  rig.ask(bad);
  const Sent sent = rig.turn_for_one();
  const LoggedQuery q = one();
  EXPECT_EQ(q.end, QueryEnd::kError);
  EXPECT_EQ(bytes(q), sent.dns);
  rig.snapshot().upstreams[0].timeout_ms = 100;
  ask_upstream(query("silent.corp"));
  std::vector<LoggedQuery> failed;
  for (int i = 0; i < 30 && failed.empty(); ++i) {
    rig.turn(10);
    rig.sent();
    failed = logged();
  }
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].end, QueryEnd::kError);
  EXPECT_NEAR(static_cast<double>(failed[0].ended_us - failed[0].asked_us), 200000, 20000);
}

TEST_F(Log, a_query_that_is_dropped) {
  rig.ask(query("X.drop.example"));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  const LoggedQuery q = one();
  EXPECT_EQ(q.end, QueryEnd::kDropped);
  EXPECT_EQ(q.drop, QueryDrop::blocked);
  EXPECT_EQ(bytes(q), query("X.drop.example"));
}

TEST_F(Log, a_stream_clients_answer_is_left_to_the_control_plane_and_its_drop_is_not) {
  for (const char* name : {"x.nx.example", "x.drop.example"}) {
    rig.ask_over_stream(query(name), 42);
    rig.turn();
  }
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  EXPECT_EQ(state::end_of(message_of(static_cast<rte_mbuf*>(p)).counted), QueryEnd::kRule);
  rte_pktmbuf_free(static_cast<rte_mbuf*>(p));
  const LoggedQuery q = one();
  EXPECT_TRUE(q.stream);
  EXPECT_EQ(q.ticket, 42u);
  EXPECT_EQ(q.client.port, 5000);
  EXPECT_EQ(q.drop, QueryDrop::blocked);
}

TEST_F(Log, what_finds_no_room_is_counted_and_answered_all_the_same) {
  for (std::size_t i = 0; i < state::QueryLogRing::kSize + 10; ++i)
    ask_and_answer("x.nx.example");
  EXPECT_EQ(rig.stats()[Counter::queries_unlogged], 10u);
  EXPECT_EQ(logged().size(), state::QueryLogRing::kSize);
}

TEST_F(Log, nothing_while_nobody_wants_it) {
  const auto log = rig.view().query_log;
  rig.view().query_log = nullptr;
  ask_and_answer("x.nx.example");
  rig.ask(query("x.drop.example"));
  rig.turn();
  log->rings[0]->drain([](const LoggedQuery&) { ADD_FAILURE(); });
  EXPECT_EQ(rig.stats()[Counter::queries_unlogged], 0u);
}

}  // namespace
}  // namespace shunt::testing
