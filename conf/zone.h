// A private zone in memory: names, empty non-terminals included, and their records. What a question's answer
// is follows in control/zone_lookup.h.
//
// Threads: built on one thread, then shared freely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>

#include "dataplane/dns/name.h"

namespace shunt::conf {

/// A zone has at most this many records.
inline constexpr std::size_t kMaxZoneRecords = 4'000'000;
/// The data of an RRset's records takes at most this, in octets: more would fit no message, whatever carries
/// it.
inline constexpr std::size_t kMaxRrSetOctets = 60'000;

/// The data of one record: uncompressed wire format, the case of names as written.
struct Rdata {
  std::span<const std::uint8_t> octets;
  Rdata* next = nullptr;
};

/// All records of one name and type, in the file's order.
struct RrSet {
  std::uint16_t type = 0;
  std::uint16_t count = 0;
  std::uint32_t ttl = 0;     ///< the least of its records' (RFC 2181 section 5.2)
  std::uint32_t octets = 0;  ///< what its records take in a message, their owner as a pointer
  Rdata* first = nullptr;
  Rdata* last = nullptr;
  RrSet* next = nullptr;  ///< of the same name
};

/// A name of the zone. One without records is an empty non-terminal.
struct ZoneNode {
  RrSet* sets = nullptr;

  const RrSet* find(std::uint16_t type) const {
    for (const RrSet* set = sets; set != nullptr; set = set->next)
      if (set->type == type) return set;
    return nullptr;
  }
};

class Zone {
 public:
  Zone() = default;
  Zone(const Zone&) = delete;
  Zone& operator=(const Zone&) = delete;

  const dns::Name& apex() const { return apex_; }
  /// The node of a name in wire format, lower case; null where there is no such name.
  const ZoneNode* find(std::span<const std::uint8_t> name) const;
  const RrSet& soa() const { return *soa_; }
  /// The TTL of denials: the lesser of the SOA's own and its MINIMUM (RFC 2308 section 5), seconds.
  std::uint32_t negative_ttl() const { return negative_ttl_; }
  std::size_t records() const { return records_; }
  /// Of all records, in their order: zones with another one differ.
  std::uint64_t digest() const { return digest_; }
  std::size_t names() const { return nodes_.size(); }
  const std::string& file() const { return file_; }
  /// Where in its file the SOA stands, from 1.
  std::uint32_t soa_line() const { return soa_line_; }

 private:
  friend class ZoneBuilder;

  std::string file_;
  std::uint32_t soa_line_ = 0;
  dns::Name apex_;
  const RrSet* soa_ = nullptr;
  std::uint32_t negative_ttl_ = 0;
  std::size_t records_ = 0;
  std::uint64_t digest_ = 0;
  std::pmr::monotonic_buffer_resource arena_;  ///< names, RRsets, data
  std::unordered_map<std::string_view, ZoneNode> nodes_;
};

/// Takes a zone's records one by one; the first is its SOA. One thread.
class ZoneBuilder {
 public:
  explicit ZoneBuilder(std::string file);

  /// Adds a record of class IN, which stands in `line`; returns what is wrong with it (nothing was added
  /// then), or an empty string. A record that is there already is passed over. Throws std::bad_alloc.
  std::string add(const dns::Name& owner, std::uint16_t type, std::uint32_t ttl,
                  std::span<const std::uint8_t> rdata, std::uint32_t line);
  bool has_soa() const { return zone_->soa_ != nullptr; }
  std::size_t records() const { return zone_->records_; }
  /// The finished zone, which has an SOA; the builder is not to be used afterwards.
  std::shared_ptr<const Zone> finish() { return std::move(zone_); }

 private:
  std::string refuse(const dns::Name& owner, std::uint16_t type, std::span<const std::uint8_t> rdata) const;
  void take_soa(const dns::Name& owner, std::span<const std::uint8_t> rdata, std::uint32_t line);
  ZoneNode& make_node(const dns::Name& owner);
  std::span<const std::uint8_t> keep(std::span<const std::uint8_t> octets);
  template <typename T>
  T* make();

  std::shared_ptr<Zone> zone_;
};

/// The octets as a key.
inline std::string_view as_text(std::span<const std::uint8_t> octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

}  // namespace shunt::conf
