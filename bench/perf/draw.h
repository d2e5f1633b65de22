// A quick generator for what is drawn per query.
#pragma once

#include <cmath>
#include <cstdint>

namespace shunt::perf {

/// A permutation of the 64-bit numbers (Stafford's mix 13, the end of SplitMix64): different in, different
/// out.
inline std::uint64_t scramble(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

/// SplitMix64: two multiplications a draw. Not for secrets.
class Draw {
 public:
  explicit Draw(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() { return scramble(state_ += 0x9e3779b97f4a7c15); }

 private:
  std::uint64_t state_;
};

/// A share of 0 to 1 as a bound for 32-bit draws: `draw < bound` holds for that share of them.
inline std::uint64_t share_bound(double share) {
  return static_cast<std::uint64_t>(std::llround(share * 4294967296.0));
}

}  // namespace shunt::perf
