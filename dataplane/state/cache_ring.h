// An answer at rest, and the rings that answers lie in: both private to cache.cpp.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "dataplane/state/cache.h"

namespace shunt::state {

/// Entries are placed and sized in units of this many octets, so that 32 bits address 64 GiB.
inline constexpr std::size_t kCacheUnit = 16;

/// The fixed part of an answer at rest. Behind it lie its name (lower case), an octet where that makes the
/// length even, its TTL offsets, its body: what a hit reads is contiguous, two cache lines for a usual answer
/// of one record.
struct CacheEntry {
  // What `state` is made of.
  static constexpr std::uint8_t kHit = 1;      ///< found since it was stored or last moved
  static constexpr std::uint8_t kDead = 2;     ///< replaced or flushed; the index no longer names it
  static constexpr std::uint8_t kPadding = 4;  ///< fills a ring up to its end; only `units` and `state` exist

  std::uint16_t units;  ///< size of all of it
  std::uint8_t state;
  // The key.
  std::uint8_t key_flags;
  std::uint32_t home;     ///< index bucket of its hash
  std::uint32_t routing;  ///< that led to `origin` last
  std::uint32_t origin;
  std::uint16_t type;
  std::uint8_t name_length;
  std::uint8_t ttl_count;
  // Times, seconds.
  std::uint32_t inserted;
  std::uint32_t lifetime;
  // The answer; see CacheHit. It has kMaxTtls records at most, so that each count fits an octet.
  // Each of its records has a TTL in the list, so the additional ones need no count; a made answer has none.
  std::uint16_t flags;
  std::uint16_t body_length;
  std::uint16_t body_sum;
  std::uint16_t ttl_weight;
  std::uint8_t ancount, nscount;
  std::uint16_t made;  ///< the Maker in 4 bits, and in 12 the figure of the rule that `routing` led through

  static std::size_t octets_for(std::size_t name, std::size_t ttls, std::size_t body) {
    return sizeof(CacheEntry) + even(name) + 2 * ttls + body;
  }
  std::uint8_t* name() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  std::uint16_t* ttl_offsets() { return reinterpret_cast<std::uint16_t*>(name() + even(name_length)); }
  std::uint8_t* body() { return reinterpret_cast<std::uint8_t*>(ttl_offsets() + ttl_count); }

  Maker maker() const { return static_cast<Maker>(made & 15); }
  FigureNumber figure() const { return static_cast<FigureNumber>(made >> 4); }
  void set_made(Maker maker, FigureNumber figure) {
    made = static_cast<std::uint16_t>(figure << 4 | static_cast<unsigned>(maker));
  }
  std::uint8_t arcount() const {
    return ttl_count == 0 ? std::uint8_t{0} : static_cast<std::uint8_t>(ttl_count - ancount - nscount);
  }

  bool live() const { return (state & (kDead | kPadding)) == 0; }
  bool hit() const { return (state & kHit) != 0; }
  /// Also false where the clock ran backwards, which it does not.
  bool fresh(std::uint32_t now) const { return now - inserted < lifetime; }
  std::size_t octets() const { return units * kCacheUnit; }

 private:
  static std::size_t even(std::size_t n) { return n + (n & 1); }
};
static_assert(sizeof(CacheEntry) == 40 && alignof(CacheEntry) == 4);
static_assert(std::is_trivially_copyable_v<CacheEntry>);

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
