#include "dataplane/base/random.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

namespace shunt {
namespace {

Random::Seed seed_of(std::uint8_t first) {
  Random::Seed seed{};
  seed[0] = first;
  return seed;
}

TEST(Random, IsTheKeyStreamOfAes256InCounterMode) {
  // A zero block under a zero key, from the AES known answer tests (CAVP): dc95c078a2408989ad48a21492842087.
  Random random(Random::Seed{});
  EXPECT_EQ(random.next32(), 0x78c095dcu);
  EXPECT_EQ(random.next32(), 0x898940a2u);
  EXPECT_EQ(random.next32(), 0x14a248adu);
  EXPECT_EQ(random.next32(), 0x87208492u);
}

TEST(Random, TheSameSeedGivesTheSameDraws) {
  Random a(seed_of(1)), b(seed_of(1)), c(seed_of(2));
  unsigned equal_to_other_seed = 0;
  for (int i = 0; i < 5000; ++i) {  // beyond several refills
    const std::uint32_t drawn = a.next32();
    EXPECT_EQ(drawn, b.next32());
    equal_to_other_seed += drawn == c.next32();
  }
  EXPECT_LT(equal_to_other_seed, 3u);
}

TEST(Random, RefillsDoNotRepeatTheStream) {
  Random random(seed_of(3));
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 20000; ++i)
    seen.insert(random.next64());
  EXPECT_EQ(seen.size(), 20000u);
}

TEST(Random, Next64TakesTheUpperHalfFirst) {
  Random a(seed_of(4)), b(seed_of(4));
  const std::uint64_t high = a.next32(), low = a.next32();
  EXPECT_EQ(b.next64(), high << 32 | low);
}

TEST(Random, BelowStaysBelowAndReachesAll) {
  Random random(seed_of(5));
  std::vector<unsigned> hits(10);
  for (int i = 0; i < 100000; ++i)
    ++hits.at(random.below(10));
  for (unsigned h : hits) {
    EXPECT_GT(h, 9500u);
    EXPECT_LT(h, 10500u);
  }
  EXPECT_EQ(random.below(1), 0u);
}

TEST(Random, SystemSeedsDiffer) {
  EXPECT_NE(Random::system_seed(), Random::system_seed());
}

}  // namespace
}  // namespace shunt
