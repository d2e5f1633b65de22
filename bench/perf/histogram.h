// A log-linear histogram: 32 steps per power of two, so that a percentile is right to 3 %.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace shunt::perf {

class Histogram {
 public:
  void add(std::uint64_t value, std::uint64_t times = 1) {
    counts_[index(value)] += times;
    if (value > max_) max_ = value;
    total_ += times;
  }

  std::uint64_t total() const { return total_; }
  std::uint64_t max() const { return max_; }

  /// The middle of the step that holds the given share of all values (0 to 1); 0 where there are none.
  std::uint64_t percentile(double share) const {
    const auto wanted = static_cast<std::uint64_t>(share * static_cast<double>(total_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > wanted || (seen == total_ && seen != 0)) return middle(i);
    }
    return 0;
  }

 private:
  static constexpr unsigned kBits = 5;
  static constexpr std::uint64_t kSteps = 1 << kBits;

  // Values below kSteps have a step each; above, the kBits bits behind the highest one count.
  static std::size_t index(std::uint64_t value) {
    if (value < kSteps) return value;
    const unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
    return (std::size_t{shift} + 1) * kSteps + ((value >> shift) & (kSteps - 1));
  }
  static std::uint64_t middle(std::size_t i) {
    if (i < kSteps) return i;
    const std::size_t shift = i / kSteps - 1;
    return ((kSteps + i % kSteps) << shift) + ((std::uint64_t{1} << shift) >> 1);
  }

  std::array<std::uint64_t, (64 - kBits + 1) * kSteps> counts_{};
  std::uint64_t total_ = 0, max_ = 0;
};

}  // namespace shunt::perf
