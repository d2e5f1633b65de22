// The current generation, and for a while the one before: what workers tell of may come from either.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <utility>

#include "control/generation.h"

namespace shunt::control {

/// Belongs to one thread.
class RecentGenerations {
 public:
  using Clock = std::chrono::steady_clock;
  /// For how long what workers still tell of the generation before is understood.
  static constexpr std::chrono::seconds kKeepBefore{5};

  void set(std::shared_ptr<const Generation> generation, Clock::time_point now) {
    before_ = std::exchange(current_, std::move(generation));
    changed_ = now;
  }
  /// Lets go of the one before, once nothing comes from it any more. Every second or more often.
  void retire(Clock::time_point now) {
    if (now - changed_ >= kKeepBefore) before_.reset();
  }
  /// Null: there is none yet.
  const Generation* current() const { return current_.get(); }
  /// Null where that one is neither.
  const Generation* find(std::uint64_t number) const {
    for (const Generation* generation : {current_.get(), before_.get()}) {
      if (generation != nullptr && generation->number() == number) return generation;
    }
    return nullptr;
  }

 private:
  std::shared_ptr<const Generation> current_, before_;
  Clock::time_point changed_;
};

}  // namespace shunt::control
