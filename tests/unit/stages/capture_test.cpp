// Captures: what is wanted is copied as it comes and goes, and nobody else's way changes.
#include "dataplane/state/capture.h"

#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

class Capture : public WorkerTest {
 protected:
  void start(std::string_view client, std::string_view suffix) {
    state::CaptureFilter filter;
    if (!client.empty()) filter.client = *IpAddress::parse(client);
    if (!suffix.empty()) filter.suffix = *dns::parse_name(suffix);
    rig.view().capture = std::make_shared<const state::Capture>(filter, 1);
  }
  state::CaptureRing& ring() { return *rig.view().capture->rings[0]; }
  /// "in" and "out" of all frames, with the name asked for.
  std::vector<std::string> captured() {
    std::vector<std::string> all;
    ring().drain([&](const state::CapturedFrame& f) {
      EXPECT_EQ(f.port, 0);
      EXPECT_EQ(f.length, f.kept);
      dns::Name name;
      constexpr std::size_t kMessage = 14 + 20 + 8 + dns::kHeaderSize;
      EXPECT_NE(dns::read_name(f.data().subspan(kMessage), name), 0u);
      all.push_back((f.sent ? "out " : "in ") + dns::to_text(name.octets()));
    });
    return all;
  }
  using List = std::vector<std::string>;
};

TEST_F(Capture, by_name_on_both_sides) {
  start("", "a.corp");
  const Sent question = ask_upstream(query("x.A.corp"));
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  ASSERT_EQ(rig.sent().size(), 1u);
  EXPECT_EQ(captured(), (List{"in x.a.corp.", "out x.a.corp.", "in x.a.corp.", "out x.a.corp."}));
  rig.ask(query("xa.corp"));
  rig.ask(query("corp"));
  rig.turn();
  rig.sent();
  EXPECT_EQ(captured(), List{});
  rig.ask(query("a.corp"));
  rig.turn();
  EXPECT_EQ(captured(), (List{"in a.corp.", "out a.corp."}));
}

TEST_F(Capture, by_client) {
  start(kClient, "");
  rig.ask(query("x.nx.example"));
  rig.ask(query("y.nx.example"), "10.0.0.9");
  rig.turn();
  EXPECT_EQ(rig.sent().size(), 2u);
  EXPECT_EQ(captured(), (List{"in x.nx.example.", "out x.nx.example."}));
}

TEST_F(Capture, everything_and_the_root) {
  for (const char* suffix : {"", "."}) {
    start("", suffix);
    rig.ask(query("x.nx.example"));
    rig.turn();
    EXPECT_EQ(captured().size(), 2u);
  }
}

TEST_F(Capture, frames_that_are_no_dns_are_looked_at_and_left) {
  start("", "example");
  net::testing::FrameSpec spec;
  spec.payload = {1, 2, 3};
  rig.receive(net::testing::build(spec));
  spec.protocol = net::kProtocolTcp;
  rig.receive(net::testing::build(spec));
  rig.turn();
  rig.take_events();
  EXPECT_EQ(captured(), List{});
  EXPECT_EQ(ring().looked_at(), 2u);
}

TEST_F(Capture, looks_are_bounded_in_each_millisecond) {
  start("", "nx.example");
  constexpr unsigned kRounds = state::CaptureRing::kLooksPerMs;
  for (unsigned i = 0; i < kRounds; ++i) {
    rig.ask(query("x.nx.example"));
    rig.turn();
    rig.sent();
    captured();
  }
  // Each came, and its answer went.
  EXPECT_EQ(ring().looked_at(), state::CaptureRing::kLooksPerMs);
  EXPECT_EQ(ring().passed_over(), 2 * kRounds - state::CaptureRing::kLooksPerMs);
  rig.turn(1);
  rig.ask(query("x.nx.example"));
  rig.turn();
  EXPECT_EQ(captured().size(), 2u);
}

TEST_F(Capture, copies_are_bounded_over_time) {
  start("", "nx.example");
  std::size_t frames = 0;
  constexpr unsigned kMs = 100, kQueriesPerMs = 40;
  for (unsigned i = 0; i < kMs * kQueriesPerMs; ++i) {
    rig.ask(query("x.nx.example"));
    rig.turn(i % kQueriesPerMs == 0 ? 1 : 0);
    rig.sent();
    frames += captured().size();
  }
  // What the ring holds comes first: the clock of the rig doesn't begin with the capture.
  EXPECT_EQ(frames, state::CaptureRing::kSize + (kMs - 1) * state::CaptureRing::kKeepsPerMs);
  EXPECT_EQ(ring().no_room(), 2 * kMs * kQueriesPerMs - frames);
  EXPECT_EQ(ring().passed_over(), 0u);
}

TEST_F(Capture, what_finds_no_room_is_counted_and_answered_all_the_same) {
  start("", "nx.example");
  constexpr unsigned kQueries = state::CaptureRing::kSize / 2 + 10;
  for (unsigned i = 0; i < kQueries; ++i) {
    rig.ask(query("x.nx.example"));
    rig.turn();
    EXPECT_EQ(rig.sent().size(), 1u);
  }
  EXPECT_EQ(ring().no_room(), 20u);
  EXPECT_EQ(captured().size(), state::CaptureRing::kSize);
}

}  // namespace
}  // namespace shunt::testing
