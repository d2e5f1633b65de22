// How much of an upstream's load goes where: the same for workers and for what the control plane asks.
#pragma once

#include <cstdint>

namespace shunt::state {

/// One in so many first tries that meet a target on trial goes there: enough to tell whether it works again,
/// and few enough to bear if it doesn't.
inline constexpr std::uint32_t kTrialShare = 16;
/// One in so many of an upstream with `fastest` goes anywhere, so that a target that became fast is noticed:
/// less than one in a hundred, so that it doesn't show in the 99th percentile.
inline constexpr std::uint32_t kExploreShare = 128;

/// The most that a latency may be to count as equally fast as the best one, in microseconds: a quarter more,
/// and what a network adds by chance. The load spreads over these. UINT32_MAX: none was measured.
constexpr std::uint32_t fastest_band_us(std::uint32_t best_us) {
  constexpr std::uint32_t kBandPart = 4, kBandUs = 200;
  return best_us == UINT32_MAX ? best_us - 1 : best_us + best_us / kBandPart + kBandUs;
}

}  // namespace shunt::state
