// The choice among a network's rule sets: by example, and against every rule tried one after the other.
#include "dataplane/rules/association.h"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/rules/trie_builder.h"
#include "tests/unit/rules/oracle.h"
#include "tests/unit/rules/random_names.h"

namespace shunt::rules {
namespace {

using dns::Name;

const dns::HashKey kKey{};
constexpr std::uint8_t kZones = Association::kZones, kBuiltin = Association::kBuiltin;

Name name_of(std::string_view text) {
  const auto name = dns::parse_name(text);
  EXPECT_TRUE(name.has_value()) << text;
  return name.value();
}

struct Line {
  std::string_view name;
  Cover cover = Cover::kSuffix;
};

std::unique_ptr<const RuleSet> set_of(std::initializer_list<Line> lines) {
  RuleSetBuilder builder(kKey);
  std::uint32_t number = 0;
  for (const Line& line : lines)
    builder.add(name_of(line.name), line.cover, Action::kSystem, 0, ++number);
  return builder.build();
}

/// One name's lookups, which have to agree.
struct Lookup {
  Lookup(const Association& rules, const Name& name) {
    std::vector<std::uint64_t> hashes((dns::kMaxLabels + 1) * kBurst);
    constexpr unsigned kAt = 5;  // of the burst, behind gaps
    dns::hash_suffixes(kKey, name, &hashes[kAt], kBurst);
    std::array<const Name*, kBurst> names{};
    names[kAt] = &name;
    std::array<Match, kBurst> found{};
    rules.find_burst(kAt + 1, names.data(), hashes.data(), found.data());
    best = found[kAt];
    EXPECT_EQ(best, rules.find(name, &hashes[kAt], kBurst));
    for (unsigned i = 0; i < kAt; ++i)
      EXPECT_FALSE(found[i].found());
    system = rules.find_system(name, &hashes[kAt], kBurst);
    all = rules.find_all(name);
    EXPECT_EQ(best, all.empty() ? Match{} : all.front());
    EXPECT_EQ(rules.set_of(best) != nullptr, best.found());
  }
  Match best, system;
  std::vector<Match> all;
};

Lookup look(const Association& rules, std::string_view name) {
  return {rules, name_of(name)};
}

TEST(Association, without_sets_finds_nothing) {
  const Association rules;
  const Lookup lookup = look(rules, "a.corp");
  EXPECT_FALSE(lookup.best.found());
  EXPECT_FALSE(lookup.system.found());
  EXPECT_EQ(rules.set_of(lookup.best), nullptr);
}

TEST(Association, the_longest_name_wins_whosever_it_is) {
  const auto users = set_of({{"corp"}}), zones = set_of({{"a.corp"}}), builtin = set_of({{"b.a.corp"}});
  Association rules;
  rules.add(*users);
  rules.set_zones(zones.get());
  rules.set_builtin(builtin.get());
  EXPECT_EQ(look(rules, "x.corp").best.set, 0);
  EXPECT_EQ(look(rules, "x.a.corp").best.set, kZones);
  const Lookup deepest = look(rules, "x.b.a.corp");
  EXPECT_EQ(deepest.best.set, kBuiltin);
  EXPECT_EQ(rules.set_of(deepest.best), builtin.get());
  ASSERT_EQ(deepest.all.size(), 3u);
  EXPECT_EQ(deepest.all[1].set, kZones);
  EXPECT_EQ(deepest.all[2].set, 0);
}

TEST(Association, for_one_name_cover_decides_then_the_order) {
  const auto suffix = set_of({{"corp"}}), below = set_of({{"corp", Cover::kBelow}}),
             exact = set_of({{"corp", Cover::kExact}}), again = set_of({{"corp", Cover::kExact}});
  Association rules;
  for (const auto* set : {suffix.get(), below.get(), exact.get(), again.get()})
    rules.add(*set);
  rules.set_zones(suffix.get());
  rules.set_builtin(suffix.get());
  EXPECT_EQ(look(rules, "corp").best.set, 2);
  const Lookup under = look(rules, "a.corp");
  EXPECT_EQ(under.best.set, 1);
  EXPECT_TRUE(Association::is_users(under.best));
  ASSERT_EQ(under.all.size(), 4u);
  EXPECT_EQ(under.all[1].set, 0);
  EXPECT_EQ(under.all[2].set, kZones);
  EXPECT_EQ(under.all[3].set, kBuiltin);
}

TEST(Association, a_users_rule_comes_before_a_zone_before_a_builtin_name) {
  const auto set = set_of({{"corp"}});
  Association rules;
  rules.set_builtin(set.get());
  EXPECT_EQ(look(rules, "corp").best.set, kBuiltin);
  rules.set_zones(set.get());
  EXPECT_EQ(look(rules, "corp").best.set, kZones);
  EXPECT_FALSE(Association::is_users(look(rules, "corp").best));
  rules.add(*set);
  EXPECT_EQ(look(rules, "corp").best.set, 0);
}

TEST(Association, system_leaves_a_name_to_zones_and_builtin_names_alone) {
  const auto users = set_of({{"b.a.corp"}}), zones = set_of({{"a.corp"}, {"home"}}),
             builtin = set_of({{"corp"}, {"x.home"}, {"home"}});
  Association rules;
  rules.add(*users);
  EXPECT_FALSE(look(rules, "b.a.corp").system.found());
  rules.set_builtin(builtin.get());
  EXPECT_EQ(look(rules, "b.a.corp").system.set, kBuiltin);
  rules.set_zones(zones.get());
  EXPECT_EQ(look(rules, "b.a.corp").system.set, kZones) << "the longer one";
  EXPECT_EQ(look(rules, "x.home").system.set, kBuiltin) << "the longer one";
  EXPECT_EQ(look(rules, "y.home").system.set, kZones) << "the first of one name";
  EXPECT_FALSE(look(rules, "example").system.found());
}

/// The position of the watch that fires, or -1.
int watch_for(const Association& rules, std::string_view text) {
  const Name name = name_of(text);
  std::vector<std::uint64_t> hashes((dns::kMaxLabels + 1) * kBurst);
  dns::hash_suffixes(kKey, name, hashes.data(), kBurst);
  const Name* const names[] = {&name};
  Match best, watch;
  rules.find_burst(1, names, hashes.data(), &best);
  rules.find_watches(1, names, hashes.data(), &best, &watch);
  EXPECT_EQ(rules.watches_of(watch) != nullptr, watch.found());
  return watch.found() ? watch.set : -1;
}

TEST(Association, a_watch_fires_where_it_would_have_won) {
  const auto first = set_of({{"corp"}, {"a.b.corp"}}), second = set_of({{"x.corp"}, {"home"}}),
             eyes = set_of({{"corp"}, {"b.corp"}, {"x.corp", Cover::kBelow}, {"home"}, {"net"}}),
             builtin = set_of({{"net"}, {"a.net"}});
  Association none;
  none.add(*first);
  EXPECT_FALSE(none.has_watches());
  Association rules;
  rules.add(*first, eyes.get());
  rules.add(*second);
  rules.set_builtin(builtin.get());
  EXPECT_TRUE(rules.has_watches());
  EXPECT_EQ(watch_for(rules, "y.corp"), 0) << "beside the rule of its name";
  EXPECT_EQ(watch_for(rules, "y.b.corp"), 0) << "longer";
  EXPECT_EQ(watch_for(rules, "y.a.b.corp"), -1) << "shorter";
  EXPECT_EQ(watch_for(rules, "y.x.corp"), 0) << "*. before the suffix";
  EXPECT_EQ(watch_for(rules, "x.corp"), -1);
  EXPECT_EQ(watch_for(rules, "home"), 0) << "its set comes first";
  EXPECT_EQ(watch_for(rules, "net"), 0) << "before a built-in name";
  EXPECT_EQ(watch_for(rules, "y.a.net"), -1);
  EXPECT_EQ(watch_for(rules, "example"), -1);

  Association later;
  later.add(*second);
  later.add(*first, eyes.get());
  EXPECT_EQ(watch_for(later, "home"), -1) << "its set comes later";
  EXPECT_EQ(watch_for(later, "y.corp"), 1);
}

TEST(Association, of_several_watches_the_best_one_fires) {
  const auto rules_of = set_of({{"corp"}}), shorter = set_of({{"corp"}}), longer = set_of({{"a.corp"}}),
             again = set_of({{"a.corp"}});
  Association rules;
  rules.add(*rules_of, shorter.get());
  rules.add(*rules_of, longer.get());
  rules.add(*rules_of, again.get());
  EXPECT_EQ(watch_for(rules, "x.a.corp"), 1);
  EXPECT_EQ(watch_for(rules, "x.corp"), 0);
  const auto all = rules.find_all_watches(name_of("x.a.corp"));
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0].set, 1);
  EXPECT_EQ(all[1].set, 2);
  EXPECT_EQ(all[2].set, 0);
}

TEST(Association, agrees_with_every_rule_tried) {
  test::RandomNames random(20);
  for (unsigned round = 0; round < 60; ++round) {
    std::vector<std::unique_ptr<const RuleSet>> sets;
    std::vector<std::vector<test::PlainRule>> plain;  // by position
    Association rules;
    const auto users = static_cast<unsigned>(random.below(kMaxRuleSetsPerNetwork + 1));
    std::vector<std::vector<std::uint8_t>> wires;
    for (unsigned position = 0; position < Association::kPositions; ++position) {
      plain.emplace_back();
      if (position >= users && position < kZones) continue;
      RuleSetBuilder builder(kKey);
      for (std::uint32_t i = 0; i < 20; ++i) {
        wires.push_back(random.wire(3));
        Name name;
        ASSERT_NE(dns::read_name(wires.back(), name), 0u);
        const auto cover = static_cast<Cover>(random.below(3));
        if (builder.add(name, cover, Action::kSystem, 0, i) != RuleSetBuilder::Added::kNew) continue;
        plain.back().push_back(
            {std::string(name.wire.begin(), name.wire.begin() + name.length), name.labels, cover, i});
      }
      sets.push_back(builder.build());
      if (position < users) rules.add(*sets.back());
      if (position == kZones) rules.set_zones(sets.back().get());
      if (position == kBuiltin) rules.set_builtin(sets.back().get());
    }
    for (unsigned k = 0; k < 200; ++k) {
      Name name;
      const auto wire = random.recased(random.below_name(wires[random.below(wires.size())], 2));
      ASSERT_NE(dns::read_name(wire, name), 0u);
      const auto best_from = [&](unsigned first) {
        std::pair<const test::PlainRule*, unsigned> best{nullptr, 0};
        for (unsigned position = first; position < plain.size(); ++position)
          for (const test::PlainRule& rule : plain[position]) {
            const auto rank = [](const test::PlainRule& r) { return std::make_pair(r.labels, r.cover); };
            if (test::covers(rule, name) && (best.first == nullptr || rank(rule) > rank(*best.first)))
              best = {&rule, position};
          }
        return best;
      };
      const Lookup lookup(rules, name);
      const auto expect = [&](const Match& match, unsigned first) {
        const auto [rule, position] = best_from(first);
        ASSERT_EQ(match.found(), rule != nullptr);
        if (rule == nullptr) return;
        EXPECT_EQ(match.set, position);
        EXPECT_EQ(rules.set_of(match)->rule(match.rule).line, rule->line);
      };
      expect(lookup.best, 0);
      expect(lookup.system, kZones);
      if (HasFailure()) return;
    }
  }
}

}  // namespace
}  // namespace shunt::rules
