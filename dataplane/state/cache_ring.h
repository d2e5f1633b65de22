// The rings that answers lie in: private to cache.cpp.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/state/cache_entry.h"

namespace shunt::state {

/// Entries one behind the other, the oldest at the tail, each in one piece. Positions are units from the
/// first octet of the cache's entry memory, of which this ring has [start, start + capacity). Holds only the
/// bookkeeping.
class CacheRing {
 public:
  CacheRing() = default;
  CacheRing(std::uint32_t start, std::uint32_t capacity) : start_(start), capacity_(capacity) {}

  bool empty() const { return used_ == 0; }
  std::uint32_t capacity() const { return capacity_; }
  std::uint32_t tail() const { return start_ + tail_; }
  bool owns(std::uint32_t place) const { return place - start_ < capacity_; }

  /// True where `units` can be allocated without removing anything.
  bool fits(std::uint32_t units) const {
    const std::uint32_t free = capacity_ - used_;
    return units <= std::min(free, capacity_ - head_) || free >= capacity_ - head_ + std::uint64_t{units};
  }
  /// Takes `units`, which fit, at the head. What doesn't fit before the ring's end is filled with padding in
  /// `memory`.
  std::uint32_t allocate(std::uint32_t units, std::byte* memory) {
    assert(fits(units));
    const std::uint32_t to_end = capacity_ - head_;
    if (units > to_end) {
      CacheEntry padding{};
      padding.units = static_cast<std::uint16_t>(to_end);
      padding.state = CacheEntry::kPadding;
      std::memcpy(memory + std::size_t{start_ + head_} * kCacheUnit, &padding, kPaddingOctets);
      used_ += to_end;
      head_ = 0;
    }
    const std::uint32_t place = start_ + head_;
    head_ = wrap(head_ + units);
    used_ += units;
    return place;
  }
  /// Gives up the `units` of the oldest entry.
  void pop(std::uint32_t units) {
    assert(units > 0 && units <= used_);
    tail_ = wrap(tail_ + units);
    used_ -= units;
    if (used_ == 0) head_ = tail_ = 0;
  }
  void clear() { head_ = tail_ = used_ = 0; }

  /// Calls `each(place)`, which returns the entry's units, from the oldest to the newest.
  template <typename Each>
  void walk(Each each) const {
    std::uint32_t at = tail_;
    for (std::uint32_t left = used_; left != 0;) {
      const std::uint32_t units = each(start_ + at);
      at = wrap(at + units);
      left -= units;
    }
  }

 private:
  static constexpr std::size_t kPaddingOctets = 4;  // `units` and `state`: a padding may be one unit short
  static_assert(offsetof(CacheEntry, state) < kPaddingOctets);

  std::uint32_t wrap(std::uint32_t at) const { return at == capacity_ ? 0 : at; }

  std::uint32_t start_ = 0, capacity_ = 0;
  std::uint32_t head_ = 0, tail_ = 0, used_ = 0;
};

}  // namespace shunt::state
