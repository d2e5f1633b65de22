// `watch` rules: each watched query is told of once, whatever answers it, and goes on as if there were none.
#include <rte_ring.h>

#include "dataplane/rules/trie_builder.h"
#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

struct Told {
  std::string name;
  Message message;
};

class Watch : public WorkerTest {
 protected:
  /// Puts a watch beside the rig's rules.
  void watch(std::string_view name, rules::Cover cover = rules::Cover::kSuffix) {
    rules::RuleSetBuilder builder(rig.worker().context().hash_key);
    builder.add(*dns::parse_name(name), cover, rules::Action::kWatch, 0, 1);
    watches_ = builder.build();
    state::Network& network = rig.snapshot().networks[0];
    const rules::RuleSet* set = network.rules.set_of({.rule = 0});
    network.rules = {};
    network.rules.add(*set, watches_.get());
    network.routing = 9;
  }
  std::vector<Told> told() {
    std::vector<Told> all;
    void* p = nullptr;
    while (rte_ring_dequeue(rig.rings().watched, &p) == 0) {
      auto* packet = static_cast<rte_mbuf*>(p);
      const auto* data = rte_pktmbuf_mtod(packet, const std::uint8_t*);
      EXPECT_EQ(message_of(packet).kind, MessageKind::kWatched);
      EXPECT_EQ(load_be16(data), 1);
      all.push_back({dns::to_text({data + 2, packet->data_len - 2u}), message_of(packet)});
      rte_pktmbuf_free(packet);
    }
    return all;
  }

  std::unique_ptr<const rules::RuleSet> watches_;
};

TEST_F(Watch, each_query_is_told_of_once_also_when_its_answer_is_cached) {
  watch("a.corp");
  const Sent question = ask_upstream(query("X.a.corp"));
  EXPECT_EQ(told().size(), 1u);
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  EXPECT_EQ(rig.sent().size(), 1u);
  for (unsigned i = 0; i < 3; ++i) {
    rig.ask(query("x.a.corp"));
    EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kNoError);
    const auto all = told();
    ASSERT_EQ(all.size(), 1u) << i;
    EXPECT_EQ(all[0].name, "x.a.corp.");
    EXPECT_EQ(all[0].message.client.address, *IpAddress::parse(kClient));
    EXPECT_EQ(all[0].message.rule, 0u);
    EXPECT_EQ(all[0].message.set, 0u);
  }
  EXPECT_EQ(rig.stats()[Counter::cache_hits], 3u);
  EXPECT_EQ(rig.stats()[Counter::watched], 4u);
}

TEST_F(Watch, what_is_not_watched_keeps_its_way_past_the_match) {
  watch("a.corp");
  const Sent question = ask_upstream(query("b.corp"));
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  rig.ask(query("b.corp"));
  rig.turn();
  const std::uint64_t misses = rig.stats()[Counter::cache_misses];
  rig.ask(query("b.corp"));
  rig.turn();
  EXPECT_EQ(rig.stats()[Counter::cache_misses], misses);
  EXPECT_EQ(rig.stats()[Counter::cache_hits], 2u);
  EXPECT_EQ(rig.stats()[Counter::watched], 0u);
  EXPECT_TRUE(told().empty());
}

TEST_F(Watch, answers_made_by_rules_fire_each_time_too) {
  watch("nx.example");
  for (unsigned i = 1; i <= 3; ++i) {
    rig.ask(query("x.nx.example"));
    EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kNxDomain);
    EXPECT_EQ(told().size(), 1u);
    EXPECT_EQ(rig.stats()[Counter::answered_rule], i);
  }
  EXPECT_EQ(rig.worker().context().cache.entries(), 0u);
}

TEST_F(Watch, a_watch_that_would_have_lost_is_silent) {
  watch("example");  // nx.example is longer
  rig.ask(query("x.nx.example"));
  rig.turn();
  EXPECT_TRUE(told().empty());
  rig.ask(query("nowhere.example"));
  rig.turn();
  EXPECT_EQ(told().size(), 1u);
}

TEST_F(Watch, two_networks_share_an_answer_though_one_is_watched) {
  // The same upstream; only network 0 has the watch.
  rig.snapshot().networks.push_back(rig.snapshot().networks[0]);
  rig.snapshot().networks[1].routing = 2;
  watch("a.corp");
  const Sent question = ask_upstream(query("x.a.corp"));
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  rig.sent();
  rig.snapshot().endpoints[0].network = 1;
  for (unsigned i = 0; i < 2; ++i) {
    rig.ask(query("x.a.corp"));
    rig.turn_for_one();
  }
  EXPECT_EQ(told().size(), 1u);
  rig.snapshot().endpoints[0].network = 0;
  rig.ask(query("x.a.corp"));
  rig.turn_for_one();
  EXPECT_EQ(told().size(), 1u) << "the other network's hits don't hide it";
  EXPECT_EQ(rig.stats()[Counter::cache_hits], 3u);
}

TEST_F(Watch, a_full_ring_costs_the_log_and_nobody_else) {
  watch("nx.example");
  const unsigned buffers = rig.free_buffers();
  for (unsigned i = 0; i < Rings::kWatched + 10; ++i) {
    rig.ask(query("x.nx.example"));
    EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kNxDomain);
  }
  EXPECT_EQ(rig.stats()[Counter::watched], Rings::kWatched + 10u);
  EXPECT_EQ(rig.stats()[Counter::watched_unlogged], 11u);  // a ring holds one less than its size
  EXPECT_EQ(told().size(), Rings::kWatched - 1u);
  EXPECT_EQ(rig.free_buffers(), buffers);
}

}  // namespace
}  // namespace shunt::testing
