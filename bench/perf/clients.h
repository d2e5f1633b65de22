// The DNS clients: they fill packets with queries, and check every answer against the question it claims to
// answer.
//
// A query in flight has a slot; the low bits of its id are the slot's number, the others change with every
// use of it. So an answer is found without a search, and one that comes twice or too late isn't taken for
// another.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <memory>

#include "bench/perf/asks.h"
#include "bench/perf/counters.h"
#include "bench/perf/options.h"
#include "bench/perf/schedule.h"

namespace shunt::perf {

/// The most packets of one call.
inline constexpr unsigned kBurst = 32;

class Clients {
 public:
  /// `options`, `questions` and `counters` outlive it. Times are TSC cycles.
  static std::unique_ptr<Clients> make(const Options& options, const Questions& questions, Counters& counters,
                                       std::uint64_t cycles_per_second);
  virtual ~Clients() = default;

  virtual void set_stations(const MacAddress& own, const MacAddress& peer) = 0;
  /// Fills `count` packets, which must not be more than free_slots().
  virtual void write(rte_mbuf** packets, unsigned count) = 0;
  /// The packets of the last write() go to the driver now. With a schedule, latency counts from what it says.
  virtual void stamp(std::uint64_t now, Schedule* schedule) = 0;
  /// Checks frames that may be answers, received now. They stay the caller's.
  virtual void receive(rte_mbuf* const* packets, unsigned count, std::uint64_t now) = 0;
  /// Gives up queries that waited too long; looks at some of the slots at each call.
  virtual void expire(std::uint64_t now) = 0;
  virtual std::uint32_t free_slots() const = 0;
  virtual std::uint32_t in_flight() const = 0;
  /// The next queries ask for each name of the set once, in order, instead of what is asked for; or no more.
  virtual void set_priming(bool priming) = 0;
};

}  // namespace shunt::perf
