// Queries drawn by chance: all while there are few, a share of known size where there are many.
#include "dataplane/state/query_samples.h"
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

class Sample : public WorkerTest {
 protected:
  void SetUp() override { rig.view().sampled = std::make_shared<const state::QuerySamples>(1); }
  state::QuerySampleRing& ring() { return *rig.view().sampled->rings[0]; }
};

TEST_F(Sample, each_of_few_queries_is_told_of_whatever_answers_it) {
  for (const char* name : {"X.nx.example", "a.corp", "nowhere.example"}) {
    rig.ask(query(name));
    rig.turn(1);
  }
  rig.sent();
  rig.take_events();
  std::vector<std::string> names;
  ring().drain([&](const state::QuerySample& s) {
    names.push_back(dns::to_text(s.name()));
    EXPECT_EQ(s.client, *IpAddress::parse(kClient));
    EXPECT_EQ(s.stands_for, 1u);
  });
  EXPECT_EQ(names, (std::vector<std::string>{"x.nx.example.", "a.corp.", "nowhere.example."}));
}

TEST_F(Sample, malformed_queries_are_not) {
  Bytes bad = query("x.nx.example");
  bad.push_back(0);
  rig.ask(bad);
  rig.turn();
  ring().drain([](const state::QuerySample&) { ADD_FAILURE(); });
}

TEST_F(Sample, many_are_stood_for_by_few) {
  constexpr unsigned kMs = 400, kPerMs = 100;
  std::uint64_t samples = 0, stand_for = 0;
  for (unsigned i = 0; i < kMs * kPerMs; ++i) {
    rig.ask(query("x.nx.example"));
    rig.turn(i % kPerMs == 0 ? 1 : 0);
    rig.sent();
    ring().drain([&](const state::QuerySample& s) {
      // Not the first millisecond's, in which nothing is known of the rate yet.
      if (i < 2 * kPerMs) return;
      ++samples;
      stand_for += s.stands_for;
    });
  }
  EXPECT_NEAR(static_cast<double>(samples), kMs * state::QuerySampleRing::kPerMs, kMs);
  EXPECT_NEAR(static_cast<double>(stand_for), kMs * kPerMs, kMs * kPerMs / 50.0);
}

TEST_F(Sample, what_finds_no_room_is_lost_and_answered_all_the_same) {
  for (unsigned i = 0; i < state::QuerySampleRing::kSize + 100; ++i) {
    rig.ask(query("x.nx.example"));
    rig.turn(1);
    EXPECT_EQ(rig.sent().size(), 1u);
  }
  std::size_t samples = 0;
  ring().drain([&](const state::QuerySample&) { ++samples; });
  EXPECT_EQ(samples, state::QuerySampleRing::kSize);
}

}  // namespace
}  // namespace shunt::testing
