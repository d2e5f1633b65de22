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
//
// A hit notes an answer that is hot, which is to say that it was hit before, and about to expire: it is the
// caller's to ask for it again (stages/refetch.cpp), once a burst. All that costs a hit is that it compares
// its age with the age at which that begins, instead of with the age at which it expires.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "dataplane/base/figures.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/dns/name.h"
#include "dataplane/dns/reply.h"
#include "dataplane/state/cache_entry.h"
#include "dataplane/state/cache_index.h"

namespace shunt::state {

class Cache {
 public:
  /// `memory`, aligned to a cache line, is the caller's and outlives this; empty turns the cache off: nothing
  /// is found, nothing stored.
  explicit Cache(std::span<std::byte> memory);
  ~Cache();
  Cache(const Cache&) = delete;
  Cache& operator=(const Cache&) = delete;

  /// False: it has no memory.
  bool on() const { return state_ != nullptr; }

  /// A lookup of a burst goes in steps, so that loads are under way together: first the buckets, then the
  /// entries that their tags propose, then find.
  void prefetch_bucket(std::uint64_t hash) const {
    if (on()) index_.prefetch(hash);
  }
  /// Where the entry for `hash` most likely is; valid until the next insert or flush. kNone may be told
  /// later: what was inserted or moved meanwhile is missed then, no more.
  using Place = std::uint32_t;
  Place prefetch_entry(std::uint64_t hash) const {
    if (!on()) return CacheIndex::kNone;
    const Place place = index_.propose(hash);
    const CacheEntry* const entry = &at(place == CacheIndex::kNone ? 0 : place);
    prefetch(entry);
    prefetch(reinterpret_cast<const std::byte*>(entry) + kCacheLine);
    return place;
  }

  /// A fresh answer for `key`, or false. `proposed` is what prefetch_entry() returned. `now` in seconds of a
  /// monotonic clock. Marks the answer as used, and as what the key's routing leads to; a key without one,
  /// which wants to be matched each time, doesn't.
  bool find(const CacheKey& key, Place proposed, std::uint32_t now, CacheHit& hit) {
    if (proposed == CacheIndex::kNone && (!on() || !index_.goes_on(key.hash))) return false;
    return search(key, now, hit);
  }
  /// The same by itself.
  bool find(const CacheKey& key, std::uint32_t now, CacheHit& hit) {
    return find(key, on() ? index_.propose(key.hash) : CacheIndex::kNone, now, hit);
  }
  /// A fresh answer that a query of the key's routing was led to before; no match is needed then.
  bool find_routed(const CacheKey& key, Place proposed, std::uint32_t now, CacheHit& hit) {
    if (proposed == CacheIndex::kNone && (!on() || !index_.goes_on(key.hash))) return false;
    CacheEntry* entry = proposed == CacheIndex::kNone ? nullptr : &at(proposed);
    if (entry == nullptr || !same_routing(*entry, key)) [[unlikely]] {
      entry = search_routed(key);
      if (entry == nullptr) return false;
    }
    return take(*entry, key, now, hit);
  }

  /// An answer that is hot and about to expire (CacheEntry::refetch_due), and the key that it was found by.
  struct Due {
    CacheEntry* entry = nullptr;    ///< null: none
    const CacheKey* key = nullptr;  ///< where the caller had it: to be compared, not followed
  };
  /// The last one that find() and find_routed() met since the last call. Valid until the next insertion.
  Due take_due() { return std::exchange(due_, {}); }
  bool any_due() const { return due_.entry != nullptr; }

  /// An upstream's answer for `key` that has expired, by `stale` seconds at most (RFC 8767). The hit's age
  /// may be beyond its TTLs: it is for copy_stale(). Fresh ones aren't found.
  bool find_stale(const CacheKey& key, std::uint32_t now, std::uint32_t stale, CacheHit& hit);
  /// Remembers for `seconds` that a key's upstream could not answer; the answer for it stays as it is.
  void note_failure(CacheKey key, std::uint32_t now, std::uint32_t seconds);
  bool has_failed(CacheKey key, std::uint32_t now);

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

  CacheEntry& at(Place place) const {
    return *reinterpret_cast<CacheEntry*>(entries_at_ + std::size_t{place} * kCacheUnit);
  }
  static bool same_routing(CacheEntry& entry, const CacheKey& key) {
    return entry.routed_question() == CacheEntry::routed_question_of(key) && entry.has_name(key.name);
  }
  /// What find() finds where the index doesn't rule it out.
  bool search(const CacheKey& key, std::uint32_t now, CacheHit& hit);
  /// What find_routed() finds where no place was proposed, or the wrong one; or null.
  CacheEntry* search_routed(const CacheKey& key) const;
  /// Fills in `hit` where the entry is still fresh. The hit is not handed to anyone who is not inlined: it
  /// lives in registers.
  bool take(CacheEntry& entry, const CacheKey& key, std::uint32_t now, CacheHit& hit) {
    const std::uint32_t age = now - entry.inserted;
    if (age >= entry.refetch_age()) [[unlikely]] {
      if (!entry.fresh(now)) return false;
      if (entry.refetch_due(age)) due_ = {&entry, &key};
    }
    fill(entry, now, hit);
    return true;
  }
  static void fill(CacheEntry& entry, std::uint32_t now, CacheHit& hit) {
    if (!entry.hit()) entry.state |= CacheEntry::kHit;  // else the line stays clean
    static_cast<AnswerNumbers&>(hit) = entry.answer;
    hit.ttl_count = entry.ttl_count;
    hit.age = now - entry.inserted;
    hit.ttl_offset = entry.ttl_offsets();
    hit.body = entry.body();
  }

  State* state_ = nullptr;  ///< null: the cache is off
  CacheIndex index_;
  Due due_;
  std::byte* entries_at_ = nullptr;
};

}  // namespace shunt::state
