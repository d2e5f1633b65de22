// Longest-prefix match from a client's address to a small number: its network, or "allowed".
//
// Prefixes nest, so they cut the address space into intervals, two for each prefix at most: a lookup finds
// the interval that an address falls into. A first-level table over the part of the space that is cut leaves
// a search among very few. IPv4 addresses are 32-bit keys; IPv6 is searched by its upper 64 bits, and by its
// lower 64 only below an upper half that prefixes longer than /64 cut.
//
// The families are apart although IpAddress holds both: "::/0" is every IPv6 address and no IPv4 one.
//
// Immutable after building; read by all workers without locks. 40 to 60 octets a prefix, not the 64 MiB that
// rte_lpm takes. Needs no DPDK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/bytes.h"

namespace shunt::net {

/// Intervals of an unsigned key space from 0 to its end, by where they start.
template <typename Key>
class Intervals {
 public:
  /// `starts` is sorted, without duplicates, and begins with 0.
  explicit Intervals(std::vector<Key> starts);
  Intervals() : Intervals(std::vector<Key>{0}) {}

  /// The index of the interval that holds `key`.
  std::size_t find(Key key) const {
    const Key above = static_cast<Key>(key - lowest_);
    if (above > span_) return key < lowest_ ? 0 : starts_.size() - 1;
    // The last start that is not above the key, between those of the table's cell.
    const std::uint32_t* const cell = &first_[static_cast<std::size_t>(above >> shift_)];
    std::size_t at = cell[0];
    std::size_t count = cell[1] - at;
    while (count > 0) {
      const std::size_t half = (count + 1) / 2;
      at += starts_[at + half] <= key ? half : 0;
      count -= half;
    }
    return at;
  }
  std::size_t size() const { return starts_.size(); }
  std::size_t memory_octets() const;

 private:
  std::vector<Key> starts_;
  /// first_[i]: the interval that holds lowest_ + (i << shift_).
  std::vector<std::uint32_t> first_;
  Key lowest_ = 0;  ///< where the first interval ends
  Key span_ = 0;    ///< from there to the last start
  unsigned shift_ = 0;
};

class PrefixTable {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  PrefixTable() = default;
  /// Equal prefixes must not occur twice (the configuration's check sees to it); the last one wins.
  explicit PrefixTable(std::span<const std::pair<Prefix, std::uint32_t>> prefixes);

  /// The value of the longest prefix that contains `address`, or kNone.
  std::uint32_t find(const IpAddress& address) const {
    const std::uint32_t i = find_index(address);
    return i == kNone ? kNone : values_[i];
  }
  /// That prefix itself, for `explain`.
  std::optional<Prefix> find_prefix(const IpAddress& address) const;
  bool contains(const IpAddress& address) const { return find_index(address) != kNone; }
  std::size_t memory_octets() const;

 private:
  /// Set in an interval of upper halves: the rest is an index into lower_.
  static constexpr std::uint32_t kLower = 0x80000000;

  /// An interval's prefix, as an index into prefixes_, or kNone.
  template <typename Key>
  struct Level {
    Intervals<Key> intervals;
    std::vector<std::uint32_t> prefix = {kNone};

    std::uint32_t find(Key key) const { return prefix[intervals.find(key)]; }
    std::size_t memory_octets() const;
  };
  template <typename Key>
  struct Range;
  template <typename Key>
  static Level<Key> flatten(std::vector<Range<Key>> ranges, std::uint32_t outside);

  std::uint32_t find_index(const IpAddress& address) const {
    return address.is_v4() ? v4_.find(load_be32(address.v4_octets())) : find_index_v6(address);
  }
  std::uint32_t find_index_v6(const IpAddress& address) const;
  void build_v4();
  void build_v6();

  Level<std::uint32_t> v4_;
  Level<std::uint64_t> upper_;
  std::vector<Level<std::uint64_t>> lower_;
  std::vector<Prefix> prefixes_;
  std::vector<std::uint32_t> values_;
};

}  // namespace shunt::net
