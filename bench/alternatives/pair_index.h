// Ways to find a pending query by source port and id, behind one interface:
//   insert(pair, value)  false where it can't be had: taken, or (in our kind of table) its bucket is
//   find(pair)           the value, or kNothing
//   erase(pair)
#pragma once

#include <rte_errno.h>
#include <rte_hash.h>
#include <rte_hash_crc.h>

#include <bit>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "bench/support.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/dns/name.h"

namespace shunt::bench {

inline constexpr std::uint32_t kNothing = 0xffffffff;

inline std::uint32_t pair_of(std::uint16_t port, std::uint16_t id) {
  return std::uint32_t{port} << 16 | id;
}

class RteHashIndex {
 public:
  explicit RteHashIndex(std::uint32_t entries) {
    static unsigned made = 0;
    const std::string name = "pairs" + std::to_string(made++);
    rte_hash_parameters parameters{};
    parameters.name = name.c_str();
    parameters.entries = entries;
    parameters.key_len = sizeof(std::uint32_t);
    parameters.hash_func = rte_hash_crc;
    hash_ = rte_hash_create(&parameters);
    require(hash_ != nullptr, "rte_hash_create");
  }
  ~RteHashIndex() { rte_hash_free(hash_); }
  RteHashIndex(const RteHashIndex&) = delete;
  RteHashIndex& operator=(const RteHashIndex&) = delete;

  bool insert(std::uint32_t pair, std::uint32_t value) {
    const hash_sig_t hash = rte_hash_hash(hash_, &pair);
    if (rte_hash_lookup_with_hash(hash_, &pair, hash) >= 0) return false;  // adding would replace it
    return rte_hash_add_key_with_hash_data(hash_, &pair, hash,
                                           reinterpret_cast<void*>(std::uintptr_t{value})) == 0;
  }
  std::uint32_t find(std::uint32_t pair) const {
    void* value = nullptr;
    return rte_hash_lookup_data(hash_, &pair, &value) < 0 ? kNothing : value_of(value);
  }
  /// `count` <= 64.
  void find_bulk(const std::uint32_t* pairs, unsigned count, std::uint32_t* values) const {
    const void* keys[RTE_HASH_LOOKUP_BULK_MAX];
    void* data[RTE_HASH_LOOKUP_BULK_MAX];
    std::uint64_t hits = 0;
    for (unsigned i = 0; i < count; ++i)
      keys[i] = &pairs[i];
    rte_hash_lookup_bulk_data(hash_, keys, count, &hits, data);
    for (unsigned i = 0; i < count; ++i)
      values[i] = (hits >> i & 1) != 0 ? value_of(data[i]) : kNothing;
  }
  void erase(std::uint32_t pair) { rte_hash_del_key(hash_, &pair); }

 private:
  static std::uint32_t value_of(void* data) {
    return static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(data));
  }
  rte_hash* hash_;
};

class MapIndex {
 public:
  explicit MapIndex(std::uint32_t entries) { map_.reserve(entries); }
  bool insert(std::uint32_t pair, std::uint32_t value) { return map_.try_emplace(pair, value).second; }
  std::uint32_t find(std::uint32_t pair) const {
    const auto found = map_.find(pair);
    return found == map_.end() ? kNothing : found->second;
  }
  void erase(std::uint32_t pair) { map_.erase(pair); }

 private:
  std::unordered_map<std::uint32_t, std::uint32_t> map_;
};

/// What state::Pending has inside, alone, with a lookup for bursts: the bucket is the hash, and the pair that
/// owns it lies beside the value. So nothing else is read before it is known whose answer this is.
class BucketIndex {
 public:
  explicit BucketIndex(std::uint32_t entries) : buckets_(std::bit_ceil(entries) * std::size_t{2}) {}
  bool insert(std::uint32_t pair, std::uint32_t value) {
    Bucket& b = buckets_[place(pair)];
    if (b.value != kNothing) return false;
    b = {pair, value};
    return true;
  }
  std::uint32_t find(std::uint32_t pair) const {
    const Bucket& b = buckets_[place(pair)];
    return b.pair == pair ? b.value : kNothing;
  }
  void find_bulk(const std::uint32_t* pairs, unsigned count, std::uint32_t* values) const {
    for (unsigned i = 0; i < count; ++i)
      prefetch(&buckets_[place(pairs[i])]);
    for (unsigned i = 0; i < count; ++i)
      values[i] = find(pairs[i]);
  }
  void erase(std::uint32_t pair) { buckets_[place(pair)] = {}; }

 private:
  struct Bucket {
    std::uint32_t pair = 0, value = kNothing;
  };
  std::size_t place(std::uint32_t pair) const {
    return dns::mix(pair ^ 0x9e3779b97f4a7c15, 0xbf58476d1ce4e5b9) & (buckets_.size() - 1);
  }
  std::vector<Bucket> buckets_;
};

}  // namespace shunt::bench
