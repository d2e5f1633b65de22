#include "dataplane/base/histogram.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

namespace shunt {
namespace {

TEST(Histogram, BoundsRiseAndSpanWhatDnsTakes) {
  EXPECT_EQ(std::adjacent_find(kDurationBounds.begin(), kDurationBounds.end(), std::greater_equal<>()),
            kDurationBounds.end());
  EXPECT_EQ(kDurationBounds.front(), 100u);
  EXPECT_EQ(kDurationBounds.back(), 5'000'000u);
  EXPECT_EQ(std::adjacent_find(kBurstBounds.begin(), kBurstBounds.end(), std::greater_equal<>()),
            kBurstBounds.end());
}

TEST(Histogram, BoundBelongsToTheBucketThatItEnds) {
  for (std::size_t i = 0; i < kDurationBounds.size(); ++i) {
    EXPECT_EQ(Durations::bucket_of(kDurationBounds[i]), i);
    EXPECT_EQ(Durations::bucket_of(kDurationBounds[i] + 1), i + 1);
  }
  EXPECT_EQ(Durations::bucket_of(0), 0u);
  EXPECT_EQ(BurstSizes::bucket_of(3), 2u);
  EXPECT_EQ(BurstSizes::bucket_of(32), 5u);
}

TEST(Histogram, WhatNoBoundHoldsIsInTheLastBucket) {
  for (const std::uint64_t value :
       {std::uint64_t{5'000'001}, std::uint64_t{0xffff'ffff}, std::uint64_t{0x1'0000'0000},
        std::uint64_t{0x1'0000'0064}, ~std::uint64_t{0}}) {
    EXPECT_EQ(Durations::bucket_of(value), kDurationBounds.size()) << value;
  }
}

TEST(Histogram, CountsAndSums) {
  Durations histogram;
  EXPECT_EQ(histogram.count(), 0u);
  for (const std::uint64_t value : {50u, 100u, 101u, 9'000'000u})
    histogram.add(value);
  EXPECT_EQ(histogram.buckets[0], 2u);
  EXPECT_EQ(histogram.buckets[1], 1u);
  EXPECT_EQ(histogram.buckets.back(), 1u);
  EXPECT_EQ(histogram.count(), 4u);
  EXPECT_EQ(histogram.sum, 9'000'251u);
}

TEST(Histogram, MergesBucketByBucket) {
  BurstSizes a, b;
  a.add(1);
  a.add(32);
  b.add(32);
  b.add(5);
  a += b;
  EXPECT_EQ(a.buckets, (decltype(a.buckets){1, 0, 0, 1, 0, 2, 0}));
  EXPECT_EQ(a.sum, 70u);
  EXPECT_EQ(a.count(), 4u);
  EXPECT_EQ(b.count(), 2u) << "what is added stays as it is";
}

TEST(Histogram, EarlierCountsCanBeTakenOff) {
  BurstSizes before, now;
  before.add(4);
  now = before;
  now.add(32);
  now.add(4);
  now -= before;
  EXPECT_EQ(now.buckets, (decltype(now.buckets){0, 0, 1, 0, 0, 1, 0}));
  EXPECT_EQ(now.sum, 36u);
}

TEST(Histogram, QuantilesLieWithinTheirBuckets) {
  Durations histogram;
  EXPECT_EQ(quantile(histogram, 0.5), 0.0);
  for (int i = 0; i < 98; ++i)
    histogram.add(250);
  histogram.add(40'000);
  histogram.add(40'000);
  EXPECT_NEAR(quantile(histogram, 0.5), 200 + 100 * 50.0 / 98, 1e-9);
  EXPECT_NEAR(quantile(histogram, 0.99), 40'000, 1e-9);
  histogram.add(60'000'000);
  EXPECT_EQ(quantile(histogram, 1), 5'000'000.0) << "above all bounds";
}

}  // namespace
}  // namespace shunt
