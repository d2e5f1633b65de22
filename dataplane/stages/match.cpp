#include <cstring>

#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

using dns::ExtendedError;
using dns::Rcode;
using rules::Action;

// Counts for the query's rule what it answered.
void count_answer(Context& context, const Query& q, Rcode rcode) {
  bump(context.figure(q.key.figure).answers[figure_rcode(static_cast<unsigned>(rcode))]);
}

// Sends what a rule answers, and remembers it: the next query for the name is answered without a match.
void send_made(Context& context, Query& q, Rcode rcode, const state::MadeAnswer& answer) {
  if (!q.question.edns.foreign_options && q.key.routing != state::kNoRouting) {
    q.key.origin = state::made_origin(q.key.routing);
    context.cache.insert_made(q.key, answer, context.now.seconds(), state::kMadeSeconds);
  }
  count_answer(context, q, rcode);
  send_reply(context, q,
             {.rcode = rcode, .records = answer.body, .ancount = answer.ancount, .nscount = answer.nscount},
             answer.maker == state::Maker::kZone ? Counter::answered_zone : Counter::answered_rule);
}

// Blocked answers carry an SOA at the rule's own name, so that clients can cache them (RFC 2308 section 5).
void send_blocked(Context& context, Query& q, Rcode rcode, state::Maker maker) {
  const dns::Name& name = q.question.name;
  const auto owner = static_cast<std::uint16_t>(dns::kHeaderSize + name.offset[name.labels - q.match.labels]);
  std::array<std::uint8_t, dns::kSyntheticSoaSize> soa;
  dns::write_synthetic_soa(soa.data(), owner);
  send_made(context, q, rcode, {maker, static_cast<std::uint16_t>(rcode), 0, 1, soa});
}

void send_rule_answer(Context& context, Query& q, const rules::Answer& answer, state::Maker maker) {
  const auto cname = static_cast<std::uint16_t>(dns::Type::kCname);
  const rules::AnswerGroup* group = nullptr;
  if (q.question.type == static_cast<std::uint16_t>(dns::Type::kAny)) {
    if (!answer.groups.empty()) group = &answer.groups.front();  // one RRset suffices (RFC 8482 section 4.1)
  } else {
    group = answer.find(q.question.type);
    if (group == nullptr) group = answer.find(cname);
  }
  if (group == nullptr) return send_blocked(context, q, Rcode::kNoError, maker);
  send_made(context, q, Rcode::kNoError, {maker, 0, group->count, 0, group->wire});
}

// Carries out what a rule says. True where the query goes on, with `upstream` set.
bool act(Context& context, Query& q, const rules::Rule& rule) {
  const bool users = rules::Association::is_users(q.match);
  const state::Maker maker = users ? state::Maker::kRule : state::Maker::kZone;
  const Counter counted = users ? Counter::answered_rule : Counter::answered_zone;
  switch (rule.action) {
    case Action::kForward:
      q.upstream = context.snapshot->upstream(rule.argument);
      if (q.upstream != nullptr) return true;
      count_answer(context, q, Rcode::kServFail);
      send_error(context, q, Rcode::kServFail, ExtendedError::kNoReachableAuthority);
      return false;
    case Action::kBlockNxdomain:
      send_blocked(context, q, Rcode::kNxDomain, maker);
      return false;
    case Action::kBlockNodata:
      send_blocked(context, q, Rcode::kNoError, maker);
      return false;
    case Action::kBlockRefused:
      count_answer(context, q, Rcode::kRefused);
      send_reply(context, q, {.rcode = Rcode::kRefused, .error = ExtendedError::kBlocked}, counted);
      return false;
    case Action::kBlockDrop:
      bump(context.figure(q.key.figure).dropped);
      drop_query(context, q, QueryDrop::blocked);
      return false;
    case Action::kAnswer:
      send_rule_answer(context, q, q.set->answer(rule.argument), maker);
      return false;
    case Action::kZone:
      q.upstream = &context.snapshot->zones;
      return true;
    case Action::kSystem:  // resolved by the caller
    case Action::kWatch:   // never in a set that is matched
      break;
  }
  return true;
}

// Under which number the query counts: that of the rule that won, a `system` rule included. One that has none
// may be told of.
void find_figure(Context& context, Query& q) {
  q.key.figure = 0;
  if (q.set == nullptr) return;
  q.key.figure = context.counted_rules->find(q.set, q.match.rule);
  if (q.key.figure != 0 || !(q.sampled || context.sampler.due())) [[likely]]
    return;
  context.take_sample(q.set, q.match.rule);
}

// Finishes one query's match: true where it goes on to an upstream.
bool decide(Context& context, Burst& burst, std::uint8_t i) {
  Query& q = burst.query[i];
  const state::Network& network = context.snapshot->networks[q.network];
  q.set = network.rules.set_of(q.match);
  find_figure(context, q);
  if (q.set != nullptr && q.set->rule(q.match.rule).action == Action::kSystem) {
    q.match = network.rules.find_system(q.question.name, &burst.hashes.at[0][i], kBurst);
    q.set = network.rules.set_of(q.match);
  }
  if (q.set != nullptr) return act(context, q, q.set->rule(q.match.rule));
  q.upstream = context.snapshot->upstream(network.default_upstream);
  if (q.upstream != nullptr) return true;
  count_answer(context, q, Rcode::kRefused);
  send_error(context, q, Rcode::kRefused, ExtendedError::kNoReachableAuthority);
  return false;
}

}  // namespace

bool find_upstream(Context& context, Query& q) {
  const state::Network& network = context.snapshot->networks[q.network];
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
  dns::hash_suffixes(context.hash_key, q.question.name, hashes.data(), 1);
  const auto is = [&q](Action action) { return q.set->rule(q.match.rule).action == action; };
  q.match = network.rules.find(q.question.name, hashes.data());
  q.set = network.rules.set_of(q.match);
  if (q.set != nullptr && is(Action::kSystem)) {
    q.match = network.rules.find_system(q.question.name, hashes.data());
    q.set = network.rules.set_of(q.match);
  }
  if (q.set != nullptr && !is(Action::kForward)) return false;
  q.upstream = context.snapshot->upstream(q.set != nullptr ? q.set->rule(q.match.rule).argument
                                                           : network.default_upstream);
  return q.upstream != nullptr;
}

void match(Context& context, Burst& burst) {
  const state::Snapshot& snapshot = *context.snapshot;
  const unsigned live = burst.live;
  for (unsigned n = 0; n < live; ++n) {
    const std::uint8_t i = burst.alive[n];
    dns::hash_suffixes(context.hash_key, burst.query[i].question.name, &burst.hashes.at[0][i], kBurst);
  }

  // Network by network: nearly always all of a burst are of one.
  std::array<rules::Match, kBurst> best{};
  std::uint64_t done = 0;
  for (unsigned n = 0; n < live; ++n) {
    if ((done >> burst.alive[n] & 1) != 0) continue;
    const std::uint32_t network = burst.query[burst.alive[n]].network;
    std::array<const dns::Name*, kBurst> names{};
    for (unsigned m = n; m < live; ++m) {
      const std::uint8_t i = burst.alive[m];
      if (burst.query[i].network != network) continue;
      names[i] = &burst.query[i].question.name;
      done |= std::uint64_t{1} << i;
    }
    const rules::Association& rules = snapshot.networks[network].rules;
    rules.find_burst(burst.queries, names.data(), burst.hashes.at[0].data(), best.data());
    if (rules.has_watches()) [[unlikely]]
      watch(context, burst, rules, names.data(), best.data());
  }

  for (unsigned n = 0; n < live; ++n) {
    const Query& q = burst.query[burst.alive[n]];
    const rules::Match& found = best[burst.alive[n]];
    context.counted_rules->prefetch(snapshot.networks[q.network].rules.set_of(found), found.rule);
  }

  burst.live = 0;
  for (unsigned n = 0; n < live; ++n) {
    const std::uint8_t i = burst.alive[n];
    burst.query[i].match = best[i];
    if (!decide(context, burst, i)) continue;
    Query& q = burst.query[i];
    // Zones are the network's, whatever figures its rules have.
    q.key.origin = q.upstream == &snapshot.zones ? state::made_origin(context.network_routing(q.network))
                                                 : q.upstream->origin;
    burst.alive[burst.live++] = i;
  }
}

}  // namespace shunt
