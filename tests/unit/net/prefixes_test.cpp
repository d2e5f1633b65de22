// Longest-prefix match: by example, and random prefixes against trying each of them.
#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/net/prefixes.h"

namespace shunt::net {
namespace {

using Entries = std::vector<std::pair<Prefix, std::uint32_t>>;

Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}
IpAddress address(std::string_view text) {
  return IpAddress::parse(text).value();
}

TEST(PrefixTable, EmptyTableHoldsNothing) {
  const PrefixTable none, built{Entries{}};
  for (const PrefixTable* table : {&none, &built}) {
    EXPECT_EQ(table->find(address("0.0.0.0")), PrefixTable::kNone);
    EXPECT_EQ(table->find(address("255.255.255.255")), PrefixTable::kNone);
    EXPECT_EQ(table->find(address("::")), PrefixTable::kNone);
    EXPECT_FALSE(table->contains(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")));
    EXPECT_FALSE(table->find_prefix(address("fd00::1")).has_value());
  }
}

TEST(PrefixTable, LongestPrefixWins) {
  const PrefixTable table{Entries{{prefix("10.0.0.0/8"), 1},
                                  {prefix("10.1.0.0/16"), 2},
                                  {prefix("10.1.2.3/32"), 3},
                                  {prefix("fd00::/8"), 4},
                                  {prefix("fd00:1::/64"), 5},
                                  {prefix("fd00:1::8/125"), 6},
                                  {prefix("fd00:1::9/128"), 7}}};
  EXPECT_EQ(table.find(address("9.255.255.255")), PrefixTable::kNone);
  EXPECT_EQ(table.find(address("10.0.0.0")), 1u);
  EXPECT_EQ(table.find(address("10.1.2.2")), 2u);
  EXPECT_EQ(table.find(address("10.1.2.3")), 3u);
  EXPECT_EQ(table.find(address("10.1.2.4")), 2u);
  EXPECT_EQ(table.find(address("10.255.255.255")), 1u);
  EXPECT_EQ(table.find(address("11.0.0.0")), PrefixTable::kNone);
  EXPECT_EQ(table.find(address("fd00:1::7")), 5u);
  EXPECT_EQ(table.find(address("fd00:1::8")), 6u);
  EXPECT_EQ(table.find(address("fd00:1::9")), 7u);
  EXPECT_EQ(table.find(address("fd00:1::f")), 6u);
  EXPECT_EQ(table.find(address("fd00:1::10")), 5u);
  EXPECT_EQ(table.find(address("fd00:1:0:1::")), 4u);
  EXPECT_EQ(table.find(address("fe00::")), PrefixTable::kNone);
  EXPECT_EQ(table.find_prefix(address("10.1.9.9")), prefix("10.1.0.0/16"));
  EXPECT_EQ(table.find_prefix(address("fd00:1::9")), prefix("fd00:1::9/128"));
}

TEST(PrefixTable, FamiliesAreApart) {
  const PrefixTable six{Entries{{prefix("::/0"), 6}}};
  EXPECT_EQ(six.find(address("::")), 6u);
  EXPECT_EQ(six.find(address("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff")), 6u);
  EXPECT_EQ(six.find(address("10.0.0.1")), PrefixTable::kNone);
  const PrefixTable four{Entries{{prefix("0.0.0.0/0"), 4}}};
  EXPECT_EQ(four.find(address("255.255.255.255")), 4u);
  EXPECT_EQ(four.find(address("0.0.0.0")), 4u);
  EXPECT_EQ(four.find(address("::1")), PrefixTable::kNone);
}

TEST(PrefixTable, LastOfEqualPrefixesWins) {
  const PrefixTable table{Entries{{prefix("10.0.0.0/8"), 1}, {prefix("10.0.0.0/8"), 2}}};
  EXPECT_EQ(table.find(address("10.0.0.1")), 2u);
}

TEST(PrefixTable, IsKilobytesForThousands) {
  Entries entries;
  for (std::uint32_t i = 0; i < 10'000; ++i) {
    const std::uint8_t octets[4] = {10, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i), 0};
    entries.push_back({Prefix{IpAddress::v4(octets), 96 + 24}, i});
  }
  EXPECT_LT(PrefixTable{entries}.memory_octets(), 600'000u);
}

class Oracle {
 public:
  explicit Oracle(std::uint64_t seed) : random_(seed) {}

  /// A prefix of random length around few addresses, so that prefixes nest and touch.
  Prefix random_prefix() {
    Prefix p{random_address(), 0};
    p.length = static_cast<std::uint8_t>(p.address.is_v4() ? 96 + random_() % 33 : random_() % 129);
    for (unsigned bit = p.length; bit < 128; ++bit)
      p.address.octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> bit % 8));
    return p;
  }
  IpAddress random_address() {
    std::uint8_t octets[16];
    // Mostly zeros and ones in a row, so that borders are hit.
    for (std::uint8_t& o : octets) {
      const auto kind = random_() % 4;
      o = static_cast<std::uint8_t>(kind == 0   ? 0
                                    : kind == 1 ? 0xff
                                    : kind == 2 ? 1 << random_() % 8
                                                : random_());
    }
    if (random_() % 2 == 0) return IpAddress::v4(octets);
    if (random_() % 2 == 0) std::fill(octets, octets + 8, std::uint8_t{0x20});
    return IpAddress::v6(octets);
  }
  /// An address at a border of `p`, or next to it.
  IpAddress near(const Prefix& p) {
    IpAddress a = p.address;
    if (random_() % 2 == 0)
      for (unsigned bit = p.length; bit < 128; ++bit)
        a.octets[bit / 8] |= static_cast<std::uint8_t>(0x80u >> bit % 8);
    const auto step = random_() % 3;
    for (int i = 15; i >= 0 && step != 0; --i) {
      std::uint8_t& o = a.octets[static_cast<std::size_t>(i)];
      o = static_cast<std::uint8_t>(step == 1 ? o + 1 : o - 1);
      if (o != (step == 1 ? 0 : 0xff)) break;
    }
    return a;
  }
  std::uint64_t below(std::uint64_t n) { return random_() % n; }

 private:
  std::mt19937_64 random_;
};

std::uint32_t naive(const Entries& entries, const IpAddress& a, Prefix* found) {
  int best = -1;
  std::uint32_t value = PrefixTable::kNone;
  for (const auto& [p, v] : entries) {
    if (p.is_v4() != a.is_v4() || !p.contains(a) || int{p.length} <= best) continue;
    best = p.length;
    value = v;
    *found = p;
  }
  return value;
}

TEST(PrefixTable, AgreesWithTryingEach) {
  Oracle oracle(42);
  std::uint64_t lookups = 0;
  for (int round = 0; round < 400; ++round) {
    const std::size_t wanted = round < 300   ? 1 + oracle.below(12)
                               : round < 397 ? 1 + oracle.below(300)
                                             : 5000 + oracle.below(5000);
    Entries entries;
    std::set<Prefix> known;
    for (std::size_t i = 0; i < wanted; ++i) {
      const Prefix p = oracle.random_prefix();
      if (known.insert(p).second) entries.push_back({p, static_cast<std::uint32_t>(oracle.below(1u << 31))});
    }
    const PrefixTable table{entries};
    for (int i = 0; i < 600; ++i, ++lookups) {
      const IpAddress a =
          i % 4 == 0 ? oracle.random_address() : oracle.near(entries[oracle.below(entries.size())].first);
      Prefix expected;
      const std::uint32_t value = naive(entries, a, &expected);
      ASSERT_EQ(table.find(a), value) << a.to_string();
      ASSERT_EQ(table.contains(a), value != PrefixTable::kNone);
      if (value != PrefixTable::kNone) {
        ASSERT_EQ(table.find_prefix(a), expected) << a.to_string();
      } else {
        ASSERT_FALSE(table.find_prefix(a).has_value());
      }
    }
  }
  EXPECT_EQ(lookups, 240'000u);
}

}  // namespace
}  // namespace shunt::net
