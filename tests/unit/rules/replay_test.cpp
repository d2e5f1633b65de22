// Random associations, each of some random rule sets, zones and built-in names: bursts of random names, and
// every lookup there is against a plain list of all rules. A round is an association of its own, from a seed
// of its own, so that a failure names the one to repeat.
//
// ORACLE_ROUNDS=N replays so many rounds instead of the suite's few, ORACLE_SEED=N starts there.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "dataplane/rules/association.h"
#include "dataplane/rules/trie_builder.h"
#include "tests/unit/rules/oracle.h"
#include "tests/unit/rules/random_names.h"

namespace shunt::rules::test {
namespace {

using dns::Name;
using Wire = std::vector<std::uint8_t>;

constexpr std::uint8_t kZones = Association::kZones, kBuiltin = Association::kBuiltin;

struct Counts {
  std::size_t sets = 0, rules = 0, names = 0, found = 0;
};

/// A rule, and where its set stands in the association.
struct Placed {
  PlainRule rule;
  std::uint8_t position;
};

std::uint64_t from_environment(const char* variable, std::uint64_t otherwise) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

/// A round's association and its rules in a list.
class Replay {
 public:
  explicit Replay(std::uint64_t seed) : random_(seed), key_(make_key()) {
    const auto users = static_cast<std::uint8_t>(
        random_.below(3) == 0 ? random_.below(kMaxRuleSetsPerNetwork + 1) : 1 + random_.below(3));
    for (std::uint8_t position = 0; position < users; ++position)
      rules_.add(*make_set(position));
    if (random_.below(3) == 0) rules_.set_zones(make_set(kZones));
    if (random_.below(3) == 0) rules_.set_builtin(make_set(kBuiltin));
  }

  /// One burst of names, gaps included. False where something disagreed.
  bool burst() {
    const auto count = static_cast<unsigned>(1 + random_.below(kBurst));
    for (unsigned i = 0; i < count; ++i) {
      pointers_[i] = nullptr;
      if (random_.below(12) == 0) continue;
      if (dns::read_name(make_query(), names_[i]) == 0) continue;
      pointers_[i] = &names_[i];
      dns::hash_suffixes(key_, names_[i], &hashes_[i], kBurst);
    }
    std::array<Match, kBurst> found{};
    rules_.find_burst(count, pointers_.data(), hashes_.data(), found.data());
    for (unsigned i = 0; i < count; ++i)
      if (pointers_[i] == nullptr ? found[i].found() : !agrees(i, found[i])) return false;
    return true;
  }

  const Counts& counts() const { return counts_; }

 private:
  dns::HashKey make_key() {
    switch (random_.below(8)) {
      case 0:
        return {0, 0};  // every label of up to seven octets hashes to 0
      case 1:
        return {random_.any(), random_.any()};
      default:
        return {0x0123456789abcdef, 0xfedcba9876543211};
    }
  }

  std::size_t set_size() {
    const auto kind = random_.below(200);
    if (kind == 0) return random_.below(400);
    return kind < 20 ? random_.below(60) : random_.below(10);
  }

  Wire make_name() {
    if (!wires_.empty() && random_.below(2) == 0) {
      const Wire& other = wires_[random_.below(wires_.size())];
      switch (random_.below(4)) {
        case 0:
          return other;
        case 1:
          return RandomNames::above(other);
        default:
          return random_.below_name(other, 3);
      }
    }
    const auto kind = random_.below(40);
    if (kind == 0) return random_.longest();
    return kind < 4 ? random_.filled() : random_.wire(4);
  }

  const RuleSet* make_set(std::uint8_t position) {
    RuleSetBuilder builder(key_);
    const std::size_t size = set_size();
    if (random_.below(4) == 0) builder.reserve(size);
    for (std::uint32_t line = 0; line < size; ++line) {
      const Wire wire = make_name();
      Name name;
      if (dns::read_name(random_.recased(wire), name) == 0) continue;
      const auto cover = static_cast<Cover>(random_.below(3));
      if (builder.add(name, cover, Action::kForward, line, line) != RuleSetBuilder::Added::kNew) continue;
      list_.push_back(
          {{std::string(name.wire.begin(), name.wire.begin() + name.length), name.labels, cover, line},
           position});
      wires_.push_back(wire);
    }
    sets_.push_back(builder.build());
    ++counts_.sets;
    counts_.rules += sets_.back()->size();
    return sets_.back().get();
  }

  Wire make_query() {
    if (wires_.empty() || random_.below(8) == 0) return make_name();
    const Wire& rule = wires_[random_.below(wires_.size())];
    switch (random_.below(8)) {
      case 0:
        return RandomNames::above(rule);
      case 1:
        return random_.damaged(rule);
      case 2:
      case 3:
        return random_.recased(rule);
      default:
        return random_.recased(random_.below_name(rule, 3));
    }
  }

  bool same(const Match& match, const Placed* expected) const {
    if (expected == nullptr) return !match.found() && rules_.set_of(match) == nullptr;
    const RuleSet* const set = rules_.set_of(match);
    if (set == nullptr || match.set != expected->position) return false;
    const PlainRule& rule = expected->rule;
    const auto name = set->name(match.rule);
    return set->rule(match.rule).line == rule.line && match.labels == rule.labels &&
           match.cover == rule.cover &&
           std::equal(name.begin(), name.end(), rule.wire.begin(), rule.wire.end(),
                      [](std::uint8_t a, char b) { return a == static_cast<std::uint8_t>(b); });
  }

  bool agrees(unsigned i, const Match& found) {
    const Name& name = names_[i];
    std::vector<const Placed*> expected;
    for (const Placed& placed : list_)
      if (covers(placed.rule, name)) expected.push_back(&placed);
    std::ranges::sort(expected, [](const Placed* a, const Placed* b) {
      if (a->rule.labels != b->rule.labels) return a->rule.labels > b->rule.labels;
      if (a->rule.cover != b->rule.cover) return a->rule.cover > b->rule.cover;
      return a->position < b->position;
    });
    const Placed* const best = expected.empty() ? nullptr : expected.front();
    const auto system = std::ranges::find_if(expected, [](const Placed* p) { return p->position >= kZones; });
    const std::vector<Match> all = rules_.find_all(name);
    ++counts_.names;
    counts_.found += best != nullptr;
    return same(found, best) && same(rules_.find(name, &hashes_[i], kBurst), best) &&
           same(rules_.find_system(name, &hashes_[i], kBurst),
                system == expected.end() ? nullptr : *system) &&
           std::ranges::equal(all, expected, [&](const Match& m, const Placed* p) { return same(m, p); });
  }

  RandomNames random_;
  dns::HashKey key_;
  Association rules_;
  std::vector<std::unique_ptr<const RuleSet>> sets_;
  std::vector<Placed> list_;
  std::vector<Wire> wires_;  ///< the rules' names
  std::array<Name, kBurst> names_;
  std::array<const Name*, kBurst> pointers_{};
  std::vector<std::uint64_t> hashes_ = std::vector<std::uint64_t>((dns::kMaxLabels + 1) * kBurst);
  Counts counts_;
};

TEST(Replay, EveryLookupAgreesWithAPlainListOfAllRules) {
  constexpr std::uint64_t kRounds = 3000, kBurstsPerRound = 2;
  const std::uint64_t rounds = from_environment("ORACLE_ROUNDS", kRounds);
  const std::uint64_t first = from_environment("ORACLE_SEED", 1);
  Counts all;
  for (std::uint64_t seed = first; seed < first + rounds; ++seed) {
    Replay replay(seed);
    for (unsigned b = 0; b < kBurstsPerRound; ++b)
      ASSERT_TRUE(replay.burst()) << "repeat it with ORACLE_SEED=" << seed << " ORACLE_ROUNDS=1";
    all.sets += replay.counts().sets;
    all.rules += replay.counts().rules;
    all.names += replay.counts().names;
    all.found += replay.counts().found;
  }
  std::cout << all.sets << " rule sets with " << all.rules << " rules in " << rounds << " associations, "
            << all.names << " names, of which " << all.found << " matched\n";
  // Of what nothing or everything matches little would be learnt.
  EXPECT_GT(all.found, all.names / 2);
  EXPECT_LT(all.found, all.names);
}

}  // namespace
}  // namespace shunt::rules::test
