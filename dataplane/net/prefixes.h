// Longest-prefix match from a client's address to a small number: its network, or "allowed".
//
// Immutable after building; read by all workers without locks. Both families in one 128-bit space
// (IpAddress). Sized for thousands of prefixes: kilobytes, not the 64 MiB that rte_lpm takes. Needs no DPDK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "dataplane/base/address.h"

namespace shunt::net {

class PrefixTable {
 public:
  static constexpr std::uint32_t kNone = 0xffffffff;

  PrefixTable() = default;
  /// Equal prefixes must not occur twice (the configuration's check sees to it); the last one wins.
  explicit PrefixTable(std::span<const std::pair<Prefix, std::uint32_t>> prefixes);

  /// The value of the longest prefix that contains `address`, or kNone.
  std::uint32_t find(const IpAddress& address) const;
  /// That prefix itself, for `explain`.
  std::optional<Prefix> find_prefix(const IpAddress& address) const;
  bool contains(const IpAddress& address) const { return find(address) != kNone; }
  std::size_t memory_octets() const;

 private:
  // The owner of this file lays this out.
};

}  // namespace shunt::net
