// A worker's answer cache: whole answers in wire format without OPT, ready to copy behind the client's own
// question.
//
// Belongs to one worker, which alone calls it; takes its memory at start and never grows. Answers live one
// behind the other in two rings: a new one enters the small ring (a tenth of the memory) and, when it is
// about to fall out, moves on to the main ring if it was hit meanwhile; in the main ring a hit answer gets
// another round. So a flood of names asked once passes through the small ring and leaves the hot set alone
// (S3-FIFO: Yang et al., SOSP 2023). An index of buckets, a cache line each, with tags, finds them.
//
// The hash picks a bucket and a tag only; the key is compared whole: origin, lower-case name, type, RD, CD,
// DO (the class is IN: others are refused before).
//
// The hash leaves the origin out, so that a lookup needs no rule: an answer also remembers the routing
// (snapshot.h) under which a match led to its origin last. A query under that same routing would be led there
// again, so it is answered without a match (find_routed); any other is matched first (find).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "dataplane/base/limits.h"
#include "dataplane/dns/name.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"

namespace shunt::state {

/// Which source of truth an answer came from: made by the control plane from what an upstream is (outbound
/// addresses, targets, protocol, TLS name) or from a zone's view and generation. Never reused within the life
/// of a process.
using Origin = std::uint32_t;

/// Which name goes to which origin: a number for the whole of a network's rules in one generation. Equal
/// numbers, equal routing; 0 is none's.
using Routing = std::uint32_t;
inline constexpr Routing kNoRouting = 0;

struct CacheKey {
  const std::uint8_t* name =
      nullptr;             ///< wire format, lower case; readable to the next multiple of 16 octets
  std::uint64_t hash = 0;  ///< from cache_hash()
  Origin origin = 0;       ///< not looked at by find_routed()
  Routing routing = kNoRouting;
  std::uint16_t type = 0;
  std::uint8_t flags = 0;  ///< from cache_flags()
  std::uint8_t name_length = 0;
};

/// RD, CD and DO: what else an answer depends on.
inline std::uint8_t cache_flags(const dns::Question& q) {
  return static_cast<std::uint8_t>((q.recursion_desired() ? 1 : 0) | (q.checking_disabled() ? 2 : 0) |
                                   (q.edns.dnssec_ok ? 4 : 0));
}
/// `name_hash` is dns::hash_name().
inline std::uint64_t cache_hash(std::uint64_t name_hash, std::uint16_t type, std::uint8_t flags) {
  return dns::mix(name_hash ^ (std::uint64_t{type} << 32 | flags), 0xe7037ed1a0b428db);
}

/// An answer at rest. Variable in size; what follows this header is laid out by cache.cpp and read through
/// the accessors.
struct CacheEntry;

/// Who made an answer: what it counts as.
enum class Maker : std::uint8_t { kUpstream, kRule, kZone };

/// An answer of ours that a rule or a zone makes the same for every query of a name. Its TTLs don't age.
struct MadeAnswer {
  Maker maker;
  std::uint16_t flags;  ///< AA and the RCODE
  std::uint16_t ancount, nscount;
  std::span<const std::uint8_t> body;  ///< the sections behind the question; kMaxTtls records at most
  std::uint16_t arcount = 0;
};
/// How long such an answer is remembered, in seconds; a reload that changes it changes the routing, too.
inline constexpr std::uint32_t kMadeSeconds = 3600;
/// The origin of what rules and zones answer: it goes with the routing that they are part of.
inline Origin made_origin(Routing routing) {
  return 0x80000000 | routing;
}

/// What a hit gives: everything to finish an answer whose question is already in place. Valid until the next
/// insert.
struct CacheHit {
  const std::uint8_t* body =
      nullptr;  ///< the sections behind the question, OPT left out; TTLs as at insertion
  std::uint16_t body_length = 0;
  std::uint16_t flags = 0;  ///< header flags of the answer: AA, AD, RA and the RCODE
  Maker maker = Maker::kUpstream;
  std::uint16_t ancount = 0, nscount = 0, arcount = 0;  ///< OPT not counted
  const std::uint16_t* ttl_offset = nullptr;            ///< of each TTL, from body's first octet
  std::uint16_t ttl_count = 0;
  std::uint16_t ttl_weight =
      0;                  ///< 256 for each TTL at an even offset and 1 for each at an odd one: see aged_sum()
  std::uint32_t age = 0;  ///< whole seconds since insertion; less than any TTL in the body
  std::uint32_t body_sum =
      0;  ///< ones' complement sum of body (RFC 1071), folded to 16 bits, body starting on an even octet
};

/// Copies a hit's body to `to` with its TTLs aged. `room` >= body_length octets may be written at `to`; what
/// lies behind the body there is void afterwards.
void copy_aged(const CacheHit& hit, std::uint8_t* to, std::size_t room);

/// The sum (net/checksum.h) of what copy_aged() writes, as if it started on an even octet, without reading
/// it: for the UDP checksum. Where the body starts on an odd octet of the datagram, the sum counts with its
/// two octets swapped.
std::uint16_t aged_sum(const CacheHit& hit);

class Cache {
 public:
  /// `memory`, aligned to a cache line, is the caller's and outlives this; empty turns the cache off: nothing
  /// is found, nothing stored.
  explicit Cache(std::span<std::byte> memory);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  /// A lookup of a burst goes in steps, so that loads are under way together: first the buckets, then the
  /// entries that their tags propose, then find.
  void prefetch_bucket(std::uint64_t hash) const;
  /// Where the entry for `hash` most likely is; valid until the next insert or flush.
  using Place = std::uint32_t;
  Place prefetch_entry(std::uint64_t hash) const;

  /// A fresh answer for `key`, or false. `now` in seconds of a monotonic clock. Marks the answer as used, and
  /// as what the key's routing leads to.
  bool find(const CacheKey& key, std::uint32_t now, CacheHit& hit);
  /// A fresh answer that a query of the key's routing was led to before; no match is needed then. `proposed`
  /// is what prefetch_entry() returned.
  bool find_routed(const CacheKey& key, Place proposed, std::uint32_t now, CacheHit& hit);

  /// Stores the answer `message` (as parsed into `reply`) for `seconds` > 0; replaces an older one of the
  /// same key. TTLs above `max_ttl` are stored as `max_ttl`, those below `seconds` where `raise_ttls` is set
  /// as `seconds`. Returns false where it is too large (a quarter of the small ring, or more than
  /// kMaxMessage).
  bool insert(const CacheKey& key, std::span<const std::uint8_t> message, const dns::Reply& reply,
              std::uint32_t now, std::uint32_t seconds, std::uint32_t max_ttl, bool raise_ttls);

  /// Stores an answer that a rule or a zone made, for `seconds` > 0; the key's origin is made_origin() of its
  /// routing. False where it is too large, as above.
  bool insert_made(const CacheKey& key, const MadeAnswer& answer, std::uint32_t now, std::uint32_t seconds);

  /// Forgets everything, or what is at and below `suffix` (lower case). Slow: walks all; returns how many
  /// were forgotten.
  std::size_t flush();
  std::size_t flush(const dns::Name& suffix);

  std::size_t entries() const;      ///< live or expired, still held
  std::size_t octets() const;       ///< memory they take, headers included
  std::uint64_t evictions() const;  ///< fresh answers that were given up for room

  /// Compares index, entries and counters with each other, for tests. Walks all.
  bool consistent() const;

 private:
  struct State;
  State* state_ = nullptr;
};

}  // namespace shunt::state
