// Figures of single rules: everything that becomes of a query counts for the rule that it went to, and for no
// other when numbers change hands.
#include "dataplane/base/figures.h"

#include <map>

#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

constexpr FigureNumber kCorp = 7, kNx = 4095, kOther = 9;

class Figures : public WorkerTest {
 protected:
  const rules::RuleSet* set() { return rig.snapshot().networks[0].rules.set_of({.rule = 0}); }
  rules::RuleIndex rule(std::string_view name) {
    const auto parsed = dns::parse_name(name);
    const auto wanted = parsed->octets();
    for (const rules::RuleIndex i : set()->rules()) {
      const auto has = set()->name(i);
      if (std::equal(has.begin(), has.end(), wanted.begin(), wanted.end())) return i;
    }
    ADD_FAILURE() << name;
    return 0;
  }
  /// From now on these rules, by name, have these numbers; `routing` 0: as before.
  void number(const std::map<std::string, FigureNumber>& numbers, state::Routing routing = 0,
              bool sampling = false) {
    std::vector<rules::FigureTable::Row> rows;
    for (const auto& [name, figure] : numbers)
      rows.push_back({set(), rule(name), figure});
    auto counted = std::make_shared<state::CountedRules>();
    counted->table = rules::FigureTable(rows);
    counted->sampling = sampling;
    counted->epoch = ++epoch_;
    if (routing != 0) counted->routings = {routing};
    rig.view().counted = counted;
  }
  FigureCounts counts(FigureNumber figure) {
    FigureCounts c;
    c.add(rig.worker().figures()[figure]);
    return c;
  }
  static std::size_t slot(dns::Rcode rcode) { return figure_rcode(static_cast<unsigned>(rcode)); }
  /// A name of the rule `corp`, answered by its upstream `ms` later.
  void resolve(std::string_view name, unsigned ms = 0) {
    const Sent question = ask_upstream(query(name));
    rig.reply(question, answer_to(question.dns));
    rig.turn(ms);
    EXPECT_EQ(rig.sent().size(), 1u);
  }
  void ask_cached(std::string_view name, unsigned times = 1) {
    for (unsigned i = 0; i < times; ++i) {
      rig.ask(query(name));
      rig.turn_for_one();
    }
  }
  std::vector<RuleSample> samples() {
    std::vector<RuleSample> all;
    rig.worker().samples().drain([&](const RuleSample& sample) { all.push_back(sample); });
    return all;
  }

  std::uint32_t epoch_ = 0;
};

TEST_F(Figures, relayed_answers_and_their_waits_and_hits) {
  number({{"corp", kCorp}, {"nx.example", kNx}});
  resolve("a.corp", 12);
  ask_cached("a.corp", 3);
  const FigureCounts c = counts(kCorp);
  EXPECT_EQ(c.answers[slot(dns::Rcode::kNoError)], 1u);
  EXPECT_EQ(c.hits[slot(dns::Rcode::kNoError)], 3u);
  EXPECT_EQ(c.waits.count(), 1u);
  EXPECT_EQ(c.waits.sum, 12'000u);
  EXPECT_EQ(c.waits.buckets[Durations::bucket_of(12'000)], 1u);
  EXPECT_EQ(c.queries(), 4u);
  EXPECT_EQ(counts(kNx).queries(), 0u);
}

TEST_F(Figures, hits_after_a_match_count_as_well) {
  number({{"corp", kCorp}});
  resolve("a.corp");
  number({{"corp", kCorp}}, 33);  // the answer is there, but not by this routing
  ask_cached("a.corp", 2);
  EXPECT_EQ(counts(kCorp).from_cache(), 2u);
}

TEST_F(Figures, everyone_who_waits_counts_for_their_own_rule) {
  number({{"corp", kCorp}});
  rig.health(1).up = state::TargetHealth::kDown;  // or it would be asked after the other's SERVFAIL
  const Sent question = ask_upstream(query("a.corp", 1));
  rig.ask(query("a.corp", 2), "10.0.0.7");
  rig.turn();
  Bytes answer = answer_to(question.dns, 0);
  answer[3] = static_cast<std::uint8_t>(answer[3] | static_cast<unsigned>(dns::Rcode::kServFail));
  rig.reply(question, answer);
  rig.turn();
  EXPECT_EQ(counts(kCorp).answers[slot(dns::Rcode::kServFail)], 2u);
  EXPECT_EQ(counts(kCorp).waits.count(), 2u);
}

TEST_F(Figures, made_answers_first_by_the_rule_then_from_the_cache) {
  number({{"nx.example", kNx}, {"refused.example", 1}, {"drop.example", 2}, {"fixed.example", 3}});
  ask_cached("x.nx.example", 3);
  EXPECT_EQ(counts(kNx).answers[slot(dns::Rcode::kNxDomain)], 1u);
  EXPECT_EQ(counts(kNx).hits[slot(dns::Rcode::kNxDomain)], 2u);
  EXPECT_EQ(counts(kNx).waits.count(), 0u);
  ask_cached("refused.example", 2);
  EXPECT_EQ(counts(1).answers[slot(dns::Rcode::kRefused)], 2u);
  rig.ask(query("drop.example"));
  rig.turn();
  EXPECT_EQ(counts(2).dropped, 1u);
  EXPECT_EQ(counts(2).queries(), 1u);
  ask_cached("fixed.example", 2);
  EXPECT_EQ(counts(3).answers[0], 1u);
  EXPECT_EQ(counts(3).hits[0], 1u);
}

TEST_F(Figures, timeouts_count_by_the_try_and_end_as_servfail) {
  number({{"corp", kCorp}});
  ask_upstream(query("a.corp"));
  for (unsigned i = 0; i < 6; ++i)
    rig.turn(900);
  EXPECT_EQ(counts(kCorp).timeouts, 2u);
  EXPECT_EQ(counts(kCorp).answers[slot(dns::Rcode::kServFail)], 1u);
  EXPECT_EQ(counts(kCorp).queries(), 1u);
  EXPECT_EQ(rig.stats()[Counter::timeouts], 2u);
}

TEST_F(Figures, a_system_rule_counts_what_it_leaves_to_the_default) {
  number({{"corp", kCorp}, {"system.corp", kOther}});
  rig.ask(query("x.system.corp"));
  rig.turn();
  void* p = nullptr;
  ASSERT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
  message_of(static_cast<rte_mbuf*>(p)).kind = MessageKind::kDecision;
  rte_ring_enqueue(rig.rings().orders, p);
  const Sent question = rig.turn_for_one();
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  EXPECT_EQ(counts(kOther).queries(), 1u);
  EXPECT_EQ(counts(kCorp).queries(), 0u);
}

TEST_F(Figures, a_number_given_to_another_rule_gets_no_hits_of_the_first) {
  number({{"corp", kCorp}});
  resolve("a.corp");
  ask_cached("a.corp");
  ask_cached("x.nx.example", 2);  // has none
  EXPECT_EQ(counts(kCorp).queries(), 2u);
  number({{"nx.example", kCorp}, {"corp", kOther}}, 21);
  ask_cached("a.corp", 2);
  EXPECT_EQ(counts(kCorp).queries(), 2u);
  EXPECT_EQ(counts(kOther).from_cache(), 2u);
  ask_cached("x.nx.example", 2);
  EXPECT_EQ(counts(kCorp).queries(), 4u);
  EXPECT_EQ(counts(kCorp).hits[slot(dns::Rcode::kNxDomain)], 1u) << "made anew once";
}

TEST_F(Figures, counters_go_on_over_a_new_snapshot) {
  number({{"corp", kCorp}});
  resolve("a.corp");
  rig.snapshot().networks[0].routing = 5;
  number({{"corp", kCorp}});
  ask_cached("a.corp", 2);
  EXPECT_EQ(counts(kCorp).queries(), 3u);
}

TEST_F(Figures, an_answer_that_comes_after_numbers_changed_is_nobody_elses_hit) {
  number({{"corp", kCorp}});
  const Sent question = ask_upstream(query("a.corp"));
  number({{"nx.example", kCorp}, {"corp", kOther}}, 22);
  rig.reply(question, answer_to(question.dns));
  rig.turn();
  rig.sent();
  EXPECT_EQ(counts(kCorp).queries(), 1u) << "it was asked under that number";
  ask_cached("a.corp", 3);
  EXPECT_EQ(counts(kCorp).queries(), 1u);
  EXPECT_EQ(counts(kOther).from_cache(), 3u);
}

TEST_F(Figures, without_sampling_nobody_is_told_of) {
  ask_cached("x.nx.example", 500);
  EXPECT_TRUE(samples().empty());
}

TEST_F(Figures, samples_name_rules_without_figures_cached_or_not) {
  number({{"corp", kCorp}}, 0, true);
  resolve("a.corp");
  ask_cached("a.corp", 1000);
  EXPECT_TRUE(samples().empty()) << "it has figures";
  ask_cached("x.nx.example", 6400);  // from the cache, but for the first
  const auto all = samples();
  EXPECT_GT(all.size(), 60u);
  EXPECT_LT(all.size(), 140u);
  std::uint64_t queries = 0;
  for (const RuleSample& sample : all) {
    queries += sample.queries;
    EXPECT_EQ(sample.set, set());
    EXPECT_EQ(sample.rule, rule("nx.example"));
    EXPECT_EQ(sample.epoch, epoch_);
  }
  EXPECT_EQ(rig.worker().samples().offered(), queries);
  EXPECT_NEAR(static_cast<double>(queries), 6400, 256);
  EXPECT_EQ(rig.stats()[Counter::answered_cache] + rig.stats()[Counter::answered_rule], 7400u);
}

TEST_F(Figures, samples_are_further_apart_where_the_control_plane_takes_no_more) {
  number({{"corp", kCorp}}, 0, true);
  SampleRing& ring = rig.worker().samples();
  while (!ring.crowded())
    ring.push({nullptr, 0, 0, 0});
  ask_cached("x.nx.example", 20'000);
  std::uint64_t queries = 0;
  unsigned count = 0;
  for (const RuleSample& sample : samples()) {
    if (sample.set == nullptr) continue;
    queries += sample.queries;
    ++count;
  }
  EXPECT_GT(count, 3u);
  EXPECT_LT(count, 40u);
  EXPECT_GT(queries, 20'000u - RuleSampler::kMostApartCrowded);
  EXPECT_LE(queries, 20'000u + RuleSampler::kMostApart);
}

TEST_F(Figures, a_full_ring_of_samples_loses_the_newest) {
  SampleRing ring;
  for (std::uint32_t i = 0; i < SampleRing::kSize + 5; ++i)
    ring.push({nullptr, i, 0, 3});
  EXPECT_EQ(ring.offered(), 3 * (SampleRing::kSize + 5));
  std::uint32_t next = 0;
  ring.drain([&](const RuleSample& sample) { EXPECT_EQ(sample.rule, next++); });
  EXPECT_EQ(next, SampleRing::kSize);
  ring.push({nullptr, 77, 0, 1});
  unsigned drained = 0;
  ring.drain([&](const RuleSample& sample) {
    EXPECT_EQ(sample.rule, 77u);
    ++drained;
  });
  EXPECT_EQ(drained, 1u);
}

}  // namespace
}  // namespace shunt::testing
