#include "dataplane/base/stats.h"

#include <gtest/gtest.h>

#include <iterator>
#include <set>
#include <string_view>
#include <thread>

namespace shunt {
namespace {

template <typename Enum, std::size_t N>
void expect_named(const StatText (&texts)[N]) {
  EXPECT_EQ(N, static_cast<std::size_t>(Enum::kCount));
  std::set<std::string_view> names;
  for (const StatText& t : texts) {
    EXPECT_FALSE(t.help.empty()) << t.name;
    EXPECT_TRUE(names.insert(t.name).second) << t.name << " is there twice";
  }
}

TEST(Stats, EveryCounterHasAName) {
  expect_named<FrameDrop>(kFrameDropText);
  expect_named<QueryDrop>(kQueryDropText);
  expect_named<AnswerDrop>(kAnswerDropText);
  expect_named<Counter>(kCounterText);
}

TEST(Stats, EveryStageAndLabelHasAName) {
  EXPECT_EQ(std::size(kStageText), kStages);
  EXPECT_EQ(std::size(kWaitedLabel), kWaitedKinds);
  std::set<std::string_view> names(std::begin(kWaitedLabel), std::end(kWaitedLabel));
  EXPECT_EQ(names, (std::set<std::string_view>{"rule", "default", "zone", "error"}));
  names.clear();
  for (const StageText& stage : kStageText) {
    EXPECT_FALSE(stage.unit.empty() || stage.help.empty()) << stage.name;
    EXPECT_TRUE(names.insert(stage.name).second) << stage.name << " is there twice";
  }
}

TEST(Stats, WaitsAreKeptByWhatEndedThem) {
  EXPECT_EQ(waited_of(Counter::answered_upstream), Waited::for_rule);
  EXPECT_EQ(waited_of(Counter::answered_default), Waited::for_default);
  EXPECT_EQ(waited_of(Counter::answered_zone), Waited::for_zone);
  EXPECT_EQ(waited_of(Counter::answered_error), Waited::for_error);
  Stats stats;
  stats.note_wait(Counter::answered_upstream, 0);
  stats.note_wait(Counter::answered_default, 1'500);
  stats.note_wait(Counter::answered_zone, 2);
  stats.note_wait(Counter::answered_error, 0);  // at once: no wait
  stats.note_wait(Counter::answered_error, 1);
  const std::array<Durations, kWaitedKinds>& waited = stats.waited;
  for (const Durations& each : waited)
    EXPECT_EQ(each.count(), 1u);
  EXPECT_EQ(waited[static_cast<std::size_t>(Waited::for_default)].sum, 1'500u);
}

TEST(Stats, GroupsSumTheirValues) {
  CounterGroup<FrameDrop> group;
  group.values.front() = 3;
  group.values.back() = 4;
  EXPECT_EQ(group.sum(), 7u);
}

TEST(PublishedStats, ReadersNeverSeeHalfAPublish) {
  PublishedStats published;
  std::thread writer([&] {
    Stats stats;
    for (std::uint64_t i = 1; i <= 20000; ++i) {
      stats.frame_drops.values.front() = i;
      stats.counters.values.back() = i;
      stats.burst_queries.sum = i;
      stats.generation = i;
      published.publish(stats);
    }
  });
  std::uint64_t last = 0;
  while (last < 20000) {
    const Stats seen = published.read();
    ASSERT_EQ(seen.frame_drops.values.front(), seen.generation);
    ASSERT_EQ(seen.counters.values.back(), seen.generation);
    ASSERT_EQ(seen.burst_queries.sum, seen.generation);
    ASSERT_GE(seen.generation, last) << "time went backwards";
    last = seen.generation;
    std::this_thread::yield();
  }
  writer.join();
}

}  // namespace
}  // namespace shunt
