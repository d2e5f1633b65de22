// Rules that change nothing are warned about, and no others; the same for a "." that takes everything.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/unit/conf/rule_sets_text.h"

namespace shunt::conf {
namespace {

/// One set of these rules, in one network.
std::string with_list(const std::string& list) {
  return with_rules({{"a", list}}, {R"("a")"});
}

struct Line {
  std::string cover, name, action;
  bool gone = false;
};

TEST(RedundantRules, BelowARuleThatDoesTheSame) {
  expect_told(with_list(R"("corp forward corp-dns", <!>"a.corp forward corp-dns")"),
              "[[rules]] \"a\": \"a.corp forward corp-dns\" changes nothing",
              "\"corp forward corp-dns\" (shunt.toml:32) does the same without it");
  expect_told(with_list(R"("corp block nxdomain", <!>"=a.corp block nxdomain")"), "\"=a.corp",
              "\"corp block");
  expect_told(with_list(R"("corp block nxdomain", <!>"*.a.corp block nxdomain")"), "\"*.a.corp", "\"corp");
  expect_told(with_list(R"("*.corp block nodata", <!>"a.corp block nodata")"), "\"a.corp", "\"*.corp");
  expect_told(with_list(R"("corp system", <!>"a.corp system")"), "\"a.corp system\"", "\"corp system\"");
  expect_told(with_list(R"(". block refused", <!>"a.corp block refused")"), "\"a.corp", "\". block");
  expect_told(with_list(R"("corp answer A 192.0.2.1", <!>"a.corp answer A 192.0.2.1")"), "\"a.corp",
              "\"corp");
}

TEST(RedundantRules, OfOneName) {
  expect_told(with_list(R"("x.corp block nodata", <!>"=x.corp block nodata")"), "\"=x.corp",
              "\"x.corp block");
  expect_told(with_list(R"("x.corp block nodata", <!>"*.x.corp block nodata")"), "\"*.x.corp",
              "\"x.corp block");
}

TEST(RedundantRules, AnythingElseBetweenKeepsARule) {
  expect_quiet(with_list(R"("corp forward corp-dns", "a.corp system", "b.a.corp forward corp-dns")"));
  expect_quiet(with_list(R"("corp forward corp-dns", "*.corp system", "a.corp forward corp-dns")"));
}

// A zone stands between a rule and what covers it, and keeps names from a "." that takes the rest.
TEST(RedundantRules, ZonesTakePart) {
  const std::string path = testing::TempDir() + "redundant-" + std::to_string(getpid()) + ".zone";
  std::ofstream(path) << "$ORIGIN a.corp.\n@ 60 SOA ns host 1 3600 600 86400 60\n";
  const auto with_zone = [&](const std::string& list) {
    return with_list(list) + "[[zone]]\nfile = \"" + path + "\"\nnetworks = [\"n1\"]\n";
  };
  const std::string below = R"("corp forward corp-dns", "b.a.corp forward corp-dns")";
  expect_told(with_list(R"("corp forward corp-dns", <!>"b.a.corp forward corp-dns")"), "\"b.a.corp",
              "\"corp");
  expect_quiet(with_zone(below));
  expect_quiet(with_zone(R"("corp forward corp-dns", "a.corp forward corp-dns")"));
  expect_told(with_zone(R"("corp forward corp-dns", <!>"b.a.corp system")"), "\"b.a.corp system\"",
              "the zone a.corp. does the same without it");
  // Below a longer rule of the user's the zone has no turn.
  expect_told(with_zone(R"("b.a.corp forward corp-dns", <!>"c.b.a.corp forward corp-dns")"), "\"c.b.a.corp",
              "\"b.a.corp");
  expect_told(with_list(R"(<!>". forward corp-dns")"), "takes every name", "system");
  expect_quiet(with_zone(R"(". forward corp-dns")"));
  std::remove(path.c_str());
}

TEST(RedundantRules, WhatDoesNotCoverTheNameDoesNotCount) {
  expect_quiet(with_list(R"("=corp forward corp-dns", "a.corp forward corp-dns")"));
  expect_quiet(with_list(R"("*.corp forward corp-dns", "corp forward internet", "=b forward internet")"));
  expect_quiet(with_list(R"("=x.corp block nodata", "*.x.corp block nodata")"));
  expect_quiet(with_list(R"("corp forward corp-dns", "acorp forward corp-dns")"));
}

TEST(RedundantRules, OtherEffectsAreNotTheSame) {
  expect_quiet(with_list(R"("corp forward corp-dns", "a.corp forward internet")"));
  expect_quiet(with_list(R"("corp block nxdomain", "a.corp block nodata")"));
  expect_quiet(with_list(R"("corp answer A 192.0.2.1", "a.corp answer A 192.0.2.2")"));
  expect_quiet(with_list(R"("corp answer A 192.0.2.1", "a.corp answer A 192.0.2.1 ttl=5")"));
}

TEST(RedundantRules, EqualRulesOfTwoSetsAreToldOnce) {
  expect_told(with_rules({{"a", R"("x.example block nxdomain")"}, {"b", R"(<!>"x.example block nxdomain")"}},
                         {R"("a", "b")"}),
              "[[rules]] \"b\": \"x.example block nxdomain\" changes nothing",
              "\"x.example block nxdomain\" (shunt.toml:32)");
}

TEST(RedundantRules, NeededInOneNetworkIsNeeded) {
  const std::vector<std::pair<std::string, std::string>> sets = {{"a", R"("corp forward corp-dns")"},
                                                                 {"b", R"("a.corp forward corp-dns")"}};
  expect_quiet(with_rules(sets, {R"("a", "b")", R"("b")"}));
  expect_told(with_rules({{"a", R"("corp forward corp-dns")"}, {"b", R"(<!>"a.corp forward corp-dns")"}},
                         {R"("a", "b")", R"("b", "a")"}),
              "\"a.corp", "\"corp");
}

TEST(RedundantRules, SetsBetweenCountInEveryNetwork) {
  expect_quiet(with_rules({{"a", R"("corp forward corp-dns")"},
                           {"b", R"("a.b.corp forward corp-dns")"},
                           {"c", R"("b.corp system")"}},
                          {R"("a", "b", "c")"}));
  // The same name in two sets, with different actions: the first one wins, and is needed for that.
  expect_quiet(with_rules({{"a", R"("corp forward corp-dns")"},
                           {"b", R"("a.corp forward corp-dns")"},
                           {
                               "c",
                               R"("a.corp forward internet")",
                           }},
                          {R"("a", "b", "c")", R"("a", "c")"}));
}

TEST(RedundantRules, BuiltInRulesStandBetweenToo) {
  expect_quiet(with_list(R"("in-addr.arpa forward corp-dns", "10.0.0.0/8 forward corp-dns")"));
  expect_told(with_list(R"("in-addr.arpa forward corp-dns", <!>"10.0.0.0/8 system")"),
              "\"10.in-addr.arpa system\" changes nothing",
              "the built-in rule \"10.in-addr.arpa block nxdomain\" does the same");
  const std::string off = with_list(R"("in-addr.arpa forward corp-dns", <!>"10.0.0.0/8 forward corp-dns")");
  expect_told(change("rules = [\"a\"]\n", "rules = [\"a\"]\nautodefined = false\n", off), "\"10.in-addr.arpa",
              "\"in-addr.arpa forward");
}

TEST(RedundantRules, SystemThatNothingCoversIsLeftAlone) {
  expect_quiet(with_list(R"("a.corp system")"));
}

TEST(RedundantRules, PrefixIsRedundantWhereAllItsZonesAre) {
  expect_told(with_list(R"("10.0.0.0/8 forward corp-dns", <!>"10.2.0.0/15 forward corp-dns")"),
              "\"2.10.in-addr.arpa forward corp-dns\" changes nothing", "\"10.in-addr.arpa forward");
  // 10.in-addr.arpa is built in, its neighbours aren't.
  expect_quiet(with_list(R"("in-addr.arpa forward corp-dns", "10.0.0.0/7 forward corp-dns")"));
}

TEST(RedundantRules, OneWithAnIdIsCountedByIt) {
  expect_quiet(with_list(R"("corp forward corp-dns", "a.corp forward corp-dns id=a")"));
}

TEST(RedundantRules, ARuleMayKeepAWatchFromFiring) {
  expect_quiet(with_list(R"("corp forward corp-dns", "corp watch", "a.corp forward corp-dns")"));
  expect_quiet(with_list(R"("corp forward corp-dns", "*.corp watch", "a.corp forward corp-dns")"));
  expect_told(with_list(R"("corp watch", "b.corp forward corp-dns", <!>"a.b.corp forward corp-dns")"),
              "\"a.b.corp", "\"b.corp");
  expect_quiet(with_list(R"("corp watch", "a.corp watch")"));
}

TEST(RedundantRules, NoRoomForANameBelow) {
  std::string longest;
  for (int i = 0; i < 3; ++i)
    longest += std::string(63, 'a') + ".";
  longest += std::string(61, 'a');
  expect_quiet(with_list("\". system\", \"*." + longest + " system\""));
  expect_told(with_list("\". system\", <!>\"" + longest + " system\""), "changes nothing", "\". system\"");
}

TEST(RedundantRules, ManyOfASetAreCounted) {
  std::string list = R"("corp forward corp-dns")";
  for (int i = 0; i < 23; ++i)
    list += ", \"n" + std::to_string(i) + ".corp forward corp-dns\"";
  const Loaded loaded = load_text(with_list(list), "shunt.toml", {.dead_rules = true});
  ASSERT_EQ(loaded.warnings.size(), 21u) << to_text(loaded.warnings, "warning");
  EXPECT_EQ(loaded.warnings[0].message, "[[rules]] \"a\": 3 rules more that change nothing");
}

TEST(RedundantRules, OfALineListOneStandsForAll) {
  std::string text = with_list(R"("corp", "b.corp", <!>"c.corp block nxdomain")");
  text = change("name = \"a\"\n", "name = \"a\"\nlist_action = \"block nxdomain\"\n", text);
  const Loaded loaded = load_text(without_mark(text).text, "shunt.toml", {.dead_rules = true});
  ASSERT_EQ(loaded.warnings.size(), 1u) << to_text(loaded.warnings, "warning");
  EXPECT_EQ(loaded.warnings[0].message,
            "[[rules]] \"a\": 2 lines change nothing, this one for example: \"b.corp block nxdomain\"");
}

/// Random rules with few names, and what they do to each of them, tried one by one.
class Random {
 public:
  explicit Random(unsigned seed) : random_(seed) {
    for (auto& set : sets_)
      for (auto n = 1 + below(8); n > 0; --n)
        set.push_back(
            {kCovers[below(3)], kNames[below(kNames.size())], kActions[below(kActions.size())], false});
    for (auto& set : sets_) {  // a name stands once in a set
      const auto before = [](const Line& a, const Line& b) {
        return std::pair(a.cover, a.name) < std::pair(b.cover, b.name);
      };
      std::sort(set.begin(), set.end(), before);
      set.erase(
          std::unique(set.begin(), set.end(),
                      [](const Line& a, const Line& b) { return a.cover == b.cover && a.name == b.name; }),
          set.end());
      std::shuffle(set.begin(), set.end(), random_);
    }
  }

  /// One rule a line, from the set's own first line on.
  std::string text() const {
    std::vector<std::pair<std::string, std::string>> lists;
    for (std::size_t s = 0; s < sets_.size(); ++s) {
      std::string list;
      for (const Line& line : sets_[s])
        list += "\"" + line.cover + line.name + " " + line.action + "\",\n";
      lists.emplace_back(std::string(1, static_cast<char>('a' + s)), list);
    }
    return with_rules(lists, {R"("a", "b")", R"("c", "a")", R"("b", "c")"});
  }
  /// The rules, in the order of the text.
  std::vector<Line*> lines() {
    std::vector<Line*> all;
    for (auto& set : sets_)
      for (Line& line : set)
        all.push_back(&line);
    return all;
  }
  /// What happens to each name in each network.
  std::vector<std::string> effects() const {
    std::vector<std::string> all;
    for (const auto& order : {std::pair(0, 1), std::pair(2, 0), std::pair(1, 2)})
      for (const std::string& name : kNames)
        all.push_back(effect(name, sets_[static_cast<std::size_t>(order.first)],
                             sets_[static_cast<std::size_t>(order.second)]));
    return all;
  }

 private:
  static inline const std::vector<std::string> kNames = {"a", "b.a", "c.a", "b.b.a", "c.b.a", "d.c.b.a", "."};
  static inline const std::vector<std::string> kCovers = {"", "*.", "="};
  static inline const std::vector<std::string> kActions = {"system", "block nodata", "forward internet"};

  std::size_t below(std::size_t bound) { return random_() % bound; }

  static std::string effect(const std::string& name, const std::vector<Line>& first,
                            const std::vector<Line>& second) {
    std::string found = "system";
    int best = -1;
    for (const auto* set : {&first, &second})
      for (const Line& line : *set) {
        const bool same = name == line.name;
        const bool under = !same && (line.name == "." || name.ends_with("." + line.name));
        const int rank = line.name == "." ? 0 : static_cast<int>(line.name.size());
        const int cover = line.cover.empty() ? 0 : line.cover == "*." ? 1 : 2;
        if (line.gone || !(cover == 0 ? same || under : cover == 1 ? under : same)) continue;
        if (rank * 4 + cover <= best) continue;
        best = rank * 4 + cover;
        found = line.action;
      }
    return found;
  }

  std::mt19937 random_;
  std::array<std::vector<Line>, 3> sets_;
};

TEST(RedundantRules, AllThatAreToldMayGoTogetherAndDeadOnesToo) {
  std::size_t told = 0;
  for (unsigned seed = 1; seed <= 3000; ++seed) {
    Random random(seed);
    const std::string text = random.text();
    const Loaded loaded = load_text(text, "shunt.toml", {.dead_rules = true});
    ASSERT_TRUE(loaded.config.has_value()) << to_text(loaded.errors) << text;
    std::map<std::uint32_t, Line*> at;  // by the line in the text
    const std::vector<Line*> lines = random.lines();
    std::size_t next = 0;
    for (const RuleSet& set : loaded.config->rule_sets)
      for (const Position& position : set.list_positions)
        at[position.line] = lines[next++];
    const std::vector<std::string> before = random.effects();
    for (const Diagnostic& warning : loaded.warnings) {
      if (warning.message.find("takes every name") != std::string::npos) continue;
      ASSERT_TRUE(at.contains(warning.position.line)) << warning.message;
      at[warning.position.line]->gone = true;
      ++told;
    }
    ASSERT_EQ(random.effects(), before) << text << to_text(loaded.warnings, "warning");
  }
  EXPECT_GT(told, 1000u);
}

TEST(RedundantRules, LinesOfFilesAreShown) {
  const std::string path = testing::TempDir() + "shunt-redundant-" + std::to_string(getpid()) + ".rules";
  std::ofstream(path)
      << "# names\ncorp forward corp-dns\n\n  a.corp forward corp-dns\nb.corp forward corp-dns\n";
  const Loaded loaded = load_text(change("list = [\"x\"]", "file = \"" + path + "\"", with_list("\"x\"")),
                                  "shunt.toml", {.dead_rules = true});
  std::remove(path.c_str());
  ASSERT_EQ(loaded.warnings.size(), 2u) << to_text(loaded.errors) << to_text(loaded.warnings, "warning");
  EXPECT_EQ(loaded.warnings[0].file, path);
  EXPECT_EQ(loaded.warnings[0].position.line, 4u);
  EXPECT_EQ(loaded.warnings[0].position.column, 3u);
  EXPECT_EQ(loaded.warnings[0].source_line, "  a.corp forward corp-dns");
  EXPECT_EQ(loaded.warnings[1].position.line, 5u);
  EXPECT_EQ(loaded.warnings[1].source_line, "b.corp forward corp-dns");
}

TEST(RootRules, ForwardWithoutSystemTakesAll) {
  expect_told(
      with_list(R"("a.corp block refused", <!>". forward internet")"),
      "[[rules]] \"a\": \". forward internet\" takes every name of network \"n1\", none is kept from it",
      "\"compute.internal system\"");
  expect_told(with_rules({{"a", R"(<!>"*. forward internet")"}}, {R"("a")", R"("a")"}),
              "network \"n1\" and of 1 other", "system\"");
}

TEST(RootRules, BuiltInRulesThatAreOffAreNamed) {
  expect_told(change("rules = [\"a\"]\n", "rules = [\"a\"]\nautodefined = false\n",
                     with_list(R"(<!>". forward internet")")),
              "takes every name", "localhost and private reverse names, too: autodefined = true");
}

TEST(RootRules, SystemKeepsSomething) {
  expect_quiet(with_list(R"("compute.internal system", ". forward internet")"));
  expect_quiet(
      with_rules({{"a", R"("compute.internal system")"}, {"b", R"(". forward internet")"}}, {R"("a", "b")"}));
  // In the second network nothing is kept.
  expect_told(with_rules({{"a", R"("compute.internal system")"}, {"b", R"(<!>". forward internet")"}},
                         {R"("a", "b")", R"("b")"}),
              "network \"n2\"", "");
}

TEST(RootRules, OthersThatTakeAllAreMeant) {
  expect_quiet(with_list(R"(". block refused")"));
  expect_quiet(with_list(R"("=. forward internet")"));
  expect_quiet(with_rules({{"a", R"(". system")"}, {"b", R"(". block refused")"}}, {R"("b")", R"("a")"}));
}

}  // namespace
}  // namespace shunt::conf
