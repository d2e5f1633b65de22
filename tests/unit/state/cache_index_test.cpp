// The index that finds a cache's answers: nothing gets lost while it grows.
#include "dataplane/state/cache_index.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace shunt::state {
namespace {

// Entries that are nothing but their hashes; an entry's place is its number.
class Index {
 public:
  explicit Index(std::size_t buckets) : buckets_(buckets), index_(buckets_) {}

  CacheIndex* operator->() { return &index_; }

  bool insert(std::uint64_t hash) {
    hashes_.push_back(hash);
    lives_.push_back(index_.insert(hash, place(hashes_.size() - 1)));
    return lives_.back();
  }
  void erase(std::size_t i) {
    index_.erase(CacheIndex::home_hash(hashes_[i]), place(i));
    lives_[i] = false;
  }
  void grow() { index_.grow(*this); }
  bool insert_growing(std::uint64_t hash) {
    grow();
    return insert(hash);
  }

  // What the index asks for.
  void prefetch(std::uint32_t) const {}
  std::uint32_t home_hash(std::uint32_t place) const { return CacheIndex::home_hash(hashes_[place]); }
  void lose(std::uint32_t place) {
    lives_[place] = false;
    ++lost_;
  }

  std::size_t entries() const { return hashes_.size(); }
  std::size_t lost() const { return lost_; }
  bool lives(std::size_t i) const { return lives_[i]; }
  bool finds(std::size_t i) const {
    return index_.find(hashes_[i], [&](std::uint32_t at) { return at == place(i); }) == place(i);
  }
  // Whether what lives is found and nothing else is.
  void check() const {
    std::size_t living = 0;
    for (std::size_t i = 0; i < hashes_.size(); ++i) {
      living += lives_[i] ? 1u : 0u;
      ASSERT_EQ(finds(i), lives_[i]) << i;
      ASSERT_EQ(index_.has(CacheIndex::home_hash(hashes_[i]), place(i)), lives_[i]) << i;
    }
    ASSERT_EQ(index_.count(), living);
  }

 private:
  static std::uint32_t place(std::size_t i) { return static_cast<std::uint32_t>(i); }

  std::vector<CacheIndex::Bucket> buckets_;
  CacheIndex index_;
  std::vector<std::uint64_t> hashes_;
  std::vector<bool> lives_;
  std::size_t lost_ = 0;
};

class CacheIndexOf : public ::testing::TestWithParam<std::size_t> {};

TEST_P(CacheIndexOf, GrowsToAllOfItAndLosesNothing) {
  const std::size_t all = GetParam() & ~std::size_t{3};
  Index index(GetParam());
  EXPECT_EQ(index->size(), 4u) << "small where it is empty";
  std::mt19937_64 random(3);
  while (index.entries() < all * 4) {
    ASSERT_TRUE(index.insert_growing(random()));
    EXPECT_LE(index->size(), std::max<std::size_t>(4, index.entries())) << "no larger than it needs to be";
    if (index.entries() % 61 == 0) {
      ASSERT_NO_FATAL_FAILURE(index.check());
    }
  }
  EXPECT_EQ(index->size(), all);
  EXPECT_EQ(index.lost(), 0u);
  index.check();
}

TEST_P(CacheIndexOf, FindsWhatIsErasedWhileItGrows) {
  Index index(GetParam());
  std::mt19937_64 random(4);
  for (unsigned step = 0; step < 8 * GetParam(); ++step) {
    ASSERT_TRUE(index.insert_growing(random()));
    const std::size_t i = random() % index.entries();
    if (step % 2 == 0 && index.lives(i)) index.erase(i);
    if (step % 61 == 0) {
      ASSERT_NO_FATAL_FAILURE(index.check());
    }
  }
  index.check();
}

TEST_P(CacheIndexOf, BeginsSmallAgainWhenCleared) {
  Index index(GetParam());
  std::mt19937_64 random(5);
  for (unsigned i = 0; i < 3 * GetParam(); ++i) {
    ASSERT_TRUE(index.insert_growing(random()));
  }
  index->clear();
  EXPECT_EQ(index->size(), 4u);
  EXPECT_EQ(index->count(), 0u);
  index->clear();
  while (index->size() < (GetParam() & ~std::size_t{3})) {
    ASSERT_TRUE(index.insert_growing(random()));
  }
  EXPECT_FALSE(index.finds(0));
}

INSTANTIATE_TEST_SUITE_P(Sizes, CacheIndexOf, ::testing::Values(4, 7, 8, 23, 64, 404, 1023));

TEST(CacheIndex, AFullGroupTakesNoMore) {
  Index index(64);
  for (unsigned i = 0; i < 40; ++i)
    ASSERT_TRUE(index.insert(0x80000000'00000001 + i));
  EXPECT_FALSE(index.insert(0x80000000'00000055));
  index.check();
}

// From 8 buckets to 20, what two groups held meets in one.
TEST(CacheIndex, TellsWhatFindsNoSlotAnyMore) {
  Index index(20);
  for (std::uint64_t i = 0; i < 17; ++i)
    ASSERT_TRUE(index.insert(i << 59 | 1));
  for (unsigned i = 0; i < 8; ++i)
    index.grow();
  ASSERT_EQ(index->size(), 8u);
  for (std::size_t i = 0; i < 17; ++i)
    index.erase(i);
  for (unsigned i = 0; i < 40; ++i) {
    ASSERT_TRUE(index.insert(0x78000000'00000001 + i)) << "home 3 of 8, 9 of 20";
    ASSERT_TRUE(index.insert(0x80000000'00000001 + i)) << "home 4 of 8, 10 of 20";
  }
  for (unsigned i = 0; i < 8; ++i)
    index.grow();
  ASSERT_EQ(index->size(), 20u);
  EXPECT_EQ(index.lost(), 40u);
  index.check();
}

}  // namespace
}  // namespace shunt::state
