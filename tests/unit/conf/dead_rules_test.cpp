// Rules that can never match are warned about, and no others.
#include <string>
#include <vector>

#include "tests/unit/conf/config_text.h"

namespace shunt::conf {
namespace {

/// kBase with these sets, and networks with these lists of sets.
std::string with_rules(const std::vector<std::pair<std::string, std::string>>& sets,
                       const std::vector<std::string>& networks) {
  std::string text = change("[[rules]]\nname = \"corp\"\nlist = [\"onprem.corp forward corp-dns\"]\n", "",
                            change("rules = [\"corp\"]\n", ""));
  for (const auto& [name, list] : sets)
    text += "[[rules]]\nname = \"" + name + "\"\nlist = [" + list + "]\n";
  int n = 0;
  for (const std::string& rules : networks) {
    ++n;
    text += "[[network]]\nname = \"n" + std::to_string(n) + "\"\nclients = [\"192.168." + std::to_string(n) +
            ".0/24\"]\nrules = [" + rules + "]\n";
  }
  return text;
}

void expect_dead(const std::string& text, std::string_view message, std::string_view hint) {
  const Marked marked = without_mark(text);
  const Loaded loaded = load_text(marked.text, "shunt.toml", {.dead_rules = true});
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  ASSERT_EQ(loaded.warnings.size(), 1u) << to_text(loaded.warnings, "warning");
  expect_diagnostic(loaded.warnings[0], marked, message, hint);
  EXPECT_TRUE(load_text(marked.text, "shunt.toml").warnings.empty()) << "only when asked for";
}

void expect_alive(const std::string& text) {
  const Loaded loaded = load_text(text, "shunt.toml", {.dead_rules = true});
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_TRUE(loaded.warnings.empty()) << to_text(loaded.warnings, "warning");
}

TEST(DeadRules, SameNameInAnEarlierSet) {
  expect_dead(with_rules({{"a", R"("x.example block nxdomain")"},
                          {"b", R"("y.example system", <!>"X.Example. block refused")"}},
                         {R"("a", "b")"}),
              "[[rules]] \"b\": \"x.example block refused\" can never match",
              "\"x.example block nxdomain\" (shunt.toml:32) comes first in every network that uses the set");
}

TEST(DeadRules, OrderOfTheNetworkCounts) {
  expect_dead(with_rules({{"a", R"(<!>"=x.example block nxdomain")"}, {"b", R"("=x.example block refused")"}},
                         {R"("b", "a")"}),
              "[[rules]] \"a\": \"=x.example block nxdomain\"", "\"=x.example block refused\"");
}

TEST(DeadRules, SuffixUnderExactAndBelowTogether) {
  expect_dead(
      with_rules(
          {{"a", R"("=x.example block nodata", "*.x.example block refused", <!>"x.example block nxdomain")"}},
          {R"("a")"}),
      "\"x.example block nxdomain\"",
      "\"=x.example block nodata\" (shunt.toml:32) and \"*.x.example block refused\" (shunt.toml:32) come "
      "first");
}

TEST(DeadRules, ExactOrBelowAloneLeavesSomething) {
  expect_alive(with_rules({{"a", R"("=x.example block nodata", "x.example block nxdomain")"}}, {R"("a")"}));
  expect_alive(with_rules({{"a", R"("*.x.example block nodata", "x.example block nxdomain")"}}, {R"("a")"}));
  // In one network the pair is in the way, in the other it isn't.
  expect_alive(with_rules({{"a", R"("x.example block nodata")"},
                           {"b", R"("=x.example block nxdomain", "*.x.example block refused")"}},
                          {R"("a", "b")", R"("a")"}));
}

TEST(DeadRules, AliveInOneNetworkIsAlive) {
  const std::vector<std::pair<std::string, std::string>> sets = {{"a", R"("x.example block nxdomain")"},
                                                                 {"b", R"("x.example block refused")"}};
  expect_alive(with_rules(sets, {R"("a", "b")", R"("b")"}));
  expect_alive(with_rules(sets, {R"("a", "b")", R"("b", "a")"}));
}

TEST(DeadRules, WinnerThatDoesTheSameIsNoMistake) {
  expect_alive(with_rules({{"a", R"("x.example block nxdomain")"}, {"b", R"("x.example block nxdomain")"}},
                          {R"("a", "b")"}));
  expect_alive(with_rules(
      {{"a", R"("x.example forward internet")"}, {"b", R"("x.example forward internet")"}}, {R"("a", "b")"}));
}

TEST(DeadRules, OtherUpstreamIsNotTheSame) {
  expect_dead(
      with_rules({{"a", R"("x.example forward internet")"}, {"b", R"(<!>"x.example forward corp-dns")"}},
                 {R"("a", "b")"}),
      "\"x.example forward corp-dns\"", "\"x.example forward internet\"");
}

TEST(DeadRules, WatchesStandInNobodysWayAndFireBesideARule) {
  expect_alive(with_rules({{"a", R"("x.example watch", "x.example block nxdomain")"}}, {R"("a")"}));
  expect_alive(
      with_rules({{"a", R"("x.example watch")"}, {"b", R"("x.example block nxdomain")"}}, {R"("a", "b")"}));
  expect_dead(
      with_rules({{"a", R"("x.example block nxdomain")"}, {"b", R"(<!>"x.example watch")"}}, {R"("a", "b")"}),
      "\"x.example watch\"", "\"x.example block nxdomain\"");
}

TEST(DeadRules, PrefixIsDeadWhereAllItsZonesAre) {
  const std::string both = R"("10.2.0.0/15 forward internet")";
  expect_dead(with_rules({{"a", both}, {"b", R"(<!>"10.2.0.0/15 forward corp-dns")"}}, {R"("a", "b")"}),
              "forward corp-dns", "forward internet");
  expect_alive(
      with_rules({{"a", R"("10.2.0.0/16 forward internet")"}, {"b", R"("10.2.0.0/15 forward corp-dns")"}},
                 {R"("a", "b")"}));
}

}  // namespace
}  // namespace shunt::conf
