// The upstream servers: every query to one of their addresses gets an answer, made in the packet it came in.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>

#include "bench/perf/counters.h"
#include "bench/perf/options.h"

namespace shunt::perf {

class Servers {
 public:
  Servers(const ServerOptions& options, Counters& counters) : options_(options), counters_(counters) {}

  /// Turns a query into its answer: A and AAAA get the fixed address, other types no record. Returns false
  /// where it is none that can be answered; it is then counted.
  bool answer(rte_mbuf* packet);

 private:
  template <bool kV4>
  bool answer_family(rte_mbuf* packet);
  std::size_t write_answer(std::uint8_t* message, std::size_t size) const;

  const ServerOptions& options_;
  Counters& counters_;
};

}  // namespace shunt::perf
