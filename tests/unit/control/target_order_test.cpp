// The order in which the control plane asks an upstream's targets.
#include "control/target_order.h"

#include <gtest/gtest.h>

#include <map>

namespace shunt::control {
namespace {

using state::TargetHealth;

class TargetOrder : public ::testing::Test {
 protected:
  TargetOrder() : random_(Random::Seed{4, 5, 6}), health_(8), loops_(8) {
    for (std::uint32_t id = 0; id < 4; ++id)
      upstream_.targets.push_back({.id = id});
  }
  std::vector<std::uint32_t> order(const char* name = "www.corp") {
    std::vector<std::uint32_t> ids;
    const dns::Name parsed = *dns::parse_name(name);
    for (const state::Target* target : order_targets(upstream_, published(), parsed.octets(), random_))
      ids.push_back(target->id);
    return ids;
  }
  /// How often each came first.
  std::map<std::uint32_t, unsigned> firsts(unsigned count) {
    std::map<std::uint32_t, unsigned> all;
    for (unsigned i = 0; i < count; ++i)
      ++all[order().front()];
    return all;
  }
  PublishedTargets published() const { return {health_.data(), loops_.data(), {}}; }

  Random random_;
  std::vector<TargetHealth> health_;
  std::vector<state::TargetLoops> loops_;
  state::Upstream upstream_;
};

using Ids = std::vector<std::uint32_t>;

TEST_F(TargetOrder, OrderedIsAsConfiguredThoseThatAreDownLast) {
  upstream_.policy = state::Policy::kOrdered;
  EXPECT_EQ(order(), (Ids{0, 1, 2, 3}));
  health_[0].up = health_[2].up = TargetHealth::kDown;
  EXPECT_EQ(order(), (Ids{1, 3, 0, 2}));
}

TEST_F(TargetOrder, RandomIsAnyOfThoseThatAreUp) {
  health_[3].up = TargetHealth::kDown;
  const auto first = firsts(300);
  for (const std::uint32_t id : {0u, 1u, 2u})
    EXPECT_GT(first.at(id), 60u) << id;
  EXPECT_FALSE(first.contains(3));
}

TEST_F(TargetOrder, FastestIsTheOneWithTheLowestLatencyAndSeldomAnother) {
  upstream_.policy = state::Policy::kFastest;
  health_[0].latency_us = 20'000;
  health_[1].latency_us = 9'000;
  health_[2].latency_us = 1'000;
  health_[3].latency_us = 30'000;
  const auto first = firsts(4000);
  EXPECT_GT(first.at(2), 3940u);
  EXPECT_GT(4000 - first.at(2), 3u) << "a target that became fast must be noticed";
  while (order().front() != 2) {
  }
  EXPECT_EQ(order()[1], 1u) << "the next one is the next fastest";
  health_[2].up = TargetHealth::kDown;
  EXPECT_GT(firsts(400).at(1), 380u);
}

TEST_F(TargetOrder, FastestSpreadsOverThoseThatAreAboutAsFastOrNotMeasured) {
  upstream_.policy = state::Policy::kFastest;
  health_[0].latency_us = 20'000;
  health_[1].latency_us = 1'100;
  health_[2].latency_us = 1'000;
  health_[3].latency_us = 0;
  const auto first = firsts(600);
  for (const std::uint32_t id : {1u, 2u, 3u})
    EXPECT_GT(first.at(id), 130u) << id;
}

TEST_F(TargetOrder, OneOnTrialIsFirstNowAndThenAndElseBehindThoseThatAreUp) {
  upstream_.policy = state::Policy::kOrdered;
  health_[0].up = TargetHealth::kOnTrial;
  health_[3].up = TargetHealth::kDown;
  const auto first = firsts(800);
  EXPECT_GT(first.at(0), 15u);
  EXPECT_LT(first.at(0), 110u);
  while (order().front() == 0) {
  }
  health_[1].up = health_[2].up = TargetHealth::kDown;
  EXPECT_EQ(order().front(), 0u);
}

TEST_F(TargetOrder, OneThatLeadsBackIsNotAskedForWhatComesBack) {
  const dns::Name loop = *dns::parse_name("loop.corp");
  loops_[1].entries[0].hash = dns::hash_name(published().key, loop.wire.data(), loop.length);
  loops_[1].entries[0].labels = loop.labels;
  health_[1].loops = 1;
  upstream_.policy = state::Policy::kOrdered;
  EXPECT_EQ(order("www.corp"), (Ids{0, 1, 2, 3}));
  EXPECT_EQ(order("www.loop.corp"), (Ids{0, 2, 3}));
  upstream_.targets = {upstream_.targets[1]};
  EXPECT_TRUE(order("loop.corp").empty());
  const auto hopeless = [&](const char* name) {
    return all_down(upstream_, published(), dns::parse_name(name)->octets());
  };
  EXPECT_TRUE(hopeless("loop.corp"));
  EXPECT_FALSE(hopeless("corp"));
  health_[1].up = TargetHealth::kDown;
  EXPECT_TRUE(hopeless("corp"));
}

}  // namespace
}  // namespace shunt::control
