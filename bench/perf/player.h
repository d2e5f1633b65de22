// The loop: polls every queue, hands frames to clients and servers, sends, keeps the time.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <memory>

#include "bench/perf/clients.h"
#include "bench/perf/neighbours.h"
#include "bench/perf/report.h"
#include "bench/perf/servers.h"
#include "dataplane/base/result.h"

namespace shunt::perf {

class Player {
 public:
  /// `ethdev` is started and has options.queues queue pairs; all outlive the player.
  Player(const Options& options, std::uint16_t ethdev, const MacAddress& own, rte_mempool* pool,
         Questions* questions);

  /// Waits for the link and the target's station, primes, measures. Ends in bounded time; a raised flag ends
  /// it early (its loop looks at it often).
  Result<Report> play(const volatile int& stopped);

 private:
  Result<void> wait_for_link(const volatile int& stopped) const;
  Result<void> resolve(const volatile int& stopped);
  Result<void> prime(const volatile int& stopped);
  void prime_once(const volatile int& stopped, std::uint64_t end);
  /// Sends at the rate asked for until `end`, then waits for what is in flight.
  void measure(const volatile int& stopped, Report& report);
  void drain(const volatile int& stopped);

  void receive(std::uint64_t now);
  void receive_queue(std::uint16_t queue, std::uint64_t now);
  void receive_other(rte_mbuf* packet, std::uint16_t queue);
  void serve(rte_mbuf** packets, unsigned count, std::uint16_t queue);
  /// Sends at most that many queries.
  void send(std::uint64_t now, std::uint64_t most);
  void send_held();
  void send_request();
  std::uint64_t cycles(double seconds) const { return static_cast<std::uint64_t>(seconds * hz_); }

  const Options& options_;
  const std::uint16_t ethdev_;
  rte_mempool* const pool_;
  Questions* const questions_;
  const double hz_;  ///< TSC cycles a second
  Counters counters_;
  Neighbours neighbours_;
  Servers servers_;
  std::unique_ptr<Clients> clients_;
  /// Queries that the port had no room for: sent before any other.
  std::array<rte_mbuf*, kBurst> held_{};
  unsigned held_begin_ = 0, held_end_ = 0;
  std::uint16_t send_queue_ = 0;
  MacAddress own_;
};

}  // namespace shunt::perf
