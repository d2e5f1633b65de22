// Random rule sets and names, the trie against a plain list: scalar and burst, alone and as one of several
// sets, and explain's find_all.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <vector>

#include "dataplane/rules/trie.h"
#include "dataplane/rules/trie_builder.h"
#include "tests/unit/rules/oracle.h"
#include "tests/unit/rules/random_names.h"

namespace shunt::rules::test {
namespace {

using dns::Name;
using Wire = std::vector<std::uint8_t>;

constexpr dns::HashKey kKey{0x0123456789abcdef, 0xfedcba9876543211};
/// Under this key every label of up to seven octets hashes to 0: all short names collide, in the builder, the
/// table and the queries.
constexpr dns::HashKey kBrokenKey{0, 0};
constexpr std::size_t kLevels = dns::kMaxLabels + 1;

Name read(const Wire& wire) {
  Name name;
  EXPECT_EQ(dns::read_name(wire, name), wire.size());
  return name;
}

struct Both {
  std::unique_ptr<const RuleSet> set;
  std::vector<PlainRule> plain;
  std::vector<Wire> wires;
};

Both make_set(RandomNames& random, const dns::HashKey& key, std::size_t rules, unsigned most_labels) {
  Both both;
  RuleSetBuilder builder(key);
  if (random.below(2) == 0) builder.reserve(rules);
  std::map<std::pair<std::string, Cover>, std::uint32_t> known;
  for (std::uint32_t line = 0; line < rules; ++line) {
    Wire wire;
    if (random.below(40) == 0) {
      wire = random.longest();
    } else if (!both.wires.empty() && random.below(3) == 0) {
      const Wire& other = both.wires[random.below(both.wires.size())];
      wire = random.below(3) == 0 ? other : random.below_name(other, 3);
    } else {
      wire = random.wire(most_labels);
    }
    const auto cover = static_cast<Cover>(random.below(3));
    const Name name = read(random.recased(wire));
    const std::string octets(name.wire.begin(), name.wire.begin() + name.length);
    const auto [earlier, fresh] = known.try_emplace({octets, cover}, line);
    std::uint32_t other_line = ~0u;
    const auto added = builder.add(name, cover, Action::kForward, line, line, &other_line);
    EXPECT_EQ(added, fresh ? RuleSetBuilder::Added::kNew : RuleSetBuilder::Added::kDuplicate);
    if (!fresh) {
      EXPECT_EQ(other_line, earlier->second);
      continue;
    }
    both.plain.push_back({octets, name.labels, cover, line});
    both.wires.push_back(wire);
  }
  both.set = builder.build();
  EXPECT_EQ(both.set->size(), both.plain.size());
  return both;
}

Wire make_query(RandomNames& random, const std::vector<Wire>& wires) {
  const auto kind = random.below(8);
  if (wires.empty() || kind == 0) return random.wire(4);
  const Wire& rule = wires[random.below(wires.size())];
  if (kind == 1) return random.longest();
  if (kind == 2) return RandomNames::above(rule);
  if (kind < 5) return random.recased(rule);
  return random.recased(random.below_name(rule, 3));
}

void expect_rule(const RuleSet& set, const Match& match, const std::vector<PlainRule>& expected) {
  ASSERT_EQ(match.found(), !expected.empty());
  if (expected.empty()) return;
  const PlainRule& best = expected.front();
  EXPECT_EQ(set.rule(match.rule).line, best.line);
  EXPECT_EQ(set.rule(match.rule).cover, best.cover);
  EXPECT_EQ(match.cover, best.cover);
  EXPECT_EQ(match.labels, best.labels);
  EXPECT_EQ(set.rule(match.rule).labels, best.labels);
  const auto name = set.name(match.rule);
  EXPECT_EQ(std::string(name.begin(), name.end()), best.wire);
}

/// One burst of up to kBurst names, gaps included, over both sets.
class OracleBurst {
 public:
  OracleBurst(const dns::HashKey& key, const Both& first, const Both& second)
      : key_(key), first_(first), second_(second) {}

  void run(RandomNames& random) {
    const auto count = static_cast<unsigned>(1 + random.below(kBurst));
    for (unsigned i = 0; i < count; ++i) {
      pointers_[i] = nullptr;
      if (random.below(10) == 0) continue;
      names_[i] = read(make_query(random, random.below(2) == 0 ? first_.wires : second_.wires));
      pointers_[i] = &names_[i];
      dns::hash_suffixes(key_, names_[i], &hashes_[i], kBurst);
    }
    std::array<Match, kBurst> alone{}, together{};
    first_.set->find_burst(count, pointers_.data(), hashes_.data(), 3, alone.data());
    together = alone;
    second_.set->find_burst(count, pointers_.data(), hashes_.data(), 5, together.data());
    for (unsigned i = 0; i < count; ++i) {
      if (pointers_[i] == nullptr) {
        EXPECT_FALSE(together[i].found());
        continue;
      }
      check(i, alone[i], together[i]);
    }
  }

 private:
  void check(unsigned i, const Match& alone, const Match& together) const {
    const Name& name = names_[i];
    const auto expected = all_covering(first_.plain, name);
    SCOPED_TRACE(dns::to_text(name.octets()));
    expect_rule(*first_.set, first_.set->find(name, &hashes_[i], kBurst), expected);
    expect_rule(*first_.set, alone, expected);
    EXPECT_EQ(alone.set, alone.found() ? 3 : 0);

    const auto all = first_.set->find_all(name);
    ASSERT_EQ(all.size(), expected.size());
    for (std::size_t k = 0; k < all.size(); ++k)
      EXPECT_EQ(first_.set->rule(all[k]).line, expected[k].line);

    const auto second = all_covering(second_.plain, name);
    const auto rank = [](const std::vector<PlainRule>& rules) {
      return rules.empty() ? -1
                           : static_cast<int>(rules[0].labels * 4 + static_cast<unsigned>(rules[0].cover));
    };
    if (rank(second) > rank(expected)) {
      expect_rule(*second_.set, together, second);
      EXPECT_EQ(together.set, 5);
    } else {
      expect_rule(*first_.set, together, expected);
      EXPECT_EQ(together.set, together.found() ? 3 : 0);
    }
  }

  dns::HashKey key_;
  const Both& first_;
  const Both& second_;
  std::array<Name, kBurst> names_;
  std::array<const Name*, kBurst> pointers_{};
  std::vector<std::uint64_t> hashes_ = std::vector<std::uint64_t>(kLevels * kBurst);
};

struct Shape {
  std::size_t rules;
  unsigned labels;
  unsigned sets;
  unsigned bursts;
  dns::HashKey key = kKey;
};

class RuleOracle : public testing::TestWithParam<Shape> {};

TEST_P(RuleOracle, TrieAgreesWithPlainList) {
  const Shape shape = GetParam();
  RandomNames random(shape.rules * 7919 + shape.labels);
  for (unsigned s = 0; s < shape.sets; ++s) {
    const Both first = make_set(random, shape.key, shape.rules, shape.labels);
    const Both second = make_set(random, shape.key, random.below(2 * shape.rules + 1), shape.labels);
    OracleBurst burst(shape.key, first, second);
    for (unsigned b = 0; b < shape.bursts; ++b) {
      burst.run(random);
      if (testing::Test::HasFailure()) return;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Shapes, RuleOracle,
                         testing::Values(Shape{0, 1, 2, 10}, Shape{1, 2, 200, 8}, Shape{3, 1, 200, 8},
                                         Shape{7, 2, 200, 8}, Shape{8, 2, 200, 8}, Shape{30, 3, 100, 20},
                                         Shape{100, 3, 40, 50}, Shape{400, 5, 8, 60}, Shape{2000, 8, 2, 30}));
INSTANTIATE_TEST_SUITE_P(Collisions, RuleOracle,
                         testing::Values(Shape{1, 2, 50, 8, kBrokenKey}, Shape{5, 2, 50, 8, kBrokenKey},
                                         Shape{30, 3, 10, 10, kBrokenKey}, Shape{80, 4, 2, 20, kBrokenKey}));

}  // namespace
}  // namespace shunt::rules::test
