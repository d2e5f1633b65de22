#include "control/ctl/top.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace shunt::control::ctl {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Json row(const char* name, std::uint64_t total) {
  return {{"name", name}, {"total", total}};
}

TopSample sample(double seconds, std::uint64_t hits, std::uint64_t blocked, std::uint64_t rule) {
  TopSample s;
  s.seconds = seconds;
  s.status = Json::parse(R"({"generation": 7, "uptime_seconds": 61, "limiting_resource": "none",
                             "workers": [{"id": 0, "busy_percent": 12.4}, {"id": 1, "busy_percent": 99.6}]})");
  s.stats["groups"] =
      Json::array({{{"title", "counters"},
                    {"rows",
                     {row("queries_udp", hits + blocked + 10), row("queries_stream", 5),
                      row("answered_cache", hits), row("answered_rule", 100)}}},
                   {{"title", "dropped queries"}, {"rows", {row("blocked", blocked), row("response", 3)}}},
                   {{"title", "dropped frames"}, {"rows", {row("runt", 0)}}},
                   {{"title", "dropped answers"}, {"rows", {row("unknown", 0)}}}});
  s.rules["rules"] = Json::array({{{"rule", "ads"}, {"set", "hybrid"}, {"queries", rule}},
                                  {{"rule", "quiet"}, {"set", "hybrid"}, {"queries", 5}}});
  s.top = Json::parse(
      R"({"names": [{"name": "a.very.long.name.that.does.not.fit.into.a.column.of.this.table.example.", "per_second": 1234.5}],
                          "clients": [{"client": "10.0.0.1", "per_second": 3.21}, {"client": "10.0.0.2", "per_second": 1}]})");
  return s;
}

TEST(Top, RatesAreOfTheTimeBetween) {
  const Json update = top_update(sample(10, 1000, 50, 200), sample(12, 3000, 60, 500), 10);
  EXPECT_EQ(update["queries_per_second"], 1005.0);
  EXPECT_EQ(update["answered"], (Json{{"cache", 1000.0}}));
  EXPECT_EQ(update["hit_ratio"], 1.0);
  EXPECT_EQ(update["dropped"]["queries"], (Json{{"blocked", 5.0}}));
  EXPECT_TRUE(update["dropped"]["frames"].empty());
  ASSERT_EQ(update["rules"].size(), 1u);
  EXPECT_EQ(update["rules"][0]["per_second"], 150.0);
}

TEST(Top, TextShowsWhatMovesAndLeavesOutWhatStandsStill) {
  const std::string text = top_text(top_update(sample(10, 1000, 50, 200), sample(12, 3000, 60, 500), 10));
  EXPECT_THAT(
      text,
      HasSubstr("1005 queries/s, 100.0 % from the cache; workers busy 12 %, 100 %; limiting resource: none; "
                "generation 7, up 1 min 1 s\n"));
  EXPECT_THAT(text, HasSubstr("answered a second: cache 1000\n"));
  EXPECT_THAT(text, HasSubstr("dropped queries a second: blocked 5.0\n"));
  EXPECT_THAT(text, Not(HasSubstr("dropped frames")));
  EXPECT_THAT(text, HasSubstr("a.very.long.name.tha...is.table.example.  "));
  EXPECT_THAT(text, HasSubstr("3.2  10.0.0.1        150  ads\n"));
  EXPECT_THAT(text, HasSubstr("1.0  10.0.0.2\n"));
}

TEST(Top, AnIdleGatewayHasNoHitRatio) {
  const Json update = top_update(sample(10, 1000, 50, 200), sample(11, 1000, 50, 200), 10);
  EXPECT_EQ(update["queries_per_second"], 0.0);
  EXPECT_TRUE(update["hit_ratio"].is_null());
  EXPECT_THAT(top_text(update), HasSubstr("0.0 queries/s, - from the cache"));
}

TEST(Top, WhatIsMissingCountsAsNothing) {
  const Json update = top_update({}, {}, 10);
  EXPECT_EQ(update["queries_per_second"], 0.0);
  EXPECT_FALSE(top_text(update).empty());
}

}  // namespace
}  // namespace shunt::control::ctl
