#include "bench/perf/schedule.h"

#include <gtest/gtest.h>

namespace shunt::perf {
namespace {

constexpr double kHz = 1e9;

TEST(Schedule, QueriesAreDueEvenly) {
  Schedule schedule(5000, 1e6, kHz);  // one a microsecond, a cycle is a nanosecond
  EXPECT_EQ(schedule.due(5000), 0U);
  EXPECT_EQ(schedule.due(5999), 0U);
  EXPECT_EQ(schedule.due(6000), 1U);
  EXPECT_EQ(schedule.send(6000), 6000U);
  EXPECT_EQ(schedule.due(6000), 0U);
  EXPECT_EQ(schedule.due(9100), 3U);
  EXPECT_EQ(schedule.due(5000 + 1'000'000'000), 999'999U);
}

TEST(Schedule, PunctualQueriesCountFromWhenTheyAreSent) {
  Schedule schedule(0, 1e6, kHz);
  EXPECT_EQ(schedule.send(1000), 1000U);
  EXPECT_EQ(schedule.send(2999), 2999U);  // due at 2000: within the tolerance
  const Punctuality p = schedule.at_end(2999);
  EXPECT_EQ(p.due, 2U);
  EXPECT_EQ(p.late, 0U);
  EXPECT_EQ(p.missed, 0U);
}

TEST(Schedule, LateQueriesCountFromWhenTheyWereDue) {
  Schedule schedule(0, 1e6, kHz);
  for (unsigned i = 0; i < 10; ++i)  // after a stall of 9.5 us
    EXPECT_EQ(schedule.send(10'500), i < 9 ? 1000U * (i + 1) : 10'500U);
  const Punctuality p = schedule.at_end(20'000);
  EXPECT_EQ(p.late, 9U);
  EXPECT_EQ(p.most_behind, 9500U);
  EXPECT_EQ(p.due, 20U);
  EXPECT_EQ(p.missed, 10U);
}

}  // namespace
}  // namespace shunt::perf
