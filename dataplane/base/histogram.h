// Counts of values by size, in the form that Prometheus takes.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
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

  static constexpr unsigned kWidths = std::numeric_limits<std::uint32_t>::digits + 1;
  /// By bit width: how many bounds are below all values of that width.
  static constexpr auto kFirst = [] {
    std::array<std::uint8_t, kWidths> first{};
    for (unsigned width = 1; width < kWidths; ++width) {
      for (const std::uint32_t bound : kUpperBounds)
        first[width] = static_cast<std::uint8_t>(first[width] + (bound >> (width - 1) == 0 ? 1 : 0));
    }
    return first;
  }();
  /// Bounds that values of one width may lie between, at most.
  static constexpr std::uint32_t kMostInOne = [] {
    std::uint32_t most = 0;
    for (unsigned width = 0; width < kWidths; ++width) {
      const std::size_t end = width + 1 < kWidths ? kFirst[width + 1] : kUpperBounds.size();
      most = std::max(most, static_cast<std::uint32_t>(end - kFirst[width]));
    }
    return most;
  }();
  /// The bounds, and behind them some that nothing is above.
  static constexpr auto kPadded = [] {
    std::array<std::uint32_t, kUpperBounds.size() + kMostInOne> padded{};
    padded.fill(std::numeric_limits<std::uint32_t>::max());
    std::copy(kUpperBounds.begin(), kUpperBounds.end(), padded.begin());
    return padded;
  }();

  static constexpr std::size_t bucket_of(std::uint64_t value) {
    const auto v =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(value, std::numeric_limits<std::uint32_t>::max()));
    // Among the few bounds of its power of two, without a branch: no latency is like the one before.
    const std::uint32_t first = kFirst[static_cast<unsigned>(std::bit_width(v))];
    std::uint32_t bucket = first;
    for (std::uint32_t i = 0; i < kMostInOne; ++i)
      bucket += v > kPadded[first + i] ? 1u : 0u;
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
  /// Takes an earlier state of the same counts off.
  Histogram& operator-=(const Histogram& earlier) {
    for (std::size_t i = 0; i < buckets.size(); ++i)
      buckets[i] -= earlier.buckets[i];
    sum -= earlier.sum;
    return *this;
  }
  Histogram& operator+=(const Histogram& other) {
    for (std::size_t i = 0; i < buckets.size(); ++i)
      buckets[i] += other.buckets[i];
    sum += other.sum;
    return *this;
  }
};

/// The value below which the share `q` (0 to 1) of all lie, as if each bucket's were spread evenly over it;
/// the last bound for what is above all bounds; 0 where there are none.
template <const auto& kUpperBounds>
double quantile(const Histogram<kUpperBounds>& of, double q) {
  const double wanted = q * static_cast<double>(of.count());
  double below = 0;
  std::uint32_t lower = 0;
  for (std::size_t i = 0; i < kUpperBounds.size(); ++i) {
    const auto here = static_cast<double>(of.buckets[i]);
    if (here != 0 && below + here >= wanted)
      return lower + (wanted - below) / here * (kUpperBounds[i] - lower);
    below += here;
    lower = kUpperBounds[i];
  }
  return of.count() == 0 ? 0.0 : static_cast<double>(lower);
}

/// Microseconds: round figures, between which DNS answers come.
inline constexpr std::array<std::uint32_t, 20> kDurationBounds{
    100,    200,    300,     500,     1'000,   2'000,   3'000,     5'000,     10'000,    20'000,
    30'000, 50'000, 100'000, 200'000, 300'000, 500'000, 1'000'000, 2'000'000, 3'000'000, 5'000'000};
using Durations = Histogram<kDurationBounds>;

inline constexpr std::array<std::uint32_t, 6> kBurstBounds{1, 2, 4, 8, 16, 32};
using BurstSizes = Histogram<kBurstBounds>;

}  // namespace shunt
