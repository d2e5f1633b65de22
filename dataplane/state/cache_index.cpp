#include "dataplane/state/cache_index.h"

#include <algorithm>
#include <cstdlib>

namespace shunt::state {
namespace {

// The sizes are halves of halves of all, in whole groups, so that growing ends at all of it.
std::size_t size_within(std::size_t all, unsigned halvings) {
  return std::max<std::size_t>(all >> halvings & ~std::size_t{CacheIndex::kGroup - 1}, CacheIndex::kGroup);
}

}  // namespace

CacheIndex::CacheIndex(std::span<Bucket> buckets)
    : buckets_(buckets.first(size_within(buckets.size(), 0))),
      size_(static_cast<std::uint32_t>(buckets_.size())) {
  clear();
}

void CacheIndex::clear() {
  std::memset(static_cast<void*>(buckets_.data()), 0, size_ * sizeof(Bucket));
  unsigned halvings = 0;
  while (size_within(buckets_.size(), halvings) > kGroup)
    ++halvings;
  size_ = static_cast<std::uint32_t>(size_within(buckets_.size(), halvings));
  frontier_ = size_before_ = groups_left_ = 0;
  used_ = 0;
  asked_for_ = false;
}

void CacheIndex::begin_growing() {
  unsigned halvings = 0;
  while (size_within(buckets_.size(), halvings + 1) > size_)
    ++halvings;
  size_before_ = size_;
  size_ = static_cast<std::uint32_t>(size_within(buckets_.size(), halvings));
  frontier_ = 0xffffffff;
  groups_left_ = size_before_ / kGroup;
  asked_for_ = true;  // no prefetch ahead of the first one: the frontier is right once it has been taken
}

std::array<CacheIndex::Bucket, CacheIndex::kGroup> CacheIndex::take_group() {
  --groups_left_;
  const std::uint64_t first = std::uint64_t{groups_left_} * kGroup;
  frontier_ = static_cast<std::uint32_t>(((first << 32) + size_before_ - 1) / size_before_);
  std::array<Bucket, kGroup> group;
  std::memcpy(static_cast<void*>(group.data()), &buckets_[first], sizeof(group));
  std::memset(static_cast<void*>(&buckets_[first]), 0, sizeof(group));
  for_each(group.data(), [this](std::uint16_t, std::uint32_t) { --used_; });
  return group;
}

bool CacheIndex::has(std::uint32_t home_hash, std::uint32_t place) const {
  const std::uint32_t home = number(home_hash);
  for (unsigned step = 0; step < kGroup; ++step) {
    const Bucket& bucket = buckets_[home ^ step];
    for (unsigned i = 0; i < kSlots; ++i) {
      if (bucket.place[i] == place && bucket.tag[i] != 0) return step == 0 || buckets_[home].elsewhere != 0;
    }
  }
  return false;
}

CacheIndex::Slot CacheIndex::slot_of(std::uint32_t home_hash, std::uint32_t place) {
  const std::uint32_t home = number(home_hash);
  for (unsigned step = 0; step < kGroup; ++step) {
    Bucket& bucket = buckets_[home ^ step];
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
