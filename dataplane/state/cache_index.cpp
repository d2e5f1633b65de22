#include "dataplane/state/cache_index.h"

#include <cstdlib>

namespace shunt::state {

bool CacheIndex::has(std::uint32_t home, std::uint32_t place) const {
  for (unsigned step = 0; step < reach(); ++step) {
    const Bucket& bucket = buckets_[next(home, step)];
    for (unsigned i = 0; i < kSlots; ++i) {
      if (bucket.place[i] == place && bucket.tag[i] != 0) return true;
    }
  }
  return false;
}

CacheIndex::Slot CacheIndex::slot_of(std::uint32_t home, std::uint32_t place) {
  for (unsigned step = 0; step < reach(); ++step) {
    Bucket& bucket = buckets_[next(home, step)];
    for (unsigned i = 0; i < kSlots; ++i) {
      if (bucket.place[i] == place && bucket.tag[i] != 0) return {&bucket, i};
    }
  }
  // Every entry that lives has its slot: going on without one would hand out overwritten memory later.
  std::abort();
}

std::size_t CacheIndex::count() const {
  std::size_t used = 0;
  for (const Bucket& bucket : buckets_)
    used += kSlots - static_cast<unsigned>(std::popcount(matches(bucket, 0)));
  return used;
}

}  // namespace shunt::state
