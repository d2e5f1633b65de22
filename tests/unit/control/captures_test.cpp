#include "control/captures.h"

#include <gtest/gtest.h>

namespace shunt::control {
namespace {

using namespace std::chrono_literals;
using Json = nlohmann::json;

class CapturesTest : public ::testing::Test {
 protected:
  std::shared_ptr<const state::Capture> published;
  unsigned publications = 0;
  Captures captures{{.workers = 2,
                     .publish =
                         [this](std::shared_ptr<const state::Capture> c) {
                           published = std::move(c);
                           ++publications;
                         },
                     .wall_offset_us = [] { return std::int64_t{1'000'000}; },
                     .port_name = [](std::uint8_t port) { return "port" + std::to_string(port); }}};
  Captures::Clock::time_point now{100s};

  void push(unsigned worker, std::uint64_t us, std::size_t length = 3) {
    const std::vector<std::uint8_t> octets(length, 'a');
    published->rings[worker]->push(octets, us, static_cast<std::uint8_t>(worker), worker == 1);
  }
};

TEST_F(CapturesTest, FramesOfAllWorkersInOrderOfTime) {
  const auto id = captures.start({}, now)["id"].get<std::uint64_t>();
  push(0, 5);
  push(0, 9, 4);
  push(1, 7);
  const Json piece = captures.fetch(id, now);
  EXPECT_EQ(
      piece["frames"],
      (Json::array(
          {{{"time_us", 1'000'005}, {"port", "port0"}, {"sent", false}, {"length", 3}, {"data", "YWFh"}},
           {{"time_us", 1'000'007}, {"port", "port1"}, {"sent", true}, {"length", 3}, {"data", "YWFh"}},
           {{"time_us", 1'000'009},
            {"port", "port0"},
            {"sent", false},
            {"length", 4},
            {"data", "YWFhYQ=="}}})));
  EXPECT_EQ(piece["more"], false);
  EXPECT_TRUE(captures.fetch(id, now)["frames"].empty());
}

TEST_F(CapturesTest, OnlyOneAtATime) {
  const auto id = captures.start({}, now)["id"].get<std::uint64_t>();
  EXPECT_THROW(captures.start({}, now), std::runtime_error);
  EXPECT_THROW(captures.fetch(id + 1, now), std::runtime_error);
  captures.stop(id, now);
  EXPECT_EQ(published, nullptr);
  EXPECT_THROW(captures.fetch(id, now), std::runtime_error);
  EXPECT_NE(captures.start({}, now)["id"].get<std::uint64_t>(), id);
}

TEST_F(CapturesTest, StopBringsWhatIsLeft) {
  const auto id = captures.start({}, now)["id"].get<std::uint64_t>();
  push(0, 5);
  EXPECT_EQ(captures.stop(id, now)["frames"].size(), 1u);
}

TEST_F(CapturesTest, EndsWhereNobodyFetches) {
  const auto id = captures.start({}, now)["id"].get<std::uint64_t>();
  captures.poll(now + Captures::kAbandoned);
  captures.fetch(id, now + Captures::kAbandoned);
  captures.poll(now + 2 * Captures::kAbandoned);
  EXPECT_NE(published, nullptr);
  captures.poll(now + 2 * Captures::kAbandoned + 1ms);
  EXPECT_EQ(published, nullptr);
  EXPECT_THROW(captures.fetch(id, now), std::runtime_error);
  captures.start({}, now);
}

TEST_F(CapturesTest, MemoryAndRepliesAreBounded) {
  const auto id = captures.start({}, now)["id"].get<std::uint64_t>();
  constexpr std::size_t kLength = state::CapturedFrame::kMost, kFit = Captures::kMostOctets / kLength;
  for (std::size_t i = 0; i < kFit + 7; ++i) {
    published->rings[0]->may_look(1, i * 1000);
    push(0, i * 1000, kLength + 100);
    captures.poll(now);
  }
  std::size_t frames = 0, pieces = 0;
  Json piece;
  do {
    piece = captures.fetch(id, now);
    frames += piece["frames"].size();
    ++pieces;
  } while (piece["more"].get<bool>());
  EXPECT_EQ(frames, kFit);
  EXPECT_EQ(pieces, Captures::kMostOctets / Captures::kReplyOctets);
  EXPECT_EQ(piece["no_room"], 7u);
  EXPECT_EQ(piece["frames"][0]["length"], kLength + 100);
  push(0, 1);
  EXPECT_EQ(captures.fetch(id, now)["frames"].size(), 1u);
}

TEST_F(CapturesTest, WhatWorkersPassedOverIsTold) {
  const auto id = captures.start({}, now)["id"].get<std::uint64_t>();
  EXPECT_EQ(published->rings[1]->may_look(600, 5000), 600u);
  EXPECT_EQ(published->rings[1]->may_look(600, 5999), 400u);
  EXPECT_EQ(published->rings[1]->may_look(600, 6000), 600u);
  const Json piece = captures.fetch(id, now);
  EXPECT_EQ(piece["looked_at"], 1600u);
  EXPECT_EQ(piece["passed_over"], 200u);
}

}  // namespace
}  // namespace shunt::control
