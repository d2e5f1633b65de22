// What differs between two rule sets, against a plain map of their rules.
#include "dataplane/rules/compare.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "dataplane/rules/trie_builder.h"
#include "tests/unit/rules/random_names.h"

namespace shunt::rules {
namespace {

const dns::HashKey kKey{0x1234, 0x5678};

using Who = std::pair<std::string, Cover>;
struct What {
  Action action;
  std::uint32_t argument;
  friend bool operator==(const What&, const What&) = default;
};
using Rules = std::map<Who, What>;

std::string text_of(std::span<const std::uint8_t> octets) {
  return {reinterpret_cast<const char*>(octets.data()), octets.size()};
}

Who who(const RuleSet& set, RuleIndex rule) {
  return {text_of(set.name(rule)), set.rule(rule).cover};
}

/// The rules in an order of its own.
std::unique_ptr<const RuleSet> build(const Rules& rules, std::uint64_t seed, bool shuffled) {
  std::vector<std::pair<Who, What>> list(rules.begin(), rules.end());
  std::mt19937_64 random(seed);
  if (shuffled) std::shuffle(list.begin(), list.end(), random);
  RuleSetBuilder builder(kKey);
  dns::Name name;
  for (const auto& [w, what] : list) {
    const auto* const octets = reinterpret_cast<const std::uint8_t*>(w.first.data());
    EXPECT_NE(dns::read_name({octets, w.first.size()}, name), 0u);
    const auto line = static_cast<std::uint32_t>(random());
    if (what.action == Action::kAnswer) {
      const std::uint8_t rdata[4] = {192, 0, 2, static_cast<std::uint8_t>(what.argument)};
      EXPECT_EQ(builder.add_answer(name, w.second, 1, 60, rdata, line), RuleSetBuilder::Added::kNew);
    } else {
      EXPECT_EQ(builder.add(name, w.second, what.action, what.argument, line), RuleSetBuilder::Added::kNew);
    }
  }
  return builder.build();
}

What draw(test::RandomNames& names) {
  static constexpr Action kActions[] = {Action::kForward, Action::kForward, Action::kBlockDrop,
                                        Action::kSystem, Action::kAnswer};
  const Action action = kActions[names.below(5)];
  const bool has_argument = action == Action::kForward || action == Action::kAnswer;
  return {action, has_argument ? static_cast<std::uint32_t>(names.below(3)) : 0};
}

void check(const Rules& before, const Rules& after, bool shuffled) {
  const auto old = build(before, 1, shuffled), fresh = build(after, 2, shuffled);
  std::set<Who> added, removed, changed;
  const Differences found = compare(*old, *fresh, [&](RuleIndex was, RuleIndex is) {
    if (was == kNoRule) {
      EXPECT_TRUE(added.insert(who(*fresh, is)).second);
    } else if (is == kNoRule) {
      EXPECT_TRUE(removed.insert(who(*old, was)).second);
    } else {
      EXPECT_EQ(who(*old, was), who(*fresh, is));
      EXPECT_TRUE(changed.insert(who(*fresh, is)).second);
    }
  });
  std::set<Who> expect_added, expect_removed, expect_changed;
  for (const auto& [w, what] : after) {
    const auto was = before.find(w);
    if (was == before.end()) {
      expect_added.insert(w);
    } else if (was->second != what) {
      expect_changed.insert(w);
    }
  }
  for (const auto& [w, what] : before)
    if (!after.contains(w)) expect_removed.insert(w);
  EXPECT_EQ(added, expect_added);
  EXPECT_EQ(removed, expect_removed);
  EXPECT_EQ(changed, expect_changed);
  EXPECT_EQ(std::tuple(found.added, found.removed, found.changed),
            std::tuple(added.size(), removed.size(), changed.size()));
  const Differences counted = compare(*old, *fresh, nullptr);
  EXPECT_EQ(std::tuple(counted.added, counted.removed, counted.changed),
            std::tuple(found.added, found.removed, found.changed));
}

TEST(Compare, FindsWhatAMapFinds) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    test::RandomNames names(seed);
    Rules before, after;
    dns::Name name;
    for (std::uint64_t i = names.below(400); i > 0; --i) {
      const auto wire = names.below(30) == 0 ? names.longest() : names.wire(4);
      ASSERT_NE(dns::read_name(wire, name), 0u);
      const Who w{text_of(name.octets()), static_cast<Cover>(names.below(3))};
      const What what = draw(names);
      // Mostly the same in both.
      const std::uint64_t chance = names.below(20);
      if (chance != 0) before[w] = what;
      if (chance != 1) after[w] = chance == 2 ? draw(names) : what;
    }
    SCOPED_TRACE(seed);
    check(before, after, false);
    check(before, after, true);
    check(before, {}, true);
    check({}, after, true);
    if (HasFailure()) return;
  }
}

TEST(Compare, LinesAndTheOrderOfAnswersDoNotCount) {
  const auto build_answers = [](std::initializer_list<std::uint16_t> types, std::uint32_t line) {
    RuleSetBuilder builder(kKey);
    const dns::Name name = dns::parse_name("a.corp").value();
    for (const std::uint16_t type : types) {
      const std::uint8_t rdata[2] = {0, 0};
      builder.add_answer(name, Cover::kSuffix, type, 60, rdata, line);
    }
    return builder.build();
  };
  const auto one = build_answers({16, 13}, 1), same = build_answers({13, 16}, 2),
             fewer = build_answers({16}, 1);
  EXPECT_EQ(compare(*one, *same, nullptr).changed, 0u);
  EXPECT_EQ(compare(*one, *fewer, nullptr).changed, 1u);
}

}  // namespace
}  // namespace shunt::rules
