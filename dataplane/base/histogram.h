// Counts of values by size, in the form that Prometheus takes.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace shunt {

/// How many values were at most as large as each of the bounds: a rising std::array<std::uint32_t, N> with
/// static storage. Plain integers, for one thread.
template <const auto& kUpperBounds>
struct Histogram {
  static constexpr const auto& kBounds = kUpperBounds;

  std::array<std::uint64_t, kUpperBounds.size() + 1> buckets{};  ///< each alone; last: above all bounds
  std::uint64_t sum = 0;

  static constexpr std::size_t bucket_of(std::uint64_t value) {
    const auto v =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
    std::uint32_t bucket = 0;
    for (const std::uint32_t bound : kUpperBounds)
      bucket += v > bound ? 1 : 0;  // without a branch, several at once: no latency is like the one before
    return bucket;
  }
  void add(std::uint64_t value) { add(value, bucket_of(value)); }
  void add(std::uint64_t value, std::size_t bucket) {
    ++buckets[bucket];
    sum += value;
  }
  std::uint64_t count() const {
    std::uint64_t all = 0;
    for (const std::uint64_t n : buckets)
      all += n;
    return all;
  }
  Histogram& operator+=(const Histogram& other) {
    for (std::size_t i = 0; i < buckets.size(); ++i)
      buckets[i] += other.buckets[i];
    sum += other.sum;
    return *this;
  }
};

/// Microseconds: round figures, between which DNS answers come.
inline constexpr std::array<std::uint32_t, 20> kDurationBounds{
    100,    200,    300,     500,     1'000,   2'000,   3'000,     5'000,     10'000,    20'000,
    30'000, 50'000, 100'000, 200'000, 300'000, 500'000, 1'000'000, 2'000'000, 3'000'000, 5'000'000};
using Durations = Histogram<kDurationBounds>;

inline constexpr std::array<std::uint32_t, 6> kBurstBounds{1, 2, 4, 8, 16, 32};
using BurstSizes = Histogram<kBurstBounds>;

}  // namespace shunt
