// The upstream servers: every query to one of their addresses gets an answer, made in the packet it came in.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <vector>

#include "bench/perf/counters.h"
#include "bench/perf/options.h"
#include "dataplane/net/checksum.h"

namespace shunt::perf {

class Servers {
 public:
  Servers(const ServerOptions& options, Counters& counters);

  /// Turns a query into its answer: A and AAAA get the fixed address, other types no record. Returns false
  /// where it is none that can be answered; it is then counted.
  bool answer(rte_mbuf* packet);

 private:
  /// Octets to append, and what they add to a checksum.
  struct Record {
    alignas(16) std::array<std::uint8_t, 32> octets{};  ///< copied whole
    std::uint16_t size = 0;
    std::uint16_t sum = 0;
  };
  /// What a message has become.
  struct Answer {
    std::size_t size = 0;  ///< 0: the query can't be answered
    net::Sum change = 0;   ///< what its checksum's sum has grown by
  };

  template <bool kV4>
  bool answer_family(rte_mbuf* packet);
  template <bool kV4>
  bool owns(const std::uint8_t* address) const;
  Answer write_answer(std::uint8_t* message, std::size_t size) const;
  static Record make_record(std::uint16_t type, std::uint32_t ttl, const std::uint8_t* data,
                            std::size_t length);
  static Record make_opt(std::uint8_t flags);

  const ServerOptions& options_;
  Counters& counters_;
  Record a_, aaaa_;
  std::array<Record, 2> opt_;  ///< without and with DO
};

}  // namespace shunt::perf
