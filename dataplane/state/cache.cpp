#include "dataplane/state/cache.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <new>

#include "dataplane/base/bytes.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/net/checksum.h"
#include "dataplane/state/cache_index.h"
#include "dataplane/state/cache_ring.h"

namespace shunt::state {
namespace {

// Below this there is no room for a useful answer: the cache stays off.
constexpr std::size_t kMinMemory = 4096;
// Entry memory per index bucket. Ten slots for 512 octets: buckets are 40% full with entries of 128 octets,
// and hold out with entries of 96, the smallest that are common. The index takes an eighth of it at most.
constexpr std::size_t kOctetsPerBucket = 512;
// Wide loads of a name may run past the last entry's end.
constexpr std::size_t kSlack = 64;
constexpr std::uint64_t kMaxUnits = 0xfffffff0;
// The small ring's share of the entry memory: a tenth, as in S3-FIFO.
constexpr std::uint64_t kSmallShare = 10;
// Entries that one insertion moves at most, so that it never walks the whole cache: what was hit, too, falls
// out beyond this.
constexpr unsigned kMaxMoves = 32;
// Expired entries that one insertion clears out of the main ring for an unproven entry's sake.
constexpr unsigned kMaxReclaims = 8;

// In a key's flags, where no question has it: the entry is no answer, but a note that there was none.
constexpr std::uint8_t kFailureFlag = 0x80;

constexpr std::uint16_t kKeptFlags = dns::kAa | dns::kRa | dns::kAd | dns::kRcodeMask;

bool same_key(CacheEntry& entry, const CacheKey& key) {
  return entry.origin == key.origin && entry.question == CacheEntry::question_of(key) &&
         entry.has_name(key.name);
}

std::uint16_t units_for(std::size_t name, std::size_t ttls, std::size_t body) {
  return static_cast<std::uint16_t>((CacheEntry::octets_for(name, ttls, body) + kCacheUnit - 1) / kCacheUnit);
}

bool is_at_or_below(CacheEntry& entry, const dns::Name& suffix) {
  const std::uint8_t* const name = entry.name();
  std::size_t at = 0;
  while (entry.name_length() - at > suffix.length)
    at += std::size_t{name[at]} + 1;
  return entry.name_length() - at == suffix.length &&
         std::memcmp(name + at, suffix.wire.data(), suffix.length) == 0;
}

// RFC 2181 section 8: a TTL with its highest bit set counts as 0.
std::uint32_t read_ttl(const std::uint8_t* at) {
  const std::uint32_t ttl = load_be32(at);
  return ttl > 0x7fffffff ? 0 : ttl;
}

// True where `message` can be kept: its body can be copied behind any question for the same name, and the
// offsets in `reply` lie where they must. An OPT before other records would leave a hole that
// compression pointers behind it might cross.
bool can_keep(const CacheKey& key, std::span<const std::uint8_t> message, const dns::Reply& reply) {
  const std::size_t question_end = dns::kHeaderSize + key.name_length + 4;
  if (message.size() > kMaxMessage || reply.question_end != question_end) return false;
  if (reply.body_end < question_end || reply.body_end > message.size()) return false;
  if (reply.truncated() || reply.edns.extended_rcode != 0) return false;
  if (reply.opt_begin != reply.opt_end && reply.opt_begin < reply.body_end) return false;
  const unsigned records = unsigned{reply.header.ancount} + reply.header.nscount + reply.header.arcount;
  if (reply.ttl_count > dns::kMaxTtls || records != reply.ttl_count + (reply.edns.present ? 1u : 0u))
    return false;
  for (std::size_t i = 0; i < reply.ttl_count; ++i) {
    if (reply.ttl_offset[i] < question_end || reply.ttl_offset[i] + 4 > reply.body_end) return false;
  }
  return true;
}

}  // namespace

struct Cache::State {
  // What the index asks of entries when it grows.
  struct Entries {
    State& state;
    std::uint32_t now;

    void prefetch(std::uint32_t place) const { shunt::prefetch(&state.at(place)); }
    std::uint32_t home_hash(std::uint32_t place) const { return state.at(place).home_hash; }
    void lose(std::uint32_t place) const {
      if (state.at(place).fresh(now)) ++state.evictions;
      state.bury(state.at(place));
    }
  };

  /// `found_in` is the cache's own, which its lookups go through; it is set up here.
  State(std::span<std::byte> memory, CacheIndex& found_in);

  CacheEntry& at(std::uint32_t place) const {
    return *reinterpret_cast<CacheEntry*>(entry_memory + std::size_t{place} * kCacheUnit);
  }
  std::uint32_t lookup(const CacheKey& key) const {
    return index.find(key.hash, [&](std::uint32_t place) { return same_key(at(place), key); });
  }

  CacheEntry& create(const CacheKey& key, std::uint16_t units, std::uint32_t now, std::uint32_t lifetime);
  void make_room(CacheRing& ring, std::uint32_t units, std::uint32_t now);
  bool main_has_room(std::uint32_t units, std::uint32_t now);
  void evict_small(std::uint32_t now);
  void evict_main(std::uint32_t now);
  void move_to_main(CacheEntry& entry, std::uint32_t from);
  void bury(CacheEntry& entry);
  std::uint16_t forget(CacheEntry& entry, std::uint32_t place);
  void put_in_index(std::uint64_t hash, std::uint32_t place, std::uint32_t now);
  bool may_move() { return moves_left != 0 && moves_left-- != 0; }
  void prefetch_next_victim(const CacheRing& ring) const;
  template <typename Match>
  std::size_t flush_if(Match match);

  std::byte* entry_memory = nullptr;
  CacheIndex& index;
  CacheRing small, main;
  std::size_t entries = 0;
  std::size_t octets = 0;
  std::uint64_t evictions = 0;
  unsigned moves_left = 0;
};

Cache::State::State(std::span<std::byte> memory, CacheIndex& found_in) : index(found_in) {
  assert(reinterpret_cast<std::uintptr_t>(memory.data()) % kCacheLine == 0);
  const std::size_t buckets = memory.size() / (kOctetsPerBucket + sizeof(CacheIndex::Bucket));
  const std::size_t index_octets = buckets * sizeof(CacheIndex::Bucket);
  index = CacheIndex({reinterpret_cast<CacheIndex::Bucket*>(memory.data()), buckets});
  entry_memory = memory.data() + index_octets;
  const std::uint64_t units =
      std::min<std::uint64_t>((memory.size() - index_octets - kSlack) / kCacheUnit, kMaxUnits);
  const auto for_small = static_cast<std::uint32_t>(units / kSmallShare);
  small = CacheRing(0, for_small);
  main = CacheRing(for_small, static_cast<std::uint32_t>(units) - for_small);
}

// An entry with its key and its place, its answer still to be filled in.
CacheEntry& Cache::State::create(const CacheKey& key, std::uint16_t units, std::uint32_t now,
                                 std::uint32_t lifetime) {
  index.grow(Entries{*this, now});
  // An answer that is renewed keeps the standing of the one before; so does one that fell out just now.
  bool proven = index.remembers(key.hash);
  if (const std::uint32_t old = lookup(key); old != CacheIndex::kNone) {
    proven = main.owns(old) || at(old).hit();
    forget(at(old), old);
  }
  moves_left = kMaxMoves;
  CacheRing& ring = proven ? main : small;
  make_room(ring, units, now);
  const std::uint32_t place = ring.allocate(units, entry_memory);
  auto& entry = *new (static_cast<void*>(&at(place))) CacheEntry{};
  entry.units = units;
  entry.home_hash = CacheIndex::home_hash(key.hash);
  entry.origin = key.origin;
  entry.routing = key.routing;
  entry.question = CacheEntry::question_of(key);
  entry.inserted = now;
  entry.lifetime = lifetime;
  std::memcpy(entry.name(), key.name, key.name_length);
  ++entries;
  octets += entry.octets();
  put_in_index(key.hash, place, now);
  prefetch_next_victim(small);
  prefetch_next_victim(main);
  return entry;
}

// For an entry that the index doesn't name any more.
void Cache::State::bury(CacheEntry& entry) {
  --entries;
  octets -= entry.octets();
  entry.state |= CacheEntry::kDead;
}

std::uint16_t Cache::State::forget(CacheEntry& entry, std::uint32_t place) {
  bury(entry);
  return index.erase(entry.home_hash, place);
}

// The entry has left its ring already, so what it lay in counts as free; main has room for it.
void Cache::State::move_to_main(CacheEntry& entry, std::uint32_t from) {
  const std::size_t size = entry.octets();
  const std::uint32_t home_hash = entry.home_hash;
  const std::uint32_t to = main.allocate(entry.units, entry_memory);
  CacheEntry& moved = at(to);
  std::memmove(static_cast<void*>(&moved), &entry, size);
  moved.state &= CacheEntry::kRefetches;
  index.move(home_hash, from, to);
}

void Cache::State::evict_main(std::uint32_t now) {
  const std::uint32_t place = main.tail();
  CacheEntry& entry = at(place);
  main.pop(entry.units);
  if (!entry.live()) return;
  if (!entry.fresh(now)) {
    forget(entry, place);
  } else if (entry.hit() && may_move()) {
    // What it lay in is free now, so it fits, be it there or, behind padding, at the ring's start.
    move_to_main(entry, place);
  } else {
    ++evictions;
    forget(entry, place);
  }
}

// True where main takes `units` without losing anything that could still be found.
bool Cache::State::main_has_room(std::uint32_t units, std::uint32_t now) {
  for (unsigned i = 0; i < kMaxReclaims && !main.fits(units); ++i) {
    CacheEntry& oldest = at(main.tail());
    if (oldest.live() && oldest.fresh(now)) return false;
    evict_main(now);
  }
  return main.fits(units);
}

void Cache::State::evict_small(std::uint32_t now) {
  const std::uint32_t place = small.tail();
  CacheEntry& entry = at(place);
  small.pop(entry.units);
  if (!entry.live()) return;
  if (!entry.fresh(now)) {
    forget(entry, place);
  } else if (entry.hit() && may_move()) {
    make_room(main, entry.units, now);
    move_to_main(entry, place);
  } else if (main_has_room(entry.units, now)) {
    move_to_main(entry, place);  // unproven, but nobody pays for it
  } else {
    ++evictions;
    const std::uint32_t home_hash = entry.home_hash;
    index.remember(home_hash, forget(entry, place));
  }
}

void Cache::State::make_room(CacheRing& ring, std::uint32_t units, std::uint32_t now) {
  while (!ring.fits(units)) {
    if (&ring == &small) {
      evict_small(now);
    } else {
      evict_main(now);
    }
  }
}

// The oldest entry goes next, and its bucket with it: a random line, better asked for early.
void Cache::State::prefetch_next_victim(const CacheRing& ring) const {
  if (ring.empty()) return;
  const CacheEntry& next = at(ring.tail());
  if (next.live()) index.prefetch_home(next.home_hash);
  prefetch(reinterpret_cast<const std::byte*>(&next) + next.octets());
}

void Cache::State::put_in_index(std::uint64_t hash, std::uint32_t place, std::uint32_t now) {
  if (index.insert(hash, place)) return;
  // Forty entries in one group: one of them goes, an unproven one before others.
  const auto candidates = index.candidates(hash);
  const auto victim =
      std::find_if(candidates.begin(), candidates.end(), [this](std::uint32_t p) { return small.owns(p); });
  const std::uint32_t out = victim != candidates.end() ? *victim : candidates[hash % CacheIndex::kSlots];
  if (at(out).fresh(now)) ++evictions;
  forget(at(out), out);
  index.insert(hash, place);
}

template <typename Match>
std::size_t Cache::State::flush_if(Match match) {
  std::size_t flushed = 0;
  for (const CacheRing* ring : {&small, &main}) {
    ring->walk([&](std::uint32_t place) {
      CacheEntry& entry = at(place);
      if (entry.live() && match(entry)) {
        forget(entry, place);
        ++flushed;
      }
      return std::uint32_t{entry.units};
    });
  }
  return flushed;
}

Cache::Cache(std::span<std::byte> memory) {
  if (memory.size() < kMinMemory) return;
  state_ = new State(memory, index_);
  entries_at_ = state_->entry_memory;
}

Cache::~Cache() {
  delete state_;
}

bool Cache::search(const CacheKey& key, std::uint32_t now, CacheHit& hit) {
  const std::uint32_t place = state_->lookup(key);
  if (place == CacheIndex::kNone) return false;
  CacheEntry& entry = at(place);
  if (!take(entry, key, now, hit)) return false;
  hit.figure = key.figure;
  if (entry.routing != key.routing && key.routing != kNoRouting) {
    entry.routing = key.routing;
    entry.answer.figure = key.figure;
  }
  return true;
}

CacheEntry* Cache::search_routed(const CacheKey& key) const {
  const Place place = index_.find(key.hash, [&](Place other) { return same_routing(at(other), key); });
  return place == CacheIndex::kNone ? nullptr : &at(place);
}

bool Cache::find_stale(const CacheKey& key, std::uint32_t now, std::uint32_t stale, CacheHit& hit) {
  if (state_ == nullptr) return false;
  const std::uint32_t place = state_->lookup(key);
  if (place == CacheIndex::kNone) return false;
  CacheEntry& entry = at(place);
  const std::uint64_t age = now - entry.inserted;
  if (entry.fresh(now) || age >= std::uint64_t{entry.lifetime} + stale) return false;
  const auto rcode = static_cast<dns::Rcode>(entry.answer.flags & dns::kRcodeMask);
  if (entry.answer.maker != Maker::kUpstream || rcode == dns::Rcode::kServFail) return false;
  fill(entry, now, hit);
  return true;
}

void Cache::note_failure(CacheKey key, std::uint32_t now, std::uint32_t seconds) {
  key.flags |= kFailureFlag;
  key.routing = kNoRouting;
  insert_made(key, {.maker = Maker::kRule, .flags = 0, .ancount = 0, .nscount = 0, .body = {}}, now, seconds);
}

bool Cache::has_failed(CacheKey key, std::uint32_t now) {
  if (state_ == nullptr) return false;
  key.flags |= kFailureFlag;
  const std::uint32_t place = state_->lookup(key);
  return place != CacheIndex::kNone && at(place).fresh(now);
}

bool Cache::insert(const CacheKey& key, std::span<const std::uint8_t> message, const dns::Reply& reply,
                   std::uint32_t now, std::uint32_t seconds, std::uint32_t max_ttl, bool raise_ttls) {
  if (state_ == nullptr || seconds == 0 || !can_keep(key, message, reply)) return false;
  State& s = *state_;
  const auto body_length = static_cast<std::uint16_t>(reply.body_end - reply.question_end);
  const std::uint16_t units = units_for(key.name_length, reply.ttl_count, body_length);
  if (units > s.small.capacity() / 4) return false;

  std::uint32_t lifetime = seconds;
  const auto stored_ttl = [&](std::size_t i) {
    const std::uint32_t ttl = std::min(read_ttl(message.data() + reply.ttl_offset[i]), max_ttl);
    return raise_ttls ? std::max(ttl, seconds) : ttl;
  };
  for (std::size_t i = 0; i < reply.ttl_count; ++i)
    lifetime = std::min(lifetime, stored_ttl(i));
  if (lifetime == 0) return false;

  CacheEntry& entry = s.create(key, units, now, lifetime);
  entry.answer.figure = key.figure;
  entry.answer.flags = reply.header.flags & kKeptFlags;
  entry.answer.ancount = static_cast<std::uint8_t>(reply.header.ancount);
  entry.answer.nscount = static_cast<std::uint8_t>(reply.header.nscount);
  entry.answer.arcount = static_cast<std::uint8_t>(reply.header.arcount - (reply.edns.present ? 1 : 0));
  entry.answer.body_length = body_length;
  entry.ttl_count = static_cast<std::uint8_t>(reply.ttl_count);
  std::memcpy(entry.body(), message.data() + reply.question_end, body_length);
  for (std::size_t i = 0; i < reply.ttl_count; ++i) {
    const auto offset = static_cast<std::uint16_t>(reply.ttl_offset[i] - reply.question_end);
    entry.ttl_offsets()[i] = offset;
    entry.answer.ttl_weight =
        static_cast<std::uint16_t>(entry.answer.ttl_weight + ((offset & 1) == 0 ? 256 : 1));
    store_be32(entry.body() + offset, stored_ttl(i));
  }
  entry.answer.body_sum = net::fold(net::add_octets(0, entry.body(), body_length));
  return true;
}

bool Cache::insert_made(const CacheKey& key, const MadeAnswer& answer, std::uint32_t now,
                        std::uint32_t seconds) {
  if (state_ == nullptr || answer.body.size() > kMaxMessage) return false;
  const std::uint16_t units = units_for(key.name_length, 0, answer.body.size());
  if (units > state_->small.capacity() / 4) return false;
  CacheEntry& entry = state_->create(key, units, now, seconds);
  entry.answer.maker = answer.maker;
  entry.answer.figure = key.figure;
  entry.answer.flags = answer.flags & kKeptFlags;
  entry.answer.ancount = static_cast<std::uint8_t>(answer.ancount);
  entry.answer.nscount = static_cast<std::uint8_t>(answer.nscount);
  entry.answer.arcount = static_cast<std::uint8_t>(answer.arcount);
  entry.answer.body_length = static_cast<std::uint16_t>(answer.body.size());
  std::ranges::copy(answer.body, entry.body());  // which may be empty
  entry.answer.body_sum = net::fold(net::add_octets(0, entry.body(), answer.body.size()));
  return true;
}

std::size_t Cache::flush() {
  if (state_ == nullptr) return 0;
  const std::size_t flushed = state_->entries;
  state_->index.clear();
  state_->small.clear();
  state_->main.clear();
  state_->entries = 0;
  state_->octets = 0;
  return flushed;
}

std::size_t Cache::flush(const dns::Name& suffix) {
  if (state_ == nullptr) return 0;
  return state_->flush_if([&suffix](CacheEntry& entry) { return is_at_or_below(entry, suffix); });
}

std::size_t Cache::entries() const {
  return state_ == nullptr ? 0 : state_->entries;
}
std::size_t Cache::octets() const {
  return state_ == nullptr ? 0 : state_->octets;
}
std::uint64_t Cache::evictions() const {
  return state_ == nullptr ? 0 : state_->evictions;
}

bool Cache::consistent() const {
  if (state_ == nullptr) return true;
  std::size_t live = 0, octets = 0;
  bool found = true;
  for (const CacheRing* ring : {&state_->small, &state_->main}) {
    ring->walk([&](std::uint32_t place) {
      const CacheEntry& entry = state_->at(place);
      if (entry.live()) {
        ++live;
        octets += entry.octets();
        found = found && state_->index.has(entry.home_hash, place);
      }
      return std::uint32_t{entry.units};
    });
  }
  return found && live == state_->entries && octets == state_->octets && state_->index.count() == live;
}

}  // namespace shunt::state
