// `watch` rules: queries that are taken note of, and go on as if there were no such rule.
#include <rte_mbuf.h>

#include <cstring>

#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

// Like match.cpp's find_figure(), for the watch.
void count(Context& context, const rules::RuleSet* set, rules::RuleIndex rule) {
  ++context.stats[Counter::watched];
  const FigureNumber figure = context.counted_rules->find(set, rule);
  bump(context.figure(figure).watched);
  if (figure != 0 || !context.sampler.due()) return;
  context.take_sample(set, rule);
}

// For the log, where there is room: a watch must not cost anybody an answer.
void report(Context& context, const Query& q, const rules::Match& watch) {
  rte_mbuf* const packet =
      rte_ring_full(context.rings.watched) != 0 ? nullptr : rte_pktmbuf_alloc(context.pool);
  if (packet == nullptr) {
    ++context.stats[Counter::watched_unlogged];
    return;
  }
  const dns::Name& name = q.question.name;
  char* const to = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(2 + name.length));
  store_be16(reinterpret_cast<std::uint8_t*>(to), q.question.type);
  std::memcpy(to + 2, name.wire.data(), name.length);
  Message& message = message_of(packet);
  message.kind = MessageKind::kWatched;
  message.generation = context.snapshot->generation;
  message.network = q.network;
  message.set = watch.set;
  message.rule = watch.rule;
  message.client = {q.frame.source, q.frame.source_port};
  if (rte_ring_sp_enqueue(context.rings.watched, packet) == 0) return;
  rte_pktmbuf_free(packet);
  ++context.stats[Counter::watched_unlogged];
}

}  // namespace

void watch(Context& context, Burst& burst, const rules::Association& rules, const dns::Name* const* names,
           const rules::Match* best) {
  std::array<rules::Match, kBurst> watches{};
  rules.find_watches(burst.queries, names, burst.hashes.at[0].data(), best, watches.data());
  for (unsigned i = 0; i < burst.queries; ++i) {
    if (!watches[i].found()) continue;
    Query& q = burst.query[i];
    count(context, rules.watches_of(watches[i]), watches[i].rule);
    report(context, q, watches[i]);
    // An answer that is stored without a routing is found after a match only.
    q.key.routing = state::kNoRouting;
  }
}

}  // namespace shunt
