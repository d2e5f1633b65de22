// Hot answers are asked for again before they expire: when, how often, what becomes of the answer, and that
// no client pays for it.
#include <rte_ring.h>

#include "tests/unit/stages/worker_rig.h"

namespace shunt::testing {
namespace {

class Refetch : public WorkerTest {
 protected:
  void TearDown() override {
    rig.turn(5000);  // what is in flight ends
    rig.sent();
    EXPECT_EQ(rig.worker().context().pending.open_slots(), 0u);
    for (unsigned target = 0; target < 4; ++target)
      EXPECT_EQ(rig.worker().targets()[target].in_flight, 0u);
    WorkerTest::TearDown();
  }
  /// Has `name` answered, with `records`, and cached for `ttl` seconds.
  void cache(const std::string& name, std::uint32_t ttl, unsigned records = 1) {
    const Sent question = ask_upstream(query(name));
    rig.reply(question, answer_to(question.dns, records, ttl));
    EXPECT_TRUE(rig.turn_for_one().to(kClient));
  }
  /// A client's query; what is sent because of it.
  std::vector<Sent> hit(const std::string& name, std::uint16_t id = 5) {
    rig.ask(query(name, id));
    rig.turn();
    return rig.sent();
  }
  void pass(unsigned seconds) { rig.turn(seconds * 1000); }
  /// A hot answer for `name` that expires in `left` seconds.
  void make_old(const std::string& name, std::uint32_t ttl, unsigned left) {
    cache(name, ttl);
    EXPECT_EQ(hit(name).size(), 1u);
    pass(ttl - left);
  }
  /// Expects an answer to the client and nothing else; returns how many records it has.
  unsigned expect_hit(const std::string& name) {
    const std::vector<Sent> all = hit(name);
    EXPECT_EQ(all.size(), 1u);
    if (all.size() != 1 || !all[0].to(kClient)) ADD_FAILURE() << "the client has no answer, or not alone";
    return all.empty() ? 0 : load_be16(&all[0].dns[6]);
  }
  /// Expects the client's answer, and after it a question to a target, which is returned.
  Sent expect_refetch(const std::string& name) {
    std::vector<Sent> all = hit(name);
    EXPECT_EQ(all.size(), 2u);
    if (all.size() != 2) return {};
    EXPECT_TRUE(all[0].to(kClient)) << "the client comes first";
    EXPECT_EQ(load_be16(&all[0].dns[6]), 1u);
    EXPECT_TRUE(all[1].to(kTargetA) || all[1].to(kTargetB));
    return all[1];
  }
  std::uint64_t count(Counter c) { return rig.stats()[c]; }
};

TEST_F(Refetch, a_hot_answer_is_renewed_and_nobody_waits) {
  make_old("a.corp", 80, 10);
  const Sent question = expect_refetch("a.corp");
  EXPECT_EQ(count(Counter::prefetched), 1u);
  EXPECT_EQ(rig.stats().waiting, 0u);
  rig.reply(question, answer_to(question.dns, 2, 80));
  rig.turn(500);
  EXPECT_TRUE(rig.sent().empty()) << "nobody waits for it";
  pass(60);
  EXPECT_EQ(expect_hit("a.corp"), 2u) << "the new one, when the old one would have expired";
  EXPECT_EQ(count(Counter::answered_upstream), 1u);
  EXPECT_EQ(count(Counter::forwarded), 2u);
}

TEST_F(Refetch, the_question_is_the_first_ones) {
  rig.ask(query("a.corp", 3, 1, 1232, true));
  Sent question = rig.turn_for_one();
  rig.reply(question, answer_to(question.dns, 1, 80));
  rig.turn_for_one();
  for (unsigned second : {1u, 74u}) {
    pass(second);
    rig.ask(query("A.corp", 4, 1, 4096, true));
    rig.turn();
  }
  const std::vector<Sent> all = rig.sent();
  ASSERT_EQ(all.size(), 3u);
  Bytes first = question.dns, second = all[2].dns;
  first[0] = first[1] = second[0] = second[1] = 0;
  EXPECT_EQ(first, second) << "flags, DO and our own EDNS size";
}

TEST_F(Refetch, it_begins_in_the_last_eighth) {
  make_old("a.corp", 80, 11);
  EXPECT_EQ(expect_hit("a.corp"), 1u);
  pass(1);
  expect_refetch("a.corp");
}

TEST_F(Refetch, one_at_a_time_for_each_answer) {
  make_old("a.corp", 80, 10);
  expect_refetch("a.corp");
  for (unsigned i = 0; i < 5; ++i)
    EXPECT_EQ(expect_hit("a.corp"), 1u);
  EXPECT_EQ(count(Counter::prefetched), 1u);
}

TEST_F(Refetch, not_of_an_answer_that_was_not_asked_for_since) {
  cache("a.corp", 80);
  pass(75);
  EXPECT_EQ(expect_hit("a.corp"), 1u);
  expect_refetch("a.corp");  // now it is hot
}

TEST_F(Refetch, not_of_one_that_lives_for_seconds) {
  make_old("a.corp", 7, 1);
  EXPECT_EQ(expect_hit("a.corp"), 1u);
  EXPECT_EQ(count(Counter::prefetched), 0u);
}

TEST_F(Refetch, silence_leaves_the_old_answer_and_is_tried_again_later) {
  make_old("a.corp", 320, 40);
  expect_refetch("a.corp");
  rig.turn(810);
  EXPECT_EQ(rig.sent().size(), 1u) << "the second target";
  rig.turn(810);
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(expect_hit("a.corp"), 1u);
  pass(19);
  expect_refetch("a.corp");  // the last sixteenth
  pass(10);
  rig.sent();
  expect_refetch("a.corp");  // the last thirty-second
  pass(5);
  rig.sent();
  EXPECT_EQ(expect_hit("a.corp"), 1u);
  EXPECT_EQ(count(Counter::prefetched), 3u);
  EXPECT_EQ(count(Counter::errors_servfail), 0u);
}

TEST_F(Refetch, a_failure_leaves_the_old_answer) {
  for (const auto rcode : {dns::Rcode::kServFail, dns::Rcode::kRefused}) {
    const std::string name = rcode == dns::Rcode::kServFail ? "s.corp" : "r.corp";
    make_old(name, 80, 10);
    Sent question = expect_refetch(name);
    for (unsigned i = 0; i < 2; ++i) {
      Bytes failure = answer_to(question.dns, 0);
      failure[3] = static_cast<std::uint8_t>(failure[3] | static_cast<unsigned>(rcode));
      rig.reply(question, failure);
      rig.turn();
      const std::vector<Sent> all = rig.sent();
      ASSERT_EQ(all.size(), 1u - i) << "another target is asked, once";
      if (i == 0) question = all[0];
    }
    EXPECT_EQ(expect_hit(name), 1u);
  }
}

TEST_F(Refetch, an_answer_that_cannot_be_kept_leaves_the_old_one) {
  make_old("a.corp", 80, 10);
  const Sent question = expect_refetch("a.corp");
  rig.reply(question, truncated_answer_to(question.dns));
  rig.turn();
  EXPECT_EQ(expect_hit("a.corp"), 1u);
}

TEST_F(Refetch, who_comes_when_the_old_one_has_expired_joins_it) {
  make_old("a.corp", 80, 1);
  const Sent question = expect_refetch("a.corp");
  rig.turn(700);
  pass(1);  // past the second try, too
  rig.sent();
  EXPECT_TRUE(hit("a.corp", 9).empty()) << "no question of its own";
  EXPECT_EQ(count(Counter::coalesced), 1u);
  rig.reply(question, answer_to(question.dns, 2, 80));
  const Sent answer = rig.turn_for_one();
  EXPECT_TRUE(answer.to(kClient));
  EXPECT_EQ(answer.id(), 9);
}

TEST_F(Refetch, who_joined_it_is_told_of_its_failure) {
  make_old("a.corp", 80, 1);
  expect_refetch("a.corp");
  rig.turn(810);
  rig.turn(200);
  rig.sent();
  EXPECT_TRUE(hit("a.corp", 9).empty());
  rig.turn(700);
  const std::vector<Sent> all = rig.sent();
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].id(), 9);
  EXPECT_EQ(all[0].rcode(), dns::Rcode::kServFail);
}

TEST_F(Refetch, not_of_what_rules_answer_nor_of_failures) {
  for (const char* name : {"nx.example", "fixed.example"}) {
    EXPECT_EQ(hit(name).size(), 1u);
    EXPECT_EQ(hit(name).size(), 1u);
  }
  rig.snapshot().upstreams[0].failure_ttl = 300;
  rig.health(0).up = rig.health(1).up = state::TargetHealth::kDown;
  EXPECT_EQ(hit("broken.corp").size(), 1u);
  EXPECT_EQ(hit("broken.corp").size(), 1u);
  rig.health(0).up = rig.health(1).up = state::TargetHealth::kUp;
  pass(290);
  EXPECT_EQ(hit("broken.corp").size(), 1u);
  pass(state::kMadeSeconds - 300);
  for (const char* name : {"nx.example", "fixed.example"})
    EXPECT_EQ(hit(name).size(), 1u);
  EXPECT_EQ(count(Counter::cache_hits), 6u);
  EXPECT_EQ(count(Counter::prefetched), 0u);
}

TEST_F(Refetch, negative_answers_are_renewed) {
  Sent question = ask_upstream(query("a.corp"));
  Bytes negative = answer_to(question.dns, 0);
  negative[3] = static_cast<std::uint8_t>(negative[3] | 3);
  negative[9] = 1;  // an authority record, in front of the OPT
  Bytes soa{0, 0, 6, 0, 1, 0, 0, 0, 80, 0, 22, 0, 0};
  soa.resize(soa.size() + 16);
  append32(soa, 80);
  negative.insert(negative.end() - 11, soa.begin(), soa.end());
  rig.reply(question, negative);
  EXPECT_EQ(rig.turn_for_one().rcode(), dns::Rcode::kNxDomain);
  EXPECT_EQ(hit("a.corp").size(), 1u);
  pass(75);
  EXPECT_EQ(hit("a.corp").size(), 2u);
}

TEST_F(Refetch, an_upstream_may_be_spared) {
  rig.snapshot().upstreams[0].prefetch = false;
  make_old("a.corp", 80, 10);
  EXPECT_EQ(expect_hit("a.corp"), 1u);
  EXPECT_EQ(count(Counter::prefetched), 0u);
}

TEST_F(Refetch, no_target_no_refetch) {
  make_old("a.corp", 80, 10);
  rig.health(0).up = rig.health(1).up = state::TargetHealth::kDown;
  EXPECT_EQ(expect_hit("a.corp"), 1u);
  EXPECT_EQ(rig.worker().context().pending.open_slots(), 0u);
  EXPECT_EQ(count(Counter::prefetched), 0u);
}

// A hit that had to be matched: another routing, as after a reload.
TEST_F(Refetch, after_a_match_too) {
  make_old("a.corp", 80, 10);
  rig.snapshot().networks[0].routing = 2;
  expect_refetch("a.corp");
}

TEST_F(Refetch, not_where_rules_have_come_to_lead_elsewhere) {
  make_old("a.corp", 80, 10);
  rig.snapshot().upstreams[0].origin = 9;
  EXPECT_EQ(expect_hit("a.corp"), 1u);  // the routing is the same here, as it never is after a reload
  EXPECT_EQ(count(Counter::prefetched), 0u);
}

TEST_F(Refetch, a_name_of_the_default_upstream_goes_through_the_control_plane) {
  const auto event = [this] {
    void* p = nullptr;
    EXPECT_EQ(rte_ring_dequeue(rig.rings().events, &p), 0);
    auto* const packet = static_cast<rte_mbuf*>(p);
    EXPECT_EQ(message_of(packet).kind, MessageKind::kMiss);
    message_of(packet).kind = MessageKind::kDecision;
    rte_ring_enqueue(rig.rings().orders, packet);
    return rig.turn_for_one();
  };
  EXPECT_TRUE(hit("www.else").empty());
  Sent question = event();
  rig.reply(question, answer_to(question.dns, 1, 80));
  rig.turn_for_one();
  EXPECT_EQ(expect_hit("www.else"), 1u);
  pass(75);
  EXPECT_EQ(expect_hit("www.else"), 1u);
  EXPECT_EQ(count(Counter::prefetched), 1u);
  question = event();
  rig.reply(question, answer_to(question.dns, 2, 80));
  rig.turn();
  EXPECT_TRUE(rig.sent().empty());
  EXPECT_EQ(expect_hit("www.else"), 2u);
}

// Of a rule's queries, only those of clients: here two relayed or cached before, one hit, no timeout.
TEST_F(Refetch, the_rules_figures_know_nothing_of_it) {
  const rules::RuleSet* const set = rig.snapshot().networks[0].rules.set_of({.rule = 0});
  std::vector<rules::FigureTable::Row> rows;
  for (const rules::RuleIndex i : set->rules())
    rows.push_back({set, i, 7});
  auto counted = std::make_shared<state::CountedRules>();
  counted->table = rules::FigureTable(rows);
  counted->sampling = true;
  rig.view().counted = counted;
  make_old("a.corp", 80, 10);
  expect_refetch("a.corp");
  rig.turn(810);
  rig.turn(810);
  rig.sent();
  FigureCounts c;
  c.add(rig.worker().figures()[7]);
  EXPECT_EQ(c.queries(), 3u);
  EXPECT_EQ(c.from_cache(), 2u);
  EXPECT_EQ(c.timeouts, 0u);
  EXPECT_EQ(c.waits.count(), 1u);
  EXPECT_EQ(count(Counter::timeouts), 2u);
}

TEST_F(Refetch, what_it_brings_counts_for_the_same_rule) {
  const rules::RuleSet* const set = rig.snapshot().networks[0].rules.set_of({.rule = 0});
  std::vector<rules::FigureTable::Row> rows;
  for (const rules::RuleIndex i : set->rules())
    rows.push_back({set, i, 7});
  auto counted = std::make_shared<state::CountedRules>();
  counted->table = rules::FigureTable(rows);
  rig.view().counted = counted;
  make_old("a.corp", 80, 10);
  const Sent question = expect_refetch("a.corp");
  rig.reply(question, answer_to(question.dns, 2, 80));
  rig.turn();
  EXPECT_EQ(expect_hit("a.corp"), 2u);
  FigureCounts c;
  c.add(rig.worker().figures()[7]);
  EXPECT_EQ(c.from_cache(), 3u);
}

// Half of every limit is for clients alone.
class RefetchLimits : public ::testing::Test {
 protected:
  /// One hot name that is due, and `waiting` client queries in flight to the same upstream; true where the
  /// name was asked for again.
  static bool refetched_beside(const RigOptions& options, unsigned waiting) {
    Rig rig(options);
    rig.ask(query("a.corp"));
    const Sent question = rig.turn_for_one();
    rig.reply(question, answer_to(question.dns, 1, 80));
    rig.turn();
    rig.ask(query("a.corp"));
    rig.turn(75'000);
    rig.sent();
    for (unsigned i = 0; i < waiting; ++i)
      rig.ask(query("w" + std::to_string(i) + ".corp"));
    rig.turn();
    EXPECT_EQ(rig.sent().size(), waiting);
    rig.ask(query("a.corp"));
    rig.turn();
    const std::size_t sent = rig.sent().size();
    EXPECT_GE(sent, 1u);
    EXPECT_EQ(rig.stats()[Counter::prefetched], sent - 1);
    EXPECT_EQ(rig.stats()[Counter::answered_cache], 2u);
    rig.check_laws();
    return sent == 2;
  }
};

TEST_F(RefetchLimits, half_of_the_upstreams) {
  EXPECT_TRUE(refetched_beside({.per_upstream = 20}, 9));
  EXPECT_FALSE(refetched_beside({.per_upstream = 20}, 10));
}

TEST_F(RefetchLimits, half_of_the_slots) {
  EXPECT_TRUE(refetched_beside({.pending = 64}, 31));
  EXPECT_FALSE(refetched_beside({.pending = 64}, 32));
}

TEST_F(RefetchLimits, half_of_the_targets) {
  EXPECT_TRUE(refetched_beside({.per_target = 20}, 9));
  EXPECT_FALSE(refetched_beside({.per_target = 20}, 10));
}

TEST_F(RefetchLimits, the_clients_own_limit_is_not_touched) {
  EXPECT_TRUE(refetched_beside({.per_client = 5}, 5));
}

}  // namespace
}  // namespace shunt::testing
