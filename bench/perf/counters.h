// What is counted while playing. One instance belongs to the polling thread.
#pragma once

#include <array>
#include <cstdint>

#include "bench/perf/histogram.h"

namespace shunt::perf {

struct ClientCounters {
  std::uint64_t sent = 0;
  std::uint64_t sent_fresh = 0;  ///< of those, for a name never asked before
  std::uint64_t sent_edns = 0;
  std::uint64_t answered = 0;
  std::uint64_t lost = 0;            ///< no answer within the timeout
  std::uint64_t wrong_checksum = 0;  ///< of IP or UDP
  std::uint64_t wrong_source = 0;    ///< from somebody who wasn't asked
  std::uint64_t wrong_question = 0;  ///< the id is right, the question isn't
  std::uint64_t wrong_message = 0;   ///< not an answer, or cut short
  std::uint64_t unexpected = 0;      ///< nothing waits for it: late, repeated, or a wrong id
  std::uint64_t truncated = 0;
  std::uint64_t without_records = 0;  ///< NOERROR, but nothing in the answer section
  std::uint64_t octets_sent = 0, octets_received = 0;
  std::array<std::uint64_t, 16> rcodes{};
  Histogram latency;  ///< in TSC cycles

  std::uint64_t wrong() const { return wrong_checksum + wrong_source + wrong_question + wrong_message; }
};

struct Counters : ClientCounters {
  // Servers.
  std::uint64_t served = 0;
  std::uint64_t not_served = 0;     ///< queries that could not be read
  std::uint64_t transmit_full = 0;  ///< answers that the port had no room for

  // Both.
  std::uint64_t neighbour_answers = 0;  ///< to ARP and neighbour discovery
  std::uint64_t others = 0;             ///< frames that are neither

  /// What was primed isn't measured; what was served was.
  void forget_clients() { static_cast<ClientCounters&>(*this) = {}; }
};

}  // namespace shunt::perf
