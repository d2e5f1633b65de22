// Targets that lead back here: their probes are recognised on the way round, and they are passed over.
#include <rte_ring.h>

#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

using state::LoopProbe;

class Loops : public WorkerTest {
 protected:
  std::string label_of(std::uint32_t target, std::uint64_t tag) {
    std::array<std::uint8_t, 1 + LoopProbe::kLabel> label;
    LoopProbe{target, tag}.write_label(label.data());
    return {reinterpret_cast<const char*>(&label[1]), LoopProbe::kLabel};
  }
  void lead_back(unsigned target, std::string_view text) {
    const dns::Name name = *dns::parse_name(text);
    state::TargetLoops::Entry& entry = rig.loops(target).entries[0];
    entry.hash = dns::hash_name(rig.worker().context().hash_key, name.wire.data(), name.length);
    entry.labels = name.labels;
    rig.health(target).loops = 1;
  }
  std::uint64_t led_back(unsigned target) { return rig.worker().targets()[target].led_back; }
  /// Names that the control plane was told of, with their targets.
  std::vector<std::pair<std::string, std::uint32_t>> told() {
    std::vector<std::pair<std::string, std::uint32_t>> all;
    void* p = nullptr;
    while (rte_ring_dequeue(rig.rings().events, &p) == 0) {
      auto* packet = static_cast<rte_mbuf*>(p);
      EXPECT_EQ(message_of(packet).kind, MessageKind::kTimeout);
      all.emplace_back(dns::to_text({rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len}),
                       message_of(packet).target_id);
      rte_pktmbuf_free(packet);
    }
    return all;
  }
  static constexpr std::uint64_t kTag = 0xfedcba9876543210;
};

TEST_F(Loops, a_probe_that_comes_back_is_noted_and_goes_no_further) {
  rig.loops(0).tag = kTag;
  rig.ask(query(label_of(0, kTag) + ".A.corp", 5, LoopProbe::kType, 1232));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_EQ(answer.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(led_back(0), kTag);
  EXPECT_EQ(rig.stats()[Counter::loop_probes_back], 1u);
}

TEST_F(Loops, whatever_the_case_and_the_flags) {
  rig.loops(0).tag = kTag;
  std::string label = label_of(0, kTag);
  for (char& c : label)
    c = static_cast<char>(std::toupper(c));
  rig.ask(query(label + ".CORP", 5, LoopProbe::kType, 512, true));
  EXPECT_TRUE(rig.turn_for_one().to(kClient));
  EXPECT_EQ(led_back(0), kTag);
}

TEST_F(Loops, what_only_looks_like_one_is_forwarded) {
  rig.loops(0).tag = kTag;
  const std::vector<Bytes> others = {
      query(label_of(0, kTag + 1) + ".corp", 1, LoopProbe::kType),
      query(label_of(1, kTag) + ".corp", 2, LoopProbe::kType),
      query(label_of(0xffff, kTag) + ".corp", 3, LoopProbe::kType),
      query(label_of(0, 0) + ".corp", 4, LoopProbe::kType),
      query(label_of(0, kTag) + ".corp", 5),
      query("x." + label_of(0, kTag) + ".corp", 6, LoopProbe::kType),
  };
  for (const Bytes& message : others)
    EXPECT_FALSE(ask_upstream(message).to(kClient));
  rig.loops(0).tag = 0;
  EXPECT_FALSE(ask_upstream(query(label_of(0, 0) + ".a.corp", 7, LoopProbe::kType)).to(kClient));
  EXPECT_EQ(led_back(0), 0u);
}

TEST_F(Loops, one_on_its_way_to_another_upstream_goes_on) {
  // Target 5 is none of the upstream's that the rule leads to.
  rig.loops(5).tag = kTag;
  EXPECT_FALSE(ask_upstream(query(label_of(5, kTag) + ".corp", 5, LoopProbe::kType)).to(kClient));
  EXPECT_EQ(led_back(5), 0u);
}

TEST_F(Loops, a_target_is_passed_over_for_what_leads_back_alone) {
  lead_back(0, "loop.corp");
  EXPECT_TRUE(ask_upstream(query("a.corp")).to(kTargetA));
  EXPECT_TRUE(ask_upstream(query("noloop.corp")).to(kTargetA));
  EXPECT_TRUE(ask_upstream(query("a.Loop.corp")).to(kTargetB));
  EXPECT_TRUE(ask_upstream(query("loop.corp")).to(kTargetB));
  EXPECT_GE(rig.stats()[Counter::loops_avoided], 2u);
}

TEST_F(Loops, where_no_target_is_left_the_client_is_told_at_once) {
  lead_back(0, "loop.corp");
  lead_back(1, "corp");
  rig.ask(query("a.loop.corp", 5, 1, 1232));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_EQ(answer.rcode(), dns::Rcode::kServFail);
  EXPECT_EQ(load_be16(&answer.dns[answer.dns.size() - 2]), 22);
  rig.health(0).loops = 0;
  rig.turn(6000);  // the failure is forgotten
  EXPECT_TRUE(ask_upstream(query("a.loop.corp")).to(kTargetA));
}

TEST_F(Loops, fastest_and_an_upstream_with_one_target_pass_it_over_too) {
  rig.snapshot().upstreams[0].policy = state::Policy::kFastest;
  rig.health(0).latency_us = 1000;
  rig.health(1).latency_us = 90'000;
  lead_back(0, "loop.corp");
  for (int i = 0; i < 20; ++i)
    EXPECT_TRUE(ask_upstream(query("n" + std::to_string(i) + ".loop.corp")).to(kTargetB));
  rig.snapshot().upstreams[0].targets.resize(1);
  EXPECT_TRUE(ask_upstream(query("x.loop.corp")).to(kClient));
  EXPECT_TRUE(ask_upstream(query("x.corp")).to(kTargetA));
}

TEST_F(Loops, unanswered_names_are_told_once_a_second_for_each_target) {
  rig.worker();
  for (unsigned i = 0; i < 5; ++i)
    rig.ask(query("N" + std::to_string(i) + ".corp"));
  rig.turn();
  EXPECT_TRUE(told().empty());
  rig.turn(810);
  const auto first = told();
  ASSERT_EQ(first.size(), 1u);
  EXPECT_TRUE(first[0].first.starts_with("n") && first[0].first.ends_with(".corp."));
  EXPECT_EQ(first[0].second, 0u);
  rig.turn(810);
  const auto second = told();
  ASSERT_EQ(second.size(), 1u);
  EXPECT_EQ(second[0].second, 1u);
  rig.sent();
}

}  // namespace
}  // namespace shunt::testing
