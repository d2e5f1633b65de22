// Where an answer lies: buckets of one cache line each. Private to the cache.
//
// A bucket holds ten entries' tags (16 bits of the hash) and places. Four buckets make a group: an entry
// whose home bucket is full lives in another of its group; the home counts those, so that only lookups there
// go on. Each bucket also remembers two names that lately fell out unused: one that comes back at once has
// earned a place among the proven ones (the ghosts of S3-FIFO).
//
// The memory is there for as many entries as the cache may ever hold; only as much of it is used as what it
// holds needs, so that a few hot names lie in a few lines and not in one each. The index doubles, a group
// every second insertion, from the last one down: a home is the hash scaled to the number of buckets
// (Lemire's reduction), so the order of homes is that of the hashes in either size, and a group goes to
// buckets at its own place or above, which have been left already. Hashes below a frontier still have their
// home by the size before. (Linear hashing, Litwin 1980, in the order of hashes: its load is even in every
// size, not only in powers of two.)
#pragma once

#include <emmintrin.h>

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
  static constexpr unsigned kGroup = 4;  ///< buckets that an entry may live in, its home included
  static constexpr unsigned kMeant = 4;  ///< entries per bucket beyond which the index grows

  struct alignas(kCacheLine) Bucket {
    std::array<std::uint16_t, kSlots> tag;  ///< 0: free
    std::array<std::uint32_t, kSlots> place;
    std::uint32_t elsewhere : 8;  ///< entries of this home that live elsewhere in its group
    std::uint32_t ghost : 12, older_ghost : 12;
  };
  static_assert(sizeof(Bucket) == kCacheLine);

  CacheIndex() = default;
  /// `buckets`, kGroup at least, are the caller's.
  explicit CacheIndex(std::span<Bucket> buckets);

  /// The half of a hash that chooses its home, now and after the index has grown: what an entry keeps.
  static std::uint32_t home_hash(std::uint64_t hash) { return static_cast<std::uint32_t>(hash >> 32); }
  static std::uint16_t tag(std::uint64_t hash) {
    const auto t = static_cast<std::uint16_t>(hash);
    return t == 0 ? 1 : t;
  }

  void prefetch(std::uint64_t hash) const { shunt::prefetch(&home(hash)); }

  static constexpr std::uint32_t kNone = 0xffffffff;
  /// The first place in the home bucket that the hash proposes, or kNone.
  std::uint32_t propose(std::uint64_t hash) const {
    const Bucket& bucket = home(hash);
    const unsigned m = matches(bucket, tag(hash));
    // Whether there is one is chance to the branch predictor, so it is not asked.
    const std::uint32_t place = bucket.place[static_cast<unsigned>(std::countr_zero(m | 1u << (kSlots - 1)))];
    return m == 0 ? kNone : place;
  }

  /// Where propose() found none: true where there may be one all the same, in a further bucket.
  bool goes_on(std::uint64_t hash) const { return home(hash).elsewhere != 0; }

  /// The first place proposed that `is_it(place)` accepts, or kNone.
  template <typename IsIt>
  std::uint32_t find(std::uint64_t hash, IsIt is_it) const {
    const std::uint32_t at = number(home_hash(hash));
    const std::uint16_t wanted = tag(hash);
    const std::uint32_t place = find_in(buckets_[at], wanted, is_it);
    if (place != kNone || buckets_[at].elsewhere == 0) [[likely]]
      return place;
    for (unsigned step = 1; step < kGroup; ++step) {
      const std::uint32_t further = find_in(buckets_[at ^ step], wanted, is_it);
      if (further != kNone) return further;
    }
    return kNone;
  }

  /// False where the home's group is full: then the caller removes one of `candidates`.
  bool insert(std::uint64_t hash, std::uint32_t place) { return put(home_hash(hash), tag(hash), place); }
  /// The places in a bucket that is full.
  std::span<const std::uint32_t, kSlots> candidates(std::uint64_t hash) const { return home(hash).place; }

  /// The entry at `place` has moved.
  void move(std::uint32_t home_hash, std::uint32_t place, std::uint32_t to) {
    const Slot s = slot_of(home_hash, place);
    s.bucket->place[s.index] = to;
  }
  /// Removes the entry at `place`; returns its tag.
  std::uint16_t erase(std::uint32_t home_hash, std::uint32_t place) {
    const Slot s = slot_of(home_hash, place);
    const std::uint16_t was = s.bucket->tag[s.index];
    s.bucket->tag[s.index] = 0;
    s.bucket->place[s.index] = 0;
    --used_;
    Bucket& home = buckets_[number(home_hash)];
    if (s.bucket != &home) --home.elsewhere;
    return was;
  }

  /// Grows by a step where it is time. To be called once per insertion. `Entries` tells of what is at a
  /// place: prefetch(place), home_hash(place), and lose(place) for one that finds no slot any more (forty in
  /// one group, where sixteen are expected).
  template <typename Entries>
  void grow(Entries&& entries) {
    if (!growing() && (used_ <= std::size_t{size_} * kMeant || size_ == buckets_.size())) [[likely]]
      return;
    if (!growing()) begin_growing();
    if (asked_for_) {
      move_group(entries);
    } else {
      for_each(&buckets_[std::size_t{groups_left_ - 1} * kGroup],
               [&](std::uint16_t, std::uint32_t place) { entries.prefetch(place); });
    }
    asked_for_ = !asked_for_;
  }

  void remember(std::uint32_t home_hash, std::uint16_t tag) {
    Bucket& bucket = buckets_[number(home_hash)];
    bucket.older_ghost = bucket.ghost;
    bucket.ghost = ghost_of(tag) & 0xfff;
  }
  bool remembers(std::uint64_t hash) const {
    const Bucket& bucket = home(hash);
    const std::uint32_t wanted = ghost_of(tag(hash));
    return bucket.ghost == wanted || bucket.older_ghost == wanted;
  }

  void prefetch_home(std::uint32_t home_hash) const { shunt::prefetch(&buckets_[number(home_hash)]); }
  /// Forgets all entries and ghosts, and begins small again.
  void clear();
  /// True where a slot names that place, where find() would come by.
  bool has(std::uint32_t home_hash, std::uint32_t place) const;
  /// Slots in use, by counting them.
  std::size_t count() const;
  /// Buckets in use.
  std::size_t size() const { return size_; }

 private:
  struct Slot {
    Bucket* bucket;
    unsigned index;
  };

  std::uint32_t number(std::uint32_t home_hash) const {
    const std::uint64_t size = home_hash < frontier_ ? size_before_ : size_;
    return static_cast<std::uint32_t>(home_hash * size >> 32);
  }
  const Bucket& home(std::uint64_t hash) const { return buckets_[number(home_hash(hash))]; }

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
  /// Calls `what(tag, place)` for the entries of a group.
  template <typename What>
  static void for_each(const Bucket* group, What what) {
    for (unsigned b = 0; b < kGroup; ++b) {
      for (unsigned m = ~matches(group[b], 0) & ((1u << kSlots) - 1); m != 0; m &= m - 1) {
        const auto i = static_cast<unsigned>(std::countr_zero(m));
        what(group[b].tag[i], group[b].place[i]);
      }
    }
  }

  bool put(std::uint32_t home_hash, std::uint16_t tag, std::uint32_t place) {
    const std::uint32_t at = number(home_hash);
    for (unsigned step = 0; step < kGroup; ++step) {
      Bucket& bucket = buckets_[at ^ step];
      const unsigned free = matches(bucket, 0);
      if (free == 0) continue;
      const auto slot = static_cast<unsigned>(std::countr_zero(free));
      bucket.tag[slot] = tag;
      bucket.place[slot] = place;
      if (step != 0) ++buckets_[at].elsewhere;
      ++used_;
      return true;
    }
    return false;
  }
  Slot slot_of(std::uint32_t home_hash, std::uint32_t place);

  bool growing() const { return groups_left_ != 0; }
  void begin_growing();
  /// Takes the next group's entries to their homes by the new size. Its ghosts are forgotten: an index that
  /// still grows has lost few.
  template <typename Entries>
  void move_group(Entries&& entries) {
    const std::array<Bucket, kGroup> group = take_group();
    for_each(group.data(), [&](std::uint16_t tag, std::uint32_t place) {
      if (!put(entries.home_hash(place), tag, place)) entries.lose(place);
    });
    if (growing()) {
      for (unsigned i = 0; i < kGroup; ++i)
        shunt::prefetch(&buckets_[(std::size_t{groups_left_} - 1) * kGroup + i]);
    }
  }
  std::array<Bucket, kGroup> take_group();

  std::span<Bucket> buckets_;
  std::uint32_t frontier_ = 0;     ///< hashes below it have their home by size_before_
  std::uint32_t size_before_ = 0;  ///< buckets, as below
  std::uint32_t size_ = 0;         ///< buckets in use, a multiple of kGroup
  std::uint32_t groups_left_ = 0;  ///< to be moved; 0: it doesn't grow now
  std::size_t used_ = 0;           ///< slots
  bool asked_for_ = false;         ///< the next group's entries
};

}  // namespace shunt::state
