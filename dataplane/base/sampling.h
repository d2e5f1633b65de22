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
    } else if (left_ > kMostApart) {
      left_ = kMostApart;
    }
  }
  /// Once for each query that went to no rule with figures: is it one?
  bool due() { return --left_ == 0; }
  /// After one was due: one in kApart queries on average, at distances that no pattern of queries follows.
  void rearm(Random& random) { left_ = 1 + random.below(kMostApart); }

  static constexpr std::uint32_t kMostApart = 127;
  static constexpr std::uint32_t kApart = (1 + kMostApart) / 2;

 private:
  static constexpr std::uint64_t kNever = ~std::uint64_t{0};
  std::uint64_t left_ = kNever;
};

}  // namespace shunt
