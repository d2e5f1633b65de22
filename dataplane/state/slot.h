// One question in flight, the clients that wait for it, and where it was sent: the records of Pending
// (pending.h).
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/state/cache_entry.h"

struct rte_mbuf;

namespace shunt::state {

inline constexpr std::uint32_t kNone = 0xffffffff;
inline constexpr unsigned kMaxTries = 2;

/// How a waiter gets its answer.
enum class Transport : std::uint8_t {
  kUdp,     ///< a frame to the client
  kStream,  ///< through the control plane, by ticket: a TCP client's query
  kAsk,     ///< through the control plane, by ticket: a question of its own (a probe); not a query in the
            ///< counters
  kAlias,   ///< likewise, but it takes a query's way: the target of a zone's alias, which is no zone's
};

/// Is it a client's query, and so one in the counters?
inline bool is_query(Transport transport) {
  return transport == Transport::kUdp || transport == Transport::kStream;
}

/// One client that waits, with all that its answer needs.
struct alignas(kCacheLine) Waiter {
  std::uint32_t next;  ///< of the same slot, or kNone
  std::uint16_t id;
  std::uint16_t flags;  ///< the query's, host order
  IpAddress client;
  IpAddress local;  ///< the endpoint's address that was asked
  std::uint16_t client_port;
  std::uint16_t limit;  ///< octets that the client takes (UDP)
  MacAddress client_mac;
  Transport transport;
  std::uint8_t port;  ///< index of the port
  bool v4;
  bool edns;
  bool dnssec_ok;
  std::uint16_t load_bucket;  ///< Pending's: where the client's queries are counted
  std::uint64_t ticket;       ///< not for kUdp
  std::uint64_t arrived_us;
  Routing routing;      ///< kStream, kAlias: Network::routing of the client's network
  FigureNumber figure;  ///< of the rule that the query went to
  /// Bit i: octet i of the question's name was an upper-case letter (the 0x20 bit was clear).
  std::array<std::uint64_t, 4> upper;
};
static_assert(sizeof(Waiter) == 2 * kCacheLine);

/// A question sent to a target.
struct Try {
  std::uint32_t bucket = kNone;
  std::uint16_t id = 0;
  std::uint16_t port = 0;  ///< our source port
  SocketAddress target;
  IpAddress source;             ///< our address
  std::uint32_t target_id = 0;  ///< in the health array
  std::uint64_t sent_us = 0;
};

enum class Waiting : std::uint8_t { kFree, kForControl, kForTarget };

struct alignas(kCacheLine) Slot {
  Waiting waiting = Waiting::kFree;
  std::uint8_t tries = 0;
  std::uint8_t flags = 0;  ///< cache_flags of the question
  bool shared = false;     ///< in the index of questions; an answer may be cached
  bool miss = false;       ///< no rule matched
  std::uint8_t name_length = 0;
  std::uint16_t type = 0, klass = 0;
  bool zone = false;           ///< a zone answers
  bool in_flight = false;      ///< the last try has had neither an answer nor its timeout
  FigureNumber figure = 0;     ///< of the rule that led there
  std::uint32_t index = 0;     ///< its own
  std::uint32_t serial = 0;    ///< grows with every use of the slot
  std::uint32_t upstream = 0;  ///< handle
  Origin origin = 0;
  Routing routing = kNoRouting;      ///< that led there first
  std::uint32_t waiters = kNone;     ///< first of the list; none, where a cached answer is asked for again
  std::uint32_t next_equal = kNone;  ///< chain of the index of questions
  std::uint32_t previous_due = kNone, next_due = kNone;  ///< list of a wheel's spoke
  std::uint32_t spoke = kNone;
  std::uint32_t equal_bucket = 0;  ///< of the index of questions, where `shared`
  std::uint32_t fallback = kNone;  ///< handle of the upstream to ask when no target of this one's answers
  std::uint64_t hash = 0;          ///< cache_hash of the question
  std::uint64_t give_up_us = 0;    ///< when the last of all waits ends
  rte_mbuf* held =
      nullptr;  ///< a question that isn't shared: a copy of the message, with its options, for the second try
  Try attempt[kMaxTries];
  alignas(16) std::array<std::uint8_t, 256> name{};  ///< lower case; [name_length, 256) is void
};

}  // namespace shunt::state
