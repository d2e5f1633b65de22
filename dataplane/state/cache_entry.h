// What the cache says and keeps: keys, hits, and answers at rest.
#pragma once

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <type_traits>

#include "dataplane/base/bytes.h"
#include "dataplane/base/figures.h"
#include "dataplane/base/octets.h"
#include "dataplane/dns/name.h"
#include "dataplane/dns/query.h"

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
      nullptr;             ///< wire format, lower case; readable to the next multiple of 32 octets
  std::uint64_t hash = 0;  ///< from cache_hash()
  Origin origin = 0;       ///< not looked at by find_routed()
  Routing routing = kNoRouting;
  std::uint16_t type = 0;
  std::uint8_t flags = 0;  ///< from cache_flags()
  std::uint8_t name_length = 0;
  FigureNumber figure = 0;  ///< of the rule that the routing leads to; not part of the key
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

/// An answer's numbers, as they are kept and as a hit gives them: copied as a whole.
struct alignas(4) AnswerNumbers {
  std::uint16_t flags = 0;  ///< header flags of the answer: AA, AD, RA and the RCODE
  std::uint16_t body_length = 0;
  std::uint16_t body_sum =
      0;  ///< ones' complement sum of body (RFC 1071), folded to 16 bits, body starting on an even octet
  std::uint16_t ttl_weight =
      0;  ///< 256 for each TTL at an even offset and 1 for each at an odd one: see aged_sum()
  std::uint8_t ancount = 0, nscount = 0, arcount = 0;  ///< OPT not counted; kMaxTtls in all at most
  Maker maker = Maker::kUpstream;
  FigureNumber figure = 0;  ///< of the rule that the entry's routing led through
};

/// What a hit gives: everything to finish an answer whose question is already in place. Valid until the next
/// insert.
struct CacheHit : AnswerNumbers {
  std::uint16_t ttl_count = 0;
  std::uint32_t age = 0;  ///< whole seconds since insertion; less than any TTL in the body
  const std::uint8_t* body =
      nullptr;  ///< the sections behind the question, OPT left out; TTLs as at insertion
  const std::uint16_t* ttl_offset = nullptr;  ///< of each TTL, from body's first octet
};

/// Copies a hit's body to `to` with its TTLs aged. `room` >= body_length octets may be written at `to`; what
/// lies behind the body there is void afterwards.
inline void copy_aged(const CacheHit& hit, std::uint8_t* to, std::size_t room) {
  // In whole blocks where there is room to write too much; the cache's memory has it to read.
  const std::size_t octets = (hit.body_length + std::size_t{15}) & ~std::size_t{15};
  if (octets <= room) [[likely]] {
    const std::uint8_t* from = hit.body;
    std::uint8_t* at = to;
    for (const std::uint8_t* const end = from + octets; from != end; from += 16, at += 16) {
      _mm_storeu_si128(reinterpret_cast<__m128i*>(at),
                       _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
    }
  } else {
    std::memcpy(to, hit.body, hit.body_length);
  }
  if (hit.age == 0) return;
  const std::uint16_t* const offsets_end = hit.ttl_offset + hit.ttl_count;
  for (const std::uint16_t* offset = hit.ttl_offset; offset != offsets_end; ++offset)
    store_be32(to + *offset, load_be32(to + *offset) - hit.age);
}

/// Copies a hit's body to `to`, with every TTL at `ttl` seconds. body_length octets may be written there.
inline void copy_stale(const CacheHit& hit, std::uint8_t* to, std::uint32_t ttl) {
  std::memcpy(to, hit.body, hit.body_length);
  for (unsigned i = 0; i < hit.ttl_count; ++i)
    store_be32(to + hit.ttl_offset[i], ttl);
}

/// The sum (net/checksum.h) of what copy_aged() writes, as if it started on an even octet, without reading
/// it: for the UDP checksum. Where the body starts on an odd octet of the datagram, net::at_offset() tells
/// how it counts.
inline std::uint64_t aged_sum(const CacheHit& hit) {
  // Modulo 2^16 - 1 the four octets of a TTL at an odd offset count as its value, and at an even one, where a
  // little-endian sum sees each pair of octets swapped, as 256 times that. So ageing takes off age *
  // ttl_weight, whatever the TTLs are. The multiple of 2^16 - 1 is above that product (32 and 16 bits) and
  // keeps the difference positive.
  constexpr std::uint64_t kZero = std::uint64_t{0xffff} << 33;
  return hit.body_sum + kZero - std::uint64_t{hit.age} * hit.ttl_weight;
}

/// Entries are placed and sized in units of this many octets, so that 32 bits address 128 GiB, and that a
/// usual answer or a blocked name's, 65 to 128 octets, mostly lies in the two cache lines that are asked for
/// ahead: in units of 16 every second one of 112 octets reached into a third.
inline constexpr std::size_t kCacheUnit = 32;

/// The fixed part of an answer at rest. Behind it lie its name (lower case), an octet where that makes the
/// length even, its TTL offsets, its body: what a hit reads is contiguous, two cache lines for a usual answer
/// of one record.
struct CacheEntry {
  // What `state` is made of.
  static constexpr std::uint8_t kHit = 1;      ///< found since it was stored or last moved
  static constexpr std::uint8_t kDead = 2;     ///< replaced or flushed; the index no longer names it
  static constexpr std::uint8_t kPadding = 4;  ///< fills a ring up to its end; only `units` and `state` exist
  /// Two bits: how often the answer was asked for again before it expired, kMaxRefetches at most.
  static constexpr unsigned kRefetchShift = 3, kMaxRefetches = 3;
  static constexpr std::uint8_t kRefetches = kMaxRefetches << kRefetchShift;

  std::uint16_t units;  ///< size of all of it
  std::uint8_t state;
  std::uint8_t ttl_count;
  // The key.
  std::uint32_t home_hash;  ///< from CacheIndex::home_hash()
  std::uint32_t origin;
  std::uint32_t routing;   ///< that led to `origin` last
  std::uint32_t question;  ///< question_of() the key
  // Times, seconds.
  std::uint32_t inserted;
  std::uint32_t lifetime;
  AnswerNumbers answer;

  /// All of a key's question but the name's octets, and with its routing, to be compared at once.
  static std::uint32_t question_of(const CacheKey& key) {
    return load_le32(reinterpret_cast<const std::uint8_t*>(&key) + offsetof(CacheKey, type));
  }
  static std::uint64_t routed_question_of(const CacheKey& key) {
    return load_le64(reinterpret_cast<const std::uint8_t*>(&key) + offsetof(CacheKey, routing));
  }
  std::uint64_t routed_question() const { return std::uint64_t{question} << 32 | routing; }
  std::uint8_t name_length() const { return static_cast<std::uint8_t>(question >> 24); }

  static std::size_t octets_for(std::size_t name, std::size_t ttls, std::size_t body) {
    return sizeof(CacheEntry) + even(name) + 2 * ttls + body;
  }
  bool has_name(const std::uint8_t* other) { return equal_octets(other, name(), name_length()); }
  std::uint8_t* name() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  std::uint16_t* ttl_offsets() { return reinterpret_cast<std::uint16_t*>(name() + even(name_length())); }
  std::uint8_t* body() { return reinterpret_cast<std::uint8_t*>(ttl_offsets() + ttl_count); }

  bool live() const { return (state & (kDead | kPadding)) == 0; }
  bool hit() const { return (state & kHit) != 0; }
  /// Also false where the clock ran backwards, which it does not.
  bool fresh(std::uint32_t now) const { return now - inserted < lifetime; }

  /// A hot answer is asked for again in the last eighth of its life; where that brought none, in the last
  /// sixteenth and the last thirty-second. Whole seconds: one that lives for less than 8 s never is.
  static constexpr unsigned kRefetchPart = 3;
  std::uint32_t refetch_age() const { return lifetime - (lifetime >> kRefetchPart); }
  /// At that age at least; fresh still. Only answers of upstreams, and no failures.
  bool refetch_due(std::uint32_t age) const {
    const unsigned asked = (state & kRefetches) >> kRefetchShift;
    return hit() && asked < kMaxRefetches && lifetime - age <= lifetime >> (kRefetchPart + asked) &&
           answer.maker == Maker::kUpstream &&
           (answer.flags & dns::kRcodeMask) != static_cast<std::uint16_t>(dns::Rcode::kServFail);
  }
  void note_refetch() { state = static_cast<std::uint8_t>(state + (1u << kRefetchShift)); }
  std::size_t octets() const { return units * kCacheUnit; }

 private:
  static std::size_t even(std::size_t n) { return n + (n & 1); }
};
static_assert(offsetof(CacheKey, flags) == offsetof(CacheKey, type) + 2 &&
              offsetof(CacheKey, name_length) == offsetof(CacheKey, type) + 3 &&
              offsetof(CacheKey, type) == offsetof(CacheKey, routing) + 4);
static_assert(sizeof(CacheEntry) == 44 && alignof(CacheEntry) == 4);
static_assert(std::is_trivially_copyable_v<CacheEntry>);

}  // namespace shunt::state
