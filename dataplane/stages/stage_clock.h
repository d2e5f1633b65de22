// Where a turn's cycles go: the time stamp counter is read once at each boundary between two stages. Only in
// builds with -Dstage_cycles=true; in all others there is nothing of it in the code.
//
// The counter is read without a barrier, so that measuring doesn't slow what is measured: what the processor
// began early or finishes late, some tens of cycles, counts for the neighbouring stage.
#pragma once

#include <rte_cycles.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/stats.h"

namespace shunt {

#ifdef SHUNT_STAGE_CYCLES
inline constexpr bool kStageCycles = true;
#else
inline constexpr bool kStageCycles = false;
#endif

struct HardwareTsc {
  static std::uint64_t read() { return rte_rdtsc(); }
};

/// A worker's; by its thread. `Tsc::read` is the hardware's counter, or a test's.
template <bool kOn, typename Tsc = HardwareTsc>
class StageClock {
 public:
  void begin_turn() {
    turn_ = {};
    last_ = Tsc::read();
  }
  /// All since the last boundary was `stage`, and `passed` went through it.
  void lap(Stage stage, std::uint64_t passed) {
    const std::uint64_t now = Tsc::read();
    StageCount& count = turn_[static_cast<std::size_t>(stage)];
    count.cycles += now - last_;
    count.passed += passed;
    last_ = now;
  }
  /// Adds the turn to `stages`. A turn that found no work counts for nothing: just don't call this.
  void add_turn(std::array<StageCount, kStages>& stages) const {
    for (std::size_t i = 0; i < kStages; ++i) {
      stages[i].cycles += turn_[i].cycles;
      stages[i].passed += turn_[i].passed;
    }
  }

 private:
  std::array<StageCount, kStages> turn_{};
  std::uint64_t last_ = 0;
};

template <typename Tsc>
class StageClock<false, Tsc> {
 public:
  void begin_turn() {}
  void lap(Stage, std::uint64_t) {}
  void add_turn(std::array<StageCount, kStages>&) const {}
};

}  // namespace shunt
