// Where an answer lies: buckets of one cache line each. Private to the cache.
//
// A bucket holds ten entries' tags (16 bits of the hash) and places. An entry whose home bucket is full lives
// in one of the next ones; the home counts those, so that only lookups there go on. Each bucket also
// remembers two names that lately fell out unused: one that comes back at once has earned a place among the
// proven ones (the ghosts of S3-FIFO).
#pragma once

#include <emmintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/limits.h"
#include "dataplane/base/prefetch.h"

namespace shunt::state {

class CacheIndex {
 public:
  static constexpr unsigned kSlots = 10;
  static constexpr unsigned kReach = 4;  ///< buckets that an entry may live in, its home included

  struct alignas(kCacheLine) Bucket {
    std::array<std::uint16_t, kSlots> tag;  ///< 0: free
    std::array<std::uint32_t, kSlots> place;
    std::uint32_t elsewhere : 8;  ///< entries of this home that live in the next buckets
    std::uint32_t ghost : 12, older_ghost : 12;
  };
  static_assert(sizeof(Bucket) == kCacheLine);

  CacheIndex() = default;
  /// `buckets` are the caller's, zero.
  explicit CacheIndex(std::span<Bucket> buckets) : buckets_(buckets) {}

  std::uint32_t home(std::uint64_t hash) const {
    return static_cast<std::uint32_t>(((hash >> 32) * buckets_.size()) >> 32);
  }
  static std::uint16_t tag(std::uint64_t hash) {
    const auto t = static_cast<std::uint16_t>(hash);
    return t == 0 ? 1 : t;
  }

  void prefetch(std::uint64_t hash) const { shunt::prefetch(&buckets_[home(hash)]); }

  static constexpr std::uint32_t kNone = 0xffffffff;
  /// The first place in the home bucket that the hash proposes, or kNone.
  std::uint32_t propose(std::uint64_t hash) const {
    const Bucket& bucket = buckets_[home(hash)];
    const unsigned m = matches(bucket, tag(hash));
    // Whether there is one is chance to the branch predictor, so it is not asked.
    const std::uint32_t place = bucket.place[static_cast<unsigned>(std::countr_zero(m | 1u << (kSlots - 1)))];
    return m == 0 ? kNone : place;
  }

  /// Where propose() found none: true where there may be one all the same, in a further bucket.
  bool goes_on(std::uint64_t hash) const { return buckets_[home(hash)].elsewhere != 0; }

  /// The first place proposed that `is_it(place)` accepts, or kNone.
  template <typename IsIt>
  std::uint32_t find(std::uint64_t hash, IsIt is_it) const {
    const std::uint32_t at = home(hash);
    const std::uint16_t wanted = tag(hash);
    const std::uint32_t place = find_in(buckets_[at], wanted, is_it);
    if (place != kNone || buckets_[at].elsewhere == 0) [[likely]]
      return place;
    for (unsigned step = 1; step < reach(); ++step) {
      const std::uint32_t further = find_in(buckets_[next(at, step)], wanted, is_it);
      if (further != kNone) return further;
    }
    return kNone;
  }

  /// False where the home and all buckets in reach are full: then the caller removes one of `candidates`.
  bool insert(std::uint64_t hash, std::uint32_t place) {
    const std::uint32_t at = home(hash);
    for (unsigned step = 0; step < reach(); ++step) {
      Bucket& bucket = buckets_[next(at, step)];
      const unsigned free = matches(bucket, 0);
      if (free == 0) continue;
      const auto slot = static_cast<unsigned>(std::countr_zero(free));
      bucket.tag[slot] = tag(hash);
      bucket.place[slot] = place;
      if (step != 0) ++buckets_[at].elsewhere;
      return true;
    }
    return false;
  }
  /// The places in a bucket that is full.
  std::span<const std::uint32_t, kSlots> candidates(std::uint64_t hash) const {
    return buckets_[home(hash)].place;
  }

  /// The entry at `place`, whose home is `home`, has moved.
  void move(std::uint32_t home, std::uint32_t place, std::uint32_t to) {
    const Slot s = slot_of(home, place);
    s.bucket->place[s.index] = to;
  }
  /// Removes the entry at `place`; returns its tag.
  std::uint16_t erase(std::uint32_t home, std::uint32_t place) {
    const Slot s = slot_of(home, place);
    const std::uint16_t was = s.bucket->tag[s.index];
    s.bucket->tag[s.index] = 0;
    s.bucket->place[s.index] = 0;
    if (s.bucket != &buckets_[home]) --buckets_[home].elsewhere;
    return was;
  }

  void remember(std::uint32_t home, std::uint16_t tag) {
    Bucket& bucket = buckets_[home];
    bucket.older_ghost = bucket.ghost;
    bucket.ghost = ghost_of(tag) & 0xfff;
  }
  bool remembers(std::uint64_t hash) const {
    const Bucket& bucket = buckets_[home(hash)];
    const std::uint32_t wanted = ghost_of(tag(hash));
    return bucket.ghost == wanted || bucket.older_ghost == wanted;
  }

  void prefetch_home(std::uint32_t home) const { shunt::prefetch(&buckets_[home]); }
  void clear() { std::memset(static_cast<void*>(buckets_.data()), 0, buckets_.size_bytes()); }
  /// True where a slot names that place.
  bool has(std::uint32_t home, std::uint32_t place) const;
  /// Slots in use, by counting them.
  std::size_t count() const;

 private:
  struct Slot {
    Bucket* bucket;
    unsigned index;
  };

  static unsigned reach_of(std::size_t buckets) {
    return static_cast<unsigned>(std::min<std::size_t>(kReach, buckets));
  }
  unsigned reach() const { return reach_of(buckets_.size()); }
  std::uint32_t next(std::uint32_t home, unsigned step) const {
    const std::size_t at = std::size_t{home} + step;
    return static_cast<std::uint32_t>(at < buckets_.size() ? at : at - buckets_.size());
  }
  static std::uint32_t ghost_of(std::uint16_t tag) {
    const std::uint32_t g = tag >> 4;
    return g == 0 ? 1 : g;
  }

  /// A bit for each slot with this tag.
  static unsigned matches(const Bucket& bucket, std::uint16_t tag) {
    const __m128i wanted = _mm_set1_epi16(static_cast<short>(tag));
    const std::uint16_t* const tags = bucket.tag.data();
    const __m128i first = _mm_load_si128(reinterpret_cast<const __m128i*>(tags));
    // Slots 2 to 9: of these only the last two are new.
    const __m128i last = _mm_loadu_si128(reinterpret_cast<const __m128i*>(tags + 2));
    const __m128i equal = _mm_packs_epi16(_mm_cmpeq_epi16(first, wanted), _mm_cmpeq_epi16(last, wanted));
    const auto bits = static_cast<unsigned>(_mm_movemask_epi8(equal));
    return (bits & 0xff) | (bits >> 14) << 8;
  }
  template <typename IsIt>
  static std::uint32_t find_in(const Bucket& bucket, std::uint16_t tag, IsIt is_it) {
    for (unsigned m = matches(bucket, tag); m != 0; m &= m - 1) {
      const std::uint32_t place = bucket.place[static_cast<unsigned>(std::countr_zero(m))];
      if (is_it(place)) return place;
    }
    return kNone;
  }
  Slot slot_of(std::uint32_t home, std::uint32_t place);

  std::span<Bucket> buckets_;
};

}  // namespace shunt::state
