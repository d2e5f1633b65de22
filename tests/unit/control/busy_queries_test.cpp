#include "control/busy_queries.h"

#include <gtest/gtest.h>

namespace shunt::control {
namespace {

using namespace std::chrono_literals;

class BusyQueriesTest : public ::testing::Test {
 protected:
  BusyQueriesTest() : random_(Random::Seed{}) {}

  /// One query for each of the samples: there are so few that every one is drawn.
  void push(const std::string& name, const std::string& client, unsigned count = 1) {
    for (unsigned i = 0; i < count; ++i) {
      state::QuerySampleRing& ring = *published_->rings[i % 2];
      ASSERT_TRUE(ring.due());
      ring.push(*IpAddress::parse(client), *dns::parse_name(name), random_);
    }
  }
  double rate_of(const nlohmann::json& list, const std::string& key, const std::string& what) {
    for (const auto& row : list)
      if (row[key] == what) return row["per_second"];
    return 0;
  }

  Random random_;
  std::shared_ptr<const state::QuerySamples> published_;
  BusyQueries busy_{{.workers = 2, .publish = [this](std::shared_ptr<const state::QuerySamples> s) {
                       published_ = std::move(s);
                     }}};
  BusyQueries::Clock::time_point now_{100s};
};

TEST_F(BusyQueriesTest, TheBusiestComeFirstWithTheirRates) {
  EXPECT_EQ(busy_.top(10, now_)["seconds"], 0u);
  for (unsigned second = 0; second < 5; ++second) {
    push("a.example", "10.0.0.1", 20);
    push("B.example", "fd00::1", 40);
    push("c.example", "10.0.0.1", 30);
    now_ += 1s;
    busy_.poll(now_);
  }
  const auto top = busy_.top(2, now_);
  EXPECT_EQ(top["seconds"], 5u);
  ASSERT_EQ(top["names"].size(), 2u);
  EXPECT_EQ(top["names"][0]["name"], "b.example.");
  EXPECT_NEAR(top["names"][0]["per_second"].get<double>(), 40, 1e-6);
  EXPECT_EQ(top["names"][1]["name"], "c.example.");
  ASSERT_EQ(top["clients"].size(), 2u);
  EXPECT_EQ(top["clients"][0]["client"], "10.0.0.1");
  EXPECT_NEAR(top["clients"][0]["per_second"].get<double>(), 50, 1e-6);
  EXPECT_EQ(top["clients"][1]["client"], "fd00::1");
}

TEST_F(BusyQueriesTest, WhatWasBusyFadesWithinSeconds) {
  busy_.top(10, now_);
  push("old.example", "10.0.0.1", 100);
  now_ += 1s;
  busy_.poll(now_);
  EXPECT_NEAR(rate_of(busy_.top(10, now_)["names"], "name", "old.example."), 100, 1e-6);
  for (unsigned second = 0; second < 10; ++second) {
    now_ += 1s;
    busy_.top(0, now_);
  }
  EXPECT_LT(rate_of(busy_.top(10, now_)["names"], "name", "old.example."), 1.0);
}

TEST_F(BusyQueriesTest, EndsWhereNobodyAsksAndBeginsAnew) {
  busy_.top(10, now_);
  EXPECT_NE(published_, nullptr);
  push("a.example", "10.0.0.1", 100);
  busy_.poll(now_ + BusyQueries::kAbandoned);
  EXPECT_NE(published_, nullptr);
  busy_.poll(now_ + BusyQueries::kAbandoned + 1ms);
  EXPECT_EQ(published_, nullptr);
  const auto top = busy_.top(10, now_ + 20s);
  EXPECT_EQ(top["seconds"], 0u);
  EXPECT_TRUE(top["names"].empty());
  EXPECT_NE(published_, nullptr);
}

TEST_F(BusyQueriesTest, MemoryIsBoundedAndTheBusyStay) {
  busy_.top(10, now_);
  unsigned number = 0;
  for (unsigned second = 0; second < 3; ++second) {
    for (unsigned i = 0; i < BusyQueries::kMostInSecond / 4; ++i) {
      push("n" + std::to_string(number++) + ".example", "10.0.0.1");
      if (i % 100 == 0) push("busy.example", "10.0.0.2", 2);
      if (i % 500 == 0) busy_.poll(now_);
    }
    now_ += 1s;
    busy_.poll(now_);
  }
  const auto top = busy_.top(1000000, now_);
  EXPECT_LE(top["names"].size(), BusyQueries::kMost);
  EXPECT_EQ(top["names"][0]["name"], "busy.example.");
}

}  // namespace
}  // namespace shunt::control
