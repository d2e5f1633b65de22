// A run from start to end: waits for the link, finds the target, primes, measures once or searches.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <memory>

#include "bench/perf/clients.h"
#include "bench/perf/link.h"
#include "bench/perf/report.h"
#include "dataplane/base/result.h"

namespace shunt::perf {

class Player {
 public:
  /// `ethdev` is started and has options.queues queue pairs; all outlive the player. `questions` is null
  /// where no clients are played.
  Player(const Options& options, std::uint16_t ethdev, const MacAddress& own, rte_mempool* pool,
         const Questions* questions);

  /// Waits for the link and the target's station, primes, measures. Ends in bounded time; a raised flag ends
  /// it early (its loop looks at it often).
  Result<Report> play(const volatile int& stopped);

 private:
  Result<void> wait_for_link(const volatile int& stopped) const;
  Result<void> resolve(const volatile int& stopped);
  Result<void> prime(const volatile int& stopped);
  void prime_once(const volatile int& stopped, std::uint64_t end);
  /// Sends at that rate (0: as fast as answers come) for so long, then waits for what is in flight.
  Report measure(const volatile int& stopped, double rate, double seconds);
  Result<Report> search(const volatile int& stopped);
  void drain(const volatile int& stopped);
  std::uint64_t cycles(double seconds) const { return static_cast<std::uint64_t>(seconds * hz_); }

  const Options& options_;
  const Questions* const questions_;
  const double hz_;  ///< TSC cycles a second
  Counters counters_;
  std::unique_ptr<Clients> clients_;
  Link link_;
  MacAddress own_;
};

}  // namespace shunt::perf
