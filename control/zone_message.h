// Writes an answer record by record, with names compressed (RFC 1035 section 4.1.4).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "dataplane/dns/wire.h"

namespace shunt::control {

class ZoneMessage {
 public:
  enum Section : std::uint8_t { kAnswer, kAuthority, kAdditional };

  /// `question` is that of the message: a checked name, type and class; `limit` the most that the message may
  /// take, in octets, and no less than the question does.
  ZoneMessage(std::span<const std::uint8_t> question, std::size_t limit);

  /// Adds a record of class IN; sections in their order. Where one doesn't fit, the message is truncated: it
  /// loses all records, and takes no more.
  void add(Section section, std::span<const std::uint8_t> owner, std::uint16_t type, std::uint32_t ttl,
           std::span<const std::uint8_t> rdata);
  void truncate();
  bool truncated() const { return truncated_; }
  std::uint16_t count(Section section) const { return counts_[section]; }

  /// The message, with id 0; TC where it is truncated.
  std::vector<std::uint8_t> finish(std::uint16_t flags) const;

 private:
  void put16(std::uint16_t value);
  void put32(std::uint32_t value);
  void put(std::span<const std::uint8_t> octets) { wire_.insert(wire_.end(), octets.begin(), octets.end()); }
  /// Writes a name, its end as a pointer where it stands already; returns the octets of `name` read.
  std::size_t put_name(std::span<const std::uint8_t> name);
  void put_data(std::uint16_t type, std::span<const std::uint8_t> rdata);

  std::size_t limit_;
  std::size_t question_end_;
  bool truncated_ = false;
  std::uint16_t counts_[3] = {};
  std::vector<std::uint8_t> wire_;
  std::unordered_map<std::string, std::uint16_t> offsets_;  ///< of names and their ends, lower case
};

}  // namespace shunt::control
