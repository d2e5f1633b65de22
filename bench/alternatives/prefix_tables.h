// Other tables for the longest prefix match: DPDK's, and std::map. All take prefixes with values below 2^20,
// and look up a burst of addresses into values, kNoPrefix where none matches. Each holds one family.
#pragma once

#include <rte_fib.h>
#include <rte_fib6.h>
#include <rte_lpm.h>
#include <rte_lpm6.h>
#include <rte_malloc.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "bench/support.h"
#include "dataplane/base/address.h"
#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"

namespace shunt::bench {

inline constexpr std::uint32_t kNoPrefix = 0xffffffff;
using PrefixEntry = std::pair<Prefix, std::uint32_t>;
using AddressBurst = std::span<const IpAddress, kBurst>;
using ValueBurst = std::array<std::uint32_t, kBurst>;

inline std::uint32_t v4_key(const IpAddress& a) {
  return load_be32(a.v4_octets());
}
inline std::uint8_t v4_depth(const Prefix& p) {
  return static_cast<std::uint8_t>(p.length - 96);
}

/// What DPDK's heap grew by.
class DpdkMemory {
 public:
  double octets() const { return allocated() - before_; }

 private:
  static double allocated() {
    rte_malloc_socket_stats stats{};
    rte_malloc_get_socket_stats(0, &stats);
    return static_cast<double>(stats.heap_allocsz_bytes);
  }
  double before_ = allocated();
};

/// A name that no other table of this process has.
inline std::string table_name() {
  static unsigned made = 0;
  return "table" + std::to_string(made++);
}

class Lpm {
 public:
  explicit Lpm(std::span<const PrefixEntry> entries) {
    const rte_lpm_config config{.max_rules = 1 << 17, .number_tbl8s = 1 << 15, .flags = 0};
    table_ = rte_lpm_create(table_name().c_str(), SOCKET_ID_ANY, &config);
    require(table_ != nullptr, "rte_lpm_create");
    for (const auto& [prefix, value] : entries)
      require(rte_lpm_add(table_, v4_key(prefix.address), v4_depth(prefix), value) == 0, "rte_lpm_add");
    octets_ = memory_.octets();
  }
  ~Lpm() { rte_lpm_free(table_); }
  Lpm(const Lpm&) = delete;
  Lpm& operator=(const Lpm&) = delete;
  void find(AddressBurst addresses, ValueBurst& values) const {
    std::array<std::uint32_t, kBurst> keys;
    for (unsigned i = 0; i < kBurst; ++i)
      keys[i] = v4_key(addresses[i]);
    rte_lpm_lookup_bulk(table_, keys.data(), values.data(), kBurst);
    for (std::uint32_t& value : values)
      value = (value & RTE_LPM_LOOKUP_SUCCESS) != 0 ? value & 0xffffff : kNoPrefix;
  }
  double memory_octets() const { return octets_; }

 private:
  DpdkMemory memory_;
  rte_lpm* table_;
  double octets_;
};

class Lpm6 {
 public:
  explicit Lpm6(std::span<const PrefixEntry> entries) {
    const rte_lpm6_config config{.max_rules = 1 << 17, .number_tbl8s = 1 << 16, .flags = 0};
    table_ = rte_lpm6_create(table_name().c_str(), SOCKET_ID_ANY, &config);
    require(table_ != nullptr, "rte_lpm6_create");
    for (const auto& [prefix, value] : entries)
      require(rte_lpm6_add(table_, prefix.address.octets.data(), prefix.length, value) == 0, "rte_lpm6_add");
    octets_ = memory_.octets();
  }
  ~Lpm6() { rte_lpm6_free(table_); }
  Lpm6(const Lpm6&) = delete;
  Lpm6& operator=(const Lpm6&) = delete;
  void find(AddressBurst addresses, ValueBurst& values) const {
    std::uint8_t keys[kBurst][RTE_LPM6_IPV6_ADDR_SIZE];
    std::array<std::int32_t, kBurst> found;
    std::memcpy(keys, addresses.data(), sizeof keys);
    rte_lpm6_lookup_bulk_func(table_, keys, found.data(), kBurst);
    for (unsigned i = 0; i < kBurst; ++i)
      values[i] = found[i] < 0 ? kNoPrefix : static_cast<std::uint32_t>(found[i]);
  }
  double memory_octets() const { return octets_; }

 private:
  DpdkMemory memory_;
  rte_lpm6* table_;
  double octets_;
};

template <rte_fib_lookup_type kLookup>
class Fib {
 public:
  explicit Fib(std::span<const PrefixEntry> entries) {
    rte_fib_conf config{};
    config.type = RTE_FIB_DIR24_8;
    config.default_nh = kNoPrefix >> 1;
    config.max_routes = 1 << 17;
    config.dir24_8.nh_sz = RTE_FIB_DIR24_8_4B;
    config.dir24_8.num_tbl8 = 1 << 15;
    table_ = rte_fib_create(table_name().c_str(), SOCKET_ID_ANY, &config);
    require(table_ != nullptr, "rte_fib_create");
    for (const auto& [prefix, value] : entries)
      require(rte_fib_add(table_, v4_key(prefix.address), v4_depth(prefix), value) == 0, "rte_fib_add");
    octets_ = memory_.octets();
    usable_ = rte_fib_select_lookup(table_, kLookup) == 0;
  }
  ~Fib() { rte_fib_free(table_); }
  Fib(const Fib&) = delete;
  Fib& operator=(const Fib&) = delete;
  void find(AddressBurst addresses, ValueBurst& values) const {
    std::array<std::uint32_t, kBurst> keys;
    std::array<std::uint64_t, kBurst> found;
    for (unsigned i = 0; i < kBurst; ++i)
      keys[i] = v4_key(addresses[i]);
    rte_fib_lookup_bulk(table_, keys.data(), found.data(), kBurst);
    for (unsigned i = 0; i < kBurst; ++i)
      values[i] = found[i] == kNoPrefix >> 1 ? kNoPrefix : static_cast<std::uint32_t>(found[i]);
  }
  bool usable() const { return usable_; }
  double memory_octets() const { return octets_; }

 private:
  DpdkMemory memory_;
  rte_fib* table_;
  double octets_;
  bool usable_;
};

template <rte_fib6_lookup_type kLookup>
class Fib6 {
 public:
  explicit Fib6(std::span<const PrefixEntry> entries) {
    rte_fib6_conf config{};
    config.type = RTE_FIB6_TRIE;
    config.default_nh = kNoPrefix >> 1;
    config.max_routes = 1 << 17;
    config.trie.nh_sz = RTE_FIB6_TRIE_4B;
    config.trie.num_tbl8 = 1 << 16;
    table_ = rte_fib6_create(table_name().c_str(), SOCKET_ID_ANY, &config);
    require(table_ != nullptr, "rte_fib6_create");
    for (const auto& [prefix, value] : entries)
      require(rte_fib6_add(table_, prefix.address.octets.data(), prefix.length, value) == 0, "rte_fib6_add");
    octets_ = memory_.octets();
    usable_ = rte_fib6_select_lookup(table_, kLookup) == 0;
  }
  ~Fib6() { rte_fib6_free(table_); }
  Fib6(const Fib6&) = delete;
  Fib6& operator=(const Fib6&) = delete;
  void find(AddressBurst addresses, ValueBurst& values) const {
    std::uint8_t keys[kBurst][RTE_FIB6_IPV6_ADDR_SIZE];
    std::array<std::uint64_t, kBurst> found;
    std::memcpy(keys, addresses.data(), sizeof keys);
    rte_fib6_lookup_bulk(table_, keys, found.data(), kBurst);
    for (unsigned i = 0; i < kBurst; ++i)
      values[i] = found[i] == kNoPrefix >> 1 ? kNoPrefix : static_cast<std::uint32_t>(found[i]);
  }
  bool usable() const { return usable_; }
  double memory_octets() const { return octets_; }

 private:
  DpdkMemory memory_;
  rte_fib6* table_;
  double octets_;
  bool usable_;
};

/// A map of prefixes, asked once for each length that occurs, the longest first.
class PrefixMap {
 public:
  explicit PrefixMap(std::span<const PrefixEntry> entries) {
    const double before = heap_octets();
    for (const auto& [prefix, value] : entries) {
      map_[prefix] = value;
      lengths_.insert(prefix.length);
    }
    octets_ = heap_octets() - before;
  }
  void find(AddressBurst addresses, ValueBurst& values) const {
    for (unsigned i = 0; i < kBurst; ++i) {
      values[i] = kNoPrefix;
      for (const std::uint8_t length : lengths_) {
        const auto found = map_.find(masked(addresses[i], length));
        if (found == map_.end()) continue;
        values[i] = found->second;
        break;
      }
    }
  }
  double memory_octets() const { return octets_; }

 private:
  static Prefix masked(const IpAddress& address, std::uint8_t length) {
    Prefix p{.address = {}, .length = length};
    const std::size_t whole = length / 8;
    std::memcpy(p.address.octets.data(), address.octets.data(), whole);
    if (length % 8 != 0)
      p.address.octets[whole] = static_cast<std::uint8_t>(address.octets[whole] & (0xff00 >> length % 8));
    return p;
  }
  std::map<Prefix, std::uint32_t> map_;
  std::set<std::uint8_t, std::greater<>> lengths_;
  double octets_ = 0;
};

}  // namespace shunt::bench
