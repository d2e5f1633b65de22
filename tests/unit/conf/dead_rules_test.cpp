// Rules that can never match are warned about, and no others.
#include <string>
#include <vector>

#include "tests/unit/conf/rule_sets_text.h"

namespace shunt::conf {
namespace {

TEST(DeadRules, SameNameInAnEarlierSet) {
  expect_told(with_rules({{"a", R"("x.example block nxdomain")"},
                          {"b", R"("y.example system", <!>"X.Example. block refused")"}},
                         {R"("a", "b")"}),
              "[[rules]] \"b\": \"x.example block refused\" can never match",
              "\"x.example block nxdomain\" (shunt.toml:32) comes first in every network that uses the set");
}

TEST(DeadRules, OrderOfTheNetworkCounts) {
  expect_told(with_rules({{"a", R"(<!>"=x.example block nxdomain")"}, {"b", R"("=x.example block refused")"}},
                         {R"("b", "a")"}),
              "[[rules]] \"a\": \"=x.example block nxdomain\"", "\"=x.example block refused\"");
}

TEST(DeadRules, SuffixUnderExactAndBelowTogether) {
  expect_told(
      with_rules(
          {{"a", R"("=x.example block nodata", "*.x.example block refused", <!>"x.example block nxdomain")"}},
          {R"("a")"}),
      "\"x.example block nxdomain\"",
      "\"=x.example block nodata\" (shunt.toml:32) and \"*.x.example block refused\" (shunt.toml:32) come "
      "first");
}

TEST(DeadRules, ExactOrBelowAloneLeavesSomething) {
  expect_quiet(with_rules({{"a", R"("=x.example block nodata", "x.example block nxdomain")"}}, {R"("a")"}));
  expect_quiet(with_rules({{"a", R"("*.x.example block nodata", "x.example block nxdomain")"}}, {R"("a")"}));
  // In one network the pair is in the way, in the other it isn't.
  expect_quiet(with_rules({{"a", R"("x.example block nodata")"},
                           {"b", R"("=x.example block nxdomain", "*.x.example block refused")"}},
                          {R"("a", "b")", R"("a")"}));
}

TEST(DeadRules, AliveInOneNetworkIsAlive) {
  const std::vector<std::pair<std::string, std::string>> sets = {{"a", R"("x.example block nxdomain")"},
                                                                 {"b", R"("x.example block refused")"}};
  expect_quiet(with_rules(sets, {R"("a", "b")", R"("b")"}));
  expect_quiet(with_rules(sets, {R"("a", "b")", R"("b", "a")"}));
}

TEST(DeadRules, OtherUpstreamIsNotTheSame) {
  expect_told(
      with_rules({{"a", R"("x.example forward internet")"}, {"b", R"(<!>"x.example forward corp-dns")"}},
                 {R"("a", "b")"}),
      "\"x.example forward corp-dns\"", "\"x.example forward internet\"");
}

TEST(DeadRules, WatchesStandInNobodysWayAndFireBesideARule) {
  expect_quiet(with_rules({{"a", R"("x.example watch", "x.example block nxdomain")"}}, {R"("a")"}));
  expect_quiet(
      with_rules({{"a", R"("x.example watch")"}, {"b", R"("x.example block nxdomain")"}}, {R"("a", "b")"}));
  expect_told(
      with_rules({{"a", R"("x.example block nxdomain")"}, {"b", R"(<!>"x.example watch")"}}, {R"("a", "b")"}),
      "\"x.example watch\"", "\"x.example block nxdomain\"");
}

TEST(DeadRules, PrefixIsDeadWhereAllItsZonesAre) {
  const std::string both = R"("10.2.0.0/15 forward internet")";
  expect_told(with_rules({{"a", both}, {"b", R"(<!>"10.2.0.0/15 forward corp-dns")"}}, {R"("a", "b")"}),
              "forward corp-dns", "forward internet");
  expect_quiet(
      with_rules({{"a", R"("10.2.0.0/16 forward internet")"}, {"b", R"("10.2.0.0/15 forward corp-dns")"}},
                 {R"("a", "b")"}));
}

}  // namespace
}  // namespace shunt::conf
