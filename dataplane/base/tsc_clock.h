// A worker's clock: microseconds from the time stamp counter.
#pragma once

#include <cstdint>

namespace shunt {

class TscClock {
 public:
  explicit TscClock(std::uint64_t hz) : scale_((std::uint64_t{1} << 32) / (hz / 1'000'000)) {}
  /// By a multiplication: 2^32 / (hz / 10^6), exact enough for a deadline. All that are made with the same
  /// frequency agree.
  std::uint64_t us(std::uint64_t tsc) const {
    __extension__ using Wide = unsigned __int128;
    return static_cast<std::uint64_t>(static_cast<Wide>(tsc) * scale_ >> 32);
  }

 private:
  std::uint64_t scale_;
};

}  // namespace shunt
