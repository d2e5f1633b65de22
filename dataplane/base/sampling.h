// Chance draws some of the queries that went to rules without figures (base/figures.h).
#pragma once

#include <cstdint>

#include "dataplane/base/random.h"

namespace shunt {

/// Draws the queries that the control plane is told of, to find busy rules without figures.
class RuleSampler {
 public:
  void set_active(bool active) {
    if (!active) {
      left_ = kNever;
    } else if (left_ > kMostApartCrowded) {
      left_ = apart_ = kMostApart;
    }
  }
  /// Once for each query that went to no rule with figures: is it one?
  bool due() { return --left_ == 0; }
  /// After one was due; returns how many queries it stands for. The next one is one in kApart on average, at
  /// distances that no pattern of queries follows. `crowded`: there are more than the control plane takes;
  /// as each costs a walk through all stages, they are further apart then.
  std::uint32_t rearm(Random& random, bool crowded) {
    const std::uint32_t stands_for = apart_;
    left_ = apart_ = 1 + random.below(crowded ? kMostApartCrowded : kMostApart);
    return stands_for;
  }

  static constexpr std::uint32_t kMostApart = 127, kMostApartCrowded = 4095;
  static constexpr std::uint32_t kApart = (1 + kMostApart) / 2;

 private:
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  std::uint64_t left_ = kNever;
  std::uint32_t apart_ = kMostApart;
};

}  // namespace shunt
