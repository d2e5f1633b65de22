#include "bench/perf/histogram.h"

#include <gtest/gtest.h>

namespace shunt::perf {
namespace {

TEST(Histogram, Empty) {
  const Histogram h;
  EXPECT_EQ(h.total(), 0U);
  EXPECT_EQ(h.percentile(0.5), 0U);
  EXPECT_EQ(h.max(), 0U);
}

TEST(Histogram, SmallValuesAreExact) {
  Histogram h;
  for (std::uint64_t i = 0; i < 32; ++i)
    h.add(i);
  for (std::uint64_t i = 0; i < 32; ++i)
    EXPECT_EQ(h.percentile((static_cast<double>(i) + 0.5) / 32), i);
}

TEST(Histogram, EveryMagnitudeIsRightToThreePercent) {
  for (std::uint64_t value = 1; value < std::uint64_t{1} << 62; value += value / 4 + 1) {
    Histogram h;
    h.add(value);
    EXPECT_NEAR(static_cast<double>(h.percentile(0.5)), static_cast<double>(value),
                0.03 * static_cast<double>(value));
    EXPECT_EQ(h.max(), value);
  }
  Histogram h;
  h.add(~std::uint64_t{0});
  EXPECT_GT(h.percentile(0.5), std::uint64_t{1} << 63);
}

TEST(Histogram, Percentiles) {
  Histogram h;
  for (std::uint64_t i = 1; i <= 100'000; ++i)
    h.add(i);
  for (const double share : {0.01, 0.5, 0.9, 0.99, 0.999})
    EXPECT_NEAR(static_cast<double>(h.percentile(share)), share * 1e5, share * 3e3);
  EXPECT_NEAR(static_cast<double>(h.percentile(1)), 1e5, 3e3);
}

TEST(Histogram, ManyAtOnce) {
  Histogram one, many;
  for (unsigned i = 0; i < 7; ++i)
    one.add(1234);
  many.add(1234, 7);
  many.add(10);
  one.add(10);
  EXPECT_EQ(one.total(), many.total());
  for (const double share : {0.0, 0.1, 0.2, 0.9})
    EXPECT_EQ(one.percentile(share), many.percentile(share));
}

}  // namespace
}  // namespace shunt::perf
