// The port: polls its queues, hands frames to clients, servers and neighbour discovery, and sends.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>

#include "bench/perf/clients.h"
#include "bench/perf/neighbours.h"
#include "bench/perf/servers.h"

namespace shunt::perf {

class Link {
 public:
  /// `ethdev` is started and has options.queues queue pairs; all outlive the link. `clients` is null where
  /// none are played.
  Link(const Options& options, std::uint16_t ethdev, const MacAddress& own, rte_mempool* pool,
       Clients* clients, Counters& counters);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  bool up() const;
  const Neighbours& neighbours() const { return neighbours_; }
  /// Asks who has the target's address.
  void send_request();

  /// Polls every queue once.
  void receive();
  /// Sends at most so many queries, in one burst, and fewer than `least` not at all. They are part of the
  /// schedule, if there is one.
  void send(std::uint64_t least, std::uint64_t most, Schedule* schedule);
  /// Sends what the port had no room for.
  void send_held();

 private:
  void receive_queue(std::uint16_t queue);
  void receive_other(rte_mbuf* packet, std::uint16_t queue);
  void serve(rte_mbuf** packets, unsigned count, std::uint16_t queue);
  void free(rte_mbuf** packets, unsigned count);
  bool allocate(rte_mbuf** packets, unsigned count);

  const Options& options_;
  const std::uint16_t ethdev_;
  rte_mempool* const pool_;
  rte_mempool_cache* const pool_cache_;
  Clients* const clients_;
  Counters& counters_;
  Neighbours neighbours_;
  Servers servers_;
  /// Queries that the port had no room for: sent before any other.
  std::array<rte_mbuf*, kBurst> held_{};
  unsigned held_begin_ = 0, held_end_ = 0;
  std::uint16_t send_queue_ = 0;
};

}  // namespace shunt::perf
