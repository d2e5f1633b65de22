// A worker built with stage_cycles, whatever this build's option: what passes each stage.
#include "dataplane/stages/stage_clock.h"
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

static_assert(kStageCycles);

class StageCycles : public WorkerTest {
 protected:
  const StageCount& of(Stage stage) { return rig.stats().stages[static_cast<std::size_t>(stage)]; }
  void expect_passed(Stage stage, std::uint64_t passed) {
    EXPECT_EQ(of(stage).passed, passed) << kStageText[static_cast<std::size_t>(stage)].name;
    EXPECT_TRUE(passed == 0 || of(stage).cycles > 0);
  }
};

TEST_F(StageCycles, queries_are_counted_where_they_pass) {
  const Sent question = ask_upstream(query("a.corp"));
  rig.reply(question, answer_to(question.dns));
  rig.turn_for_one();
  rig.ask(query("a.corp"));        // from the cache
  rig.ask(query("x.nx.example"));  // by a rule
  rig.ask(Bytes(11, 0));           // dropped by the parser
  rig.turn();
  expect_passed(Stage::receive, 5);
  expect_passed(Stage::classify, 5);
  expect_passed(Stage::parse, 4);
  expect_passed(Stage::cached, 3);
  expect_passed(Stage::match, 2);
  expect_passed(Stage::cached_again, 1);
  expect_passed(Stage::forward, 1);
  expect_passed(Stage::relay, 1);
  expect_passed(Stage::orders, 0);
  expect_passed(Stage::handovers, 0);
  expect_passed(Stage::transmit, 4);
  expect_passed(Stage::timeouts, 3);
}

TEST_F(StageCycles, orders_are_counted_and_their_queries_too) {
  rig.ask_over_stream(query("x.nx.example"), 42);
  rig.turn();
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  rte_pktmbuf_free(static_cast<rte_mbuf*>(p));
  expect_passed(Stage::orders, 1);
  expect_passed(Stage::match, 1);
  expect_passed(Stage::receive, 0);
}

TEST_F(StageCycles, turns_without_work_count_for_nothing) {
  for (int i = 0; i < 10; ++i)
    rig.turn(5);
  for (const StageCount& stage : rig.stats().stages) {
    EXPECT_EQ(stage.cycles, 0u);
    EXPECT_EQ(stage.passed, 0u);
  }
}

}  // namespace
}  // namespace shunt::testing
