// Hot answers are asked for again before they expire, so that no client waits for them. A refetch is a
// pending slot that nobody waits in: whoever asks meanwhile is answered from the cache, or joins it where the
// answer has expired or fallen out.
#include <rte_ring.h>

#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

using state::Slot;

// A refetch takes nothing that a client's query might need: half of every limit is out of its reach.
bool has_room(const Context& context, const state::Upstream& upstream) {
  return !context.pending.half_full() &&
         context.pending.upstream_load(upstream.handle) < context.snapshot->queries_per_upstream / 2;
}

bool has_room(const Context& context, const state::Target& target) {
  return context.targets[target.id].in_flight.load(std::memory_order_relaxed) <
         context.snapshot->queries_per_target / 2;
}

bool ask_target(Context& context, Slot& slot, const state::Upstream& upstream) {
  const Choice choice = choose_target(context, slot, upstream, false);
  return choice.adjacency != nullptr && has_room(context, *choice.target) &&
         send_to_target(context, slot, {}, choice.target);
}

void ask_again(Context& context, Query& q, state::CacheEntry& due) {
  due.note_refetch();
  if (!find_upstream(context, q)) return;
  const state::Upstream& upstream = *q.upstream;
  // Joined by a zone's alias from what an upstream said: the zone's to renew.
  if (upstream.origin != due.origin) return;
  if (!upstream.prefetch || !has_room(context, upstream)) return;
  q.key.origin = upstream.origin;
  q.key.figure = due.answer.figure;
  const state::QuestionKey key = question_key(context, q);
  if (context.pending.find_equal(key) != nullptr) return;
  const bool by_control = q.set == nullptr || upstream.by_control;
  if (by_control && rte_ring_count(context.rings.events) >= rte_ring_get_capacity(context.rings.events) / 2)
    return;
  Slot* const slot = context.pending.open(key, true);
  if (slot == nullptr) return;
  slot->give_up_us = context.now.us + kMaxWaitMs * 1000ull;
  slot->miss = q.set == nullptr;
  slot->fallback = fallback_of(context, q);
  if (by_control) {
    ask_control(context, *slot, nullptr, upstream, context.network_routing(q.network));
  } else if (!ask_target(context, *slot, upstream)) {
    return fail(context, *slot, dns::ExtendedError::kNoReachableAuthority);
  }
  ++context.stats[Counter::prefetched];
}

}  // namespace

[[gnu::cold, gnu::noinline]] void refetch(Context& context, Burst& burst) {
  const state::Cache::Due due = context.cache.take_due();
  for (unsigned i = 0; i < burst.queries; ++i) {
    if (&burst.query[i].key == due.key) return ask_again(context, burst.query[i], *due.entry);
  }
}

}  // namespace shunt
