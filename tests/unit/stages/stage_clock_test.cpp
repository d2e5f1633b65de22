// The clock of the stages by itself, with a counter that the test sets.
#include "dataplane/stages/stage_clock.h"

#include <gtest/gtest.h>

#include <type_traits>

namespace shunt {
namespace {

struct ScriptedTsc {
  static inline std::uint64_t now = 0;
  static inline unsigned reads = 0;
  static std::uint64_t read() {
    ++reads;
    return now;
  }
};
using Clock = StageClock<true, ScriptedTsc>;

const StageCount& of(const std::array<StageCount, kStages>& stages, Stage stage) {
  return stages[static_cast<std::size_t>(stage)];
}

TEST(StageClock, CyclesGoToTheStageThatEnds) {
  Clock clock;
  std::array<StageCount, kStages> stages{};
  ScriptedTsc::now = 1000;
  ScriptedTsc::reads = 0;
  clock.begin_turn();
  ScriptedTsc::now = 1040;
  clock.lap(Stage::receive, 32);
  ScriptedTsc::now = 1100;
  clock.lap(Stage::classify, 32);
  ScriptedTsc::now = 1105;
  clock.lap(Stage::receive, 3);
  EXPECT_EQ(ScriptedTsc::reads, 4u) << "one for the start, one for each boundary";
  EXPECT_EQ(of(stages, Stage::receive).cycles, 0u);
  clock.add_turn(stages);
  EXPECT_EQ(of(stages, Stage::receive).cycles, 45u);
  EXPECT_EQ(of(stages, Stage::receive).passed, 35u);
  EXPECT_EQ(of(stages, Stage::classify).cycles, 60u);
  EXPECT_EQ(of(stages, Stage::classify).passed, 32u);
  EXPECT_EQ(of(stages, Stage::parse).cycles, 0u);
}

TEST(StageClock, TurnsAddUpAndOneThatIsNotAddedIsForgotten) {
  Clock clock;
  std::array<StageCount, kStages> stages{};
  for (const bool busy : {true, false, true}) {
    clock.begin_turn();
    ScriptedTsc::now += 10;
    clock.lap(Stage::receive, busy ? 1 : 0);
    if (busy) clock.add_turn(stages);
    ScriptedTsc::now += 12345;  // between two turns: nobody's
  }
  EXPECT_EQ(of(stages, Stage::receive).cycles, 20u);
  EXPECT_EQ(of(stages, Stage::receive).passed, 2u);
}

TEST(StageClock, IsNothingWhereItIsOff) {
  using Off = StageClock<false, ScriptedTsc>;
  static_assert(std::is_empty_v<Off>);
  ScriptedTsc::reads = 0;
  Off clock;
  std::array<StageCount, kStages> stages{};
  clock.begin_turn();
  clock.lap(Stage::receive, 32);
  clock.add_turn(stages);
  EXPECT_EQ(ScriptedTsc::reads, 0u);
  EXPECT_EQ(of(stages, Stage::receive).passed, 0u);
}

}  // namespace
}  // namespace shunt
