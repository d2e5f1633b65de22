// The only crossing between the workers and the control plane (and between workers): bounded rings of packet
// buffers, each with a fixed record in its private area that says what it is. Whoever dequeues a buffer owns
// it.
//
//   worker -> control: frames for the kernel (two rings: neighbours, rest), events (misses, answers to
//   tickets), watched queries
//
//   control -> worker: frames of the kernel, queries over streams, aliases' targets, decisions and answers
//   for misses, asks, cache orders
//
//   worker -> worker: answers that the port's hash led to the wrong worker
#pragma once

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <cstdint>

#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/result.h"
#include "dataplane/base/stats.h"
#include "dataplane/dns/wire.h"

namespace shunt {

enum class MessageKind : std::uint8_t {
  // worker -> control
  kFrame,  ///< `port`; data: an Ethernet frame for the mirror
  kMiss,   ///< `slot`, `serial`, `upstream` (the default's handle, mostly), `zone` (a zone is to answer: that
           ///< of `routing`); data: a DNS query with our OPT, id 0
  kReply,  ///< `ticket`, `routing`; data: a DNS answer, the query's id restored. `truncated_by` tells who
  ///< could be asked over TCP; `counted`; `zone`: a zone answered, or (empty, for a kAlias) the routing has
  ///< gone
  kWatched,  ///< `generation`, `network`, `set`, `rule`, `client`: a query for which that watch fires; data:
             ///< its type, and its name in wire format, lower case
  kTimeout,  ///< `target_id`: it left a question unanswered; told at most once a second for each target.
             ///< data: the question's name in wire format, lower case
  // control -> worker
  kTransmit,  ///< `port`; data: an Ethernet frame from the mirror
  kQuery,     ///< `ticket`, `client`, `local`; data: a DNS query, its id included
  kAlias,     ///< `ticket`, `network`, `routing`: the target of a zone's alias, for a client of that network;
              ///< data: a DNS query. A kReply follows, empty where the query was dropped
  kDecision,  ///< `slot`, `serial`, `upstream`: send the miss to a target of that upstream
  kAnswer,    ///< `slot`, `serial`, `upstream`, `truncated_by`; data: a DNS answer to the miss, which the
              ///< control plane asked for, or from a zone (`joined` with another's)
  kFail,      ///< `slot`, `serial`, `error`: answer SERVFAIL with that extended error
  kAsk,    ///< `ticket`, `upstream`, `target`: send the DNS query in data to that target (a probe); a kReply
           ///< follows in any case, empty after a timeout
  kFlush,  ///< data: a name in wire format, lower case, to forget at and below; empty: everything
};

/// What lies in a buffer's private area while it is in a ring.
struct Message {
  MessageKind kind;
  std::uint8_t port;  ///< index of the port
  bool zone;
  bool joined;
  std::uint16_t target;  ///< index into the upstream's targets
  dns::ExtendedError error;
  std::uint32_t slot;
  std::uint32_t serial;  ///< of the slot's use: an answer for an earlier use is recognised and dropped
  std::uint32_t network;
  std::uint32_t upstream;  ///< handle
  std::uint32_t routing;   ///< Network::routing: which network's rules, in which generation
  std::uint32_t rule;      ///< index in the watches of the network's set at position `set`
  std::uint8_t set;
  Counter counted;  ///< kReply: what answered it
  std::uint64_t generation;
  std::uint64_t ticket;  ///< the control plane's own mark for a stream client's query or an ask
  SocketAddress client;
  SocketAddress truncated_by;  ///< kReply with TC to a stream client: the target that said so (port 0: none)
  IpAddress local;             ///< kQuery: the endpoint's address that was asked
  std::uint32_t target_id;     ///< with truncated_by: its id
  /// Of an answer on its way to a port, while queries are logged: when its query came, by the worker's clock;
  /// 0: in this very burst. Nothing else touches it.
  std::uint64_t asked_us;
};
inline constexpr unsigned kMessageSize = 128;
static_assert(sizeof(Message) <= kMessageSize);

/// The record of `packet`, whose pool was made with kMessageSize octets of private area.
inline Message& message_of(rte_mbuf* packet) {
  return *static_cast<Message*>(rte_mbuf_to_priv(packet));
}

/// One worker's rings. Made at start by the control plane, which frees them after the workers have ended.
struct Rings {
  static constexpr unsigned kFrames = 1024;
  static constexpr unsigned kNeighbours = 256;
  static constexpr unsigned kEvents = 8192;
  static constexpr unsigned kOrders = 8192;
  static constexpr unsigned kHandovers = 4096;
  static constexpr unsigned kWatched = 1024;

  rte_ring* neighbours = nullptr;  ///< to control: ARP, ND, routing
  rte_ring* frames = nullptr;      ///< to control: other frames for the kernel
  rte_ring* events = nullptr;      ///< to control: misses and replies
  rte_ring* watched = nullptr;     ///< to control: what it is to log, and may be dropped
  rte_ring* orders = nullptr;      ///< from control
  rte_ring* handovers = nullptr;   ///< from other workers (many producers)

  static Result<Rings> create(unsigned worker);
  /// Frees the rings and every buffer in them.
  void destroy();
};

}  // namespace shunt
