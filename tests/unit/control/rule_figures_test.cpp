// Which rules have figures, and that these survive reloads and changes of hands.
#include "control/rule_figures.h"

#include <algorithm>
#include <array>
#include <set>

#include "dataplane/base/sampling.h"
#include "tests/unit/control/rules_fixture.h"

namespace shunt::control {
namespace {

using namespace std::chrono_literals;
using ::testing::HasSubstr;
using ::testing::Not;

class RuleFiguresTest : public ::testing::Test {
 protected:
  void load(const std::vector<SetText>& sets, const std::string& metrics = "") {
    generation_ = generations_.make(sets, metrics);
    counted_ = figures_.set_generation(generation_, now_);
  }
  /// The number that workers find for the only rule of that name in the set, or 0.
  FigureNumber number(const std::string& set, const std::string& name, bool watch = false) {
    const dns::Name parsed = *dns::parse_name(name);
    for (const auto& built : generation_->rule_sets) {
      if (built->name != set) continue;
      const rules::RuleSet& rules = watch ? *built->watches : *built->set;
      for (const rules::RuleIndex i : rules.rules()) {
        const auto has = rules.name(i);
        if (std::equal(has.begin(), has.end(), parsed.octets().begin(), parsed.octets().end()))
          return counted_->table.find(&rules, i);
      }
    }
    ADD_FAILURE() << name;
    return 0;
  }
  void hit(FigureNumber figure, std::uint64_t times) {
    ASSERT_NE(figure, 0);
    bump(worker_[figure].hits[0], times);
  }
  std::uint64_t queries(const std::string& rule) {
    for (const RuleMetrics& m : figures_.metrics())
      if (m.rule == rule) return m.counts.queries();
    return ~0u;
  }
  /// `times` samples of a rule without figures.
  void sample(const std::string& set, const std::string& name, unsigned times) {
    EXPECT_EQ(number(set, name), 0);
    for (const auto& built : generation_->rule_sets) {
      if (built->name != set) continue;
      const rules::Match match = find(*built->set, name);
      for (unsigned i = 0; i < times; ++i)
        figures_.take({built->set.get(), match.rule, counted_->epoch, RuleSampler::kApart});
      offered_ += times * RuleSampler::kApart;
    }
  }
  static rules::Match find(const rules::RuleSet& set, const std::string& name) {
    const dns::Name parsed = *dns::parse_name(name);
    std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
    dns::hash_suffixes(kRulesKey, parsed, hashes.data());
    return set.find(parsed, hashes.data());
  }
  /// True where numbers changed hands.
  bool tick(std::chrono::milliseconds later) {
    now_ += later;
    auto changed = figures_.tick(now_, offered_, [this] { return ++routing_; });
    if (changed == nullptr) return false;
    counted_ = changed;
    return true;
  }

  std::unique_ptr<Figure[]> worker_ = std::make_unique<Figure[]>(kMaxFigures);
  RuleFigures figures_{[this](FigureNumber n) {
    FigureCounts counts;
    counts.add(worker_[n]);
    return counts;
  }};
  Generations generations_;
  std::shared_ptr<const Generation> generation_;
  RuleFigures::Counted counted_;
  RuleFigures::Clock::time_point now_{1000s};
  std::uint64_t offered_ = 0;
  state::Routing routing_ = 1000;
};

TEST_F(RuleFiguresTest, AllRulesHaveThemWhereTheyAreFew) {
  load({{"one", R"("a.corp block drop", "*.a.corp system", "a.corp watch", "b.corp block nodata id=bee")"},
        {"two", R"("a.corp system")"}});
  EXPECT_FALSE(counted_->sampling);
  EXPECT_TRUE(figures_.all());
  EXPECT_EQ(counted_->generation, generation_->number());
  EXPECT_TRUE(counted_->routings.empty());
  hit(number("one", "b.corp"), 5);
  hit(number("two", "a.corp"), 3);
  bump(worker_[number("one", "a.corp", true)].watched, 2);
  EXPECT_EQ(queries("bee"), 5u);
  EXPECT_EQ(queries("a.corp watch"), 2u);
  EXPECT_EQ(queries("*.a.corp"), 0u);
  EXPECT_EQ(queries("localhost"), 0u) << "built-in names are rules like others";
  std::set<std::pair<std::string, std::string>> series;
  for (const RuleMetrics& m : figures_.metrics())
    EXPECT_TRUE(series.emplace(m.set, m.rule).second) << m.set << m.rule;
  EXPECT_EQ(series.size(), 5u + generation_->builtin->size());
}

TEST_F(RuleFiguresTest, RulesOfOneIdCountTogether) {
  load({{"one", R"("10.20.0.0/15 block drop id=ten")"}});
  const FigureNumber a = number("one", "20.10.in-addr.arpa"), b = number("one", "21.10.in-addr.arpa");
  EXPECT_EQ(a, b);
  hit(a, 4);
  EXPECT_EQ(queries("ten"), 4u);
}

TEST_F(RuleFiguresTest, TotalsSurviveAReload) {
  load({{"one", R"("a.corp block drop", "b.corp block drop id=bee", "c.corp block drop")"}});
  hit(number("one", "a.corp"), 1);
  hit(number("one", "b.corp"), 20);
  hit(number("one", "c.corp"), 300);
  load({{"one", R"("new.corp system", "moved.corp block nodata id=bee", "c.corp forward corp-dns")"}});
  EXPECT_EQ(queries("bee"), 20u) << "by its id, whatever its name";
  EXPECT_EQ(queries("c.corp"), 300u) << "by its name, whatever it does";
  EXPECT_EQ(queries("new.corp"), 0u);
  EXPECT_EQ(queries("a.corp"), ~0u);
  hit(number("one", "moved.corp"), 1);
  EXPECT_EQ(queries("bee"), 21u);
}

TEST_F(RuleFiguresTest, ANumberRestsBeforeAnotherRuleGetsIt) {
  load({{"one", R"("a.corp block drop")"}});
  const FigureNumber old = number("one", "a.corp");
  hit(old, 7);
  load({{"one", R"("b.corp block drop")"}});
  EXPECT_NE(number("one", "b.corp"), old);
  hit(old, 1);  // a query that was in flight
  EXPECT_FALSE(tick(RuleFigures::kRest - 1ms));
  load({{"one", R"("a.corp block drop")"}});
  EXPECT_EQ(number("one", "a.corp"), old) << "back in time";
  EXPECT_EQ(queries("a.corp"), 8u);
  load({{"one", R"("b.corp block drop")"}});
  tick(RuleFigures::kRest);
  hit(old, 50);  // whoever has it now
  load({{"one", R"("a.corp block drop")"}});
  EXPECT_EQ(queries("a.corp"), 8u);
}

TEST_F(RuleFiguresTest, AboveTheLimitIdsComeFirstThenTheBusiest) {
  const std::string limit = "[metrics]\nrules = 2\n";
  load({{"one",
         R"("a.corp block drop", "b.corp block drop id=bee", "c.corp block drop", "d.corp block drop")"}},
       limit);
  EXPECT_TRUE(counted_->sampling);
  EXPECT_FALSE(figures_.all());
  EXPECT_NE(number("one", "b.corp"), 0);
  EXPECT_EQ(number("one", "a.corp"), 0);
  EXPECT_FALSE(tick(RuleFigures::kRound)) << "nobody asked yet";
  sample("one", "c.corp", 3);
  sample("one", "d.corp", 2);
  EXPECT_TRUE(tick(RuleFigures::kRound));
  EXPECT_NE(number("one", "c.corp"), 0) << "there was room for one";
  EXPECT_EQ(number("one", "d.corp"), 0);
  EXPECT_EQ(counted_->routings.size(), 1u);
  EXPECT_GT(counted_->routings[0], 1000u) << "routings change with the numbers";
  tick(RuleFigures::kRound);

  const FigureNumber of_c = number("one", "c.corp");
  hit(of_c, 20 * RuleSampler::kApart);
  sample("one", "d.corp", 30);
  EXPECT_FALSE(tick(RuleFigures::kRound)) << "not clearly busier";
  hit(of_c, 20 * RuleSampler::kApart);
  sample("one", "d.corp", 50);
  EXPECT_TRUE(tick(RuleFigures::kRound));
  EXPECT_EQ(number("one", "c.corp"), 0);
  EXPECT_NE(number("one", "d.corp"), of_c);
  EXPECT_NE(number("one", "b.corp"), 0) << "an id= keeps its figures";
  EXPECT_EQ(queries("c.corp"), ~0u);

  // Once it is busy again, its totals go on.
  tick(RuleFigures::kRound);
  tick(RuleFigures::kRest);
  sample("one", "c.corp", 9);
  EXPECT_TRUE(tick(RuleFigures::kRound));
  EXPECT_EQ(queries("c.corp"), 40u * RuleSampler::kApart);
}

TEST_F(RuleFiguresTest, SamplesThatFoundNoRoomCountForThoseThatDid) {
  load({{"one", R"("a.corp block drop", "b.corp block drop")"}}, "[metrics]\nrules = 1\n");
  sample("one", "a.corp", 1);
  EXPECT_TRUE(tick(RuleFigures::kRound));
  tick(RuleFigures::kRound);
  hit(number("one", "a.corp"), 100 * RuleSampler::kApart);
  sample("one", "b.corp", 50);
  offered_ += 450 * RuleSampler::kApart;
  EXPECT_TRUE(tick(RuleFigures::kRound));
  EXPECT_NE(number("one", "b.corp"), 0);
}

TEST_F(RuleFiguresTest, OldSamplesAndForeignSetsAreNoticed) {
  load({{"one", R"("a.corp block drop", "b.corp block drop")"}}, "[metrics]\nrules = 1\n");
  const rules::RuleSet* set = generation_->rule_sets[0]->set.get();
  for (unsigned i = 0; i < 100; ++i) {
    figures_.take({set, 0, counted_->epoch - 1, RuleSampler::kApart});
    figures_.take({&i, 0, counted_->epoch, RuleSampler::kApart});
  }
  EXPECT_FALSE(tick(RuleFigures::kRound));
}

TEST_F(RuleFiguresTest, NoneAreCountedWhereTheLimitIsZero) {
  load({{"one", R"("a.corp block drop id=x")"}}, "[metrics]\nrules = 0\n");
  EXPECT_FALSE(counted_->sampling);
  EXPECT_EQ(number("one", "a.corp"), 0);
  EXPECT_TRUE(figures_.metrics().empty());
}

TEST(RuleMetricsText, HasSeriesForRulesThatWereAskedFor) {
  RuleMetrics rule{"a \"quoted\\\" id", "corp", false, {}};
  rule.counts.hits[0] = 5;
  rule.counts.answers[3] = 2;
  rule.counts.answers[4] = 1;
  rule.counts.timeouts = 4;
  rule.counts.waits.add(1500);
  RuleMetrics idle{"idle.corp", "corp", false, {}}, watch{"w.corp watch", "eyes", true, {}};
  watch.counts.watched = 9;
  std::string text;
  add_rules_text(text, {rule, idle, watch});
  const std::string label = R"(rule="a \"quoted\\\" id",set="corp")";
  EXPECT_THAT(text, HasSubstr("shunt_rule_queries_total{" + label + "} 8\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_answers_total{" + label + ",rcode=\"noerror\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_answers_total{" + label + ",rcode=\"nxdomain\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_answers_total{" + label + ",rcode=\"other\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_cache_hits_total{" + label + "} 5\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_timeouts_total{" + label + "} 4\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_duration_seconds_bucket{" + label + ",le=\"0.002\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_duration_seconds_count{" + label + "} 1\n"));
  EXPECT_THAT(text, HasSubstr("shunt_rule_queries_total{rule=\"w.corp watch\",set=\"eyes\"} 9\n"));
  EXPECT_THAT(text, Not(HasSubstr("idle.corp")));
  EXPECT_THAT(text, Not(HasSubstr("cache_hits_total{rule=\"w.corp")));
  const nlohmann::json rows = rules_rows({idle, rule, watch});
  EXPECT_EQ(rows[0]["rule"], "w.corp watch");
  EXPECT_EQ(rows[1]["queries"], 8);
  EXPECT_EQ(rows[1]["p99_ms"], 2.0);
  EXPECT_EQ(rows[2]["p50_ms"], nullptr);
}

}  // namespace
}  // namespace shunt::control
