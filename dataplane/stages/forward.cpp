// A query that isn't answered at once takes a pending slot: it joins an equal one in flight, goes to a
// target, or waits for the control plane's decision.
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "dataplane/stages/question.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/to_target.h"

namespace shunt {
namespace {

using dns::ExtendedError;
using state::Slot;
using state::Waiter;
using state::Waiting;

// The slot's question, made anew for a further try: lower case, which no server minds.
rte_mbuf* remake_question(Context& context, const Slot& slot) {
  rte_mbuf* packet = rte_pktmbuf_alloc(context.pool);
  if (packet == nullptr) return nullptr;
  if (slot.held != nullptr) {
    std::memcpy(rte_pktmbuf_append(packet, slot.held->data_len), rte_pktmbuf_mtod(slot.held, void*),
                slot.held->data_len);
    return packet;
  }
  auto* wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  const bool rd = (slot.flags & 1) != 0, cd = (slot.flags & 2) != 0, dnssec_ok = (slot.flags & 4) != 0;
  const unsigned flags = dns::kAd | (rd ? dns::kRd : 0u) | (cd ? dns::kCd : 0u);
  dns::store_header(wire, {0, static_cast<std::uint16_t>(flags), 1, 0, 0, 1});
  std::uint8_t* at = wire + dns::kHeaderSize;
  std::memcpy(at, slot.name.data(), slot.name_length);
  at += slot.name_length;
  store_be16(at, slot.type);
  store_be16(at + 2, slot.klass);
  at += 4;
  at += dns::write_opt(at, {.udp_size = kEdnsSize, .dnssec_ok = dnssec_ok});
  rte_pktmbuf_append(packet, static_cast<std::uint16_t>(at - wire));
  return packet;
}

// A query finds no room or no target: its client is told.
void refuse(Context& context, Query& q, ExtendedError error) {
  bump(context.figure(q.key.figure).answers[figure_rcode(static_cast<unsigned>(dns::Rcode::kServFail))]);
  send_error(context, q, dns::Rcode::kServFail, error);
}

bool within_limits(Context& context, Query& q) {
  if (context.pending.client_load(q.client_bucket) >= context.snapshot->queries_per_client) [[unlikely]] {
    bump(context.figure(q.key.figure).dropped);
    drop_query(context, q, QueryDrop::client_limit);
    return false;
  }
  if (context.pending.upstream_load(q.upstream->handle) >= context.snapshot->queries_per_upstream)
      [[unlikely]] {
    ++context.stats[Counter::pending_full];
    refuse(context, q, ExtendedError::kNetworkError);
    return false;
  }
  return true;
}

bool join(Context& context, Query& q, const state::QuestionKey& key) {
  Slot* slot = context.pending.find_equal(key);
  // Networks that share an upstream may fall back to different ones.
  if (slot == nullptr || slot->fallback != fallback_of(context, q)) return false;
  Waiter* w = context.pending.add_waiter(*slot);
  if (w == nullptr) {
    ++context.stats[Counter::pending_full];
    refuse(context, q, ExtendedError::kNetworkError);
    return true;
  }
  fill_waiter(context, *w, q);
  context.pending.count(*w, q.client_bucket);
  ++context.stats[Counter::coalesced];
  rte_pktmbuf_free(q.packet);
  return true;
}

Slot* open_slot(Context& context, Query& q, const state::QuestionKey& key, bool shared) {
  Slot* slot = context.pending.open(key, shared);
  Waiter* w = slot == nullptr ? nullptr : context.pending.add_waiter(*slot);
  if (w == nullptr) {
    if (slot != nullptr) context.pending.close(*slot);
    ++context.stats[Counter::pending_full];
    refuse(context, q, ExtendedError::kNetworkError);
    return nullptr;
  }
  fill_waiter(context, *w, q);
  context.pending.count(*w, q.client_bucket);
  slot->give_up_us = context.now.us + kMaxWaitMs * 1000ull;
  slot->miss = q.set == nullptr;
  slot->zone = q.upstream->handle == state::kZonesUpstream;
  slot->fallback = fallback_of(context, q);
  return slot;
}

[[gnu::always_inline]] inline bool send_inline(Context& context, Slot& slot, Outgoing question,
                                               const state::Upstream* upstream, const state::Target* only) {
  Choice choice;
  if (upstream != nullptr && only == nullptr) choice = choose_target(context, slot, *upstream, false);
  if (only != nullptr) find_path(context, *only, choice);
  if (question.packet == nullptr && choice.adjacency != nullptr) {
    if (rte_mbuf* const again = remake_question(context, slot); again != nullptr)
      question = as_outgoing(again);
  }
  state::Try* t = nullptr;
  if (question.packet != nullptr && choice.adjacency != nullptr) {
    t = context.pending.begin_try(slot, upstream->first_port, upstream->last_port);
  }
  if (t == nullptr) {
    rte_pktmbuf_free(question.packet);
    return false;
  }
  if (slot.origin != upstream->origin) {
    // The upstream was changed by a reload meanwhile: the answer will be the new one's, and is nobody else's.
    context.pending.unshare(slot);
  }
  t->target = choice.target->address;
  t->target_id = choice.target->id;
  t->source = context.snapshot->paths[choice.path].source;
  t->sent_us = context.now.us;
  slot.waiting = Waiting::kForTarget;
  store_be16(rte_pktmbuf_mtod(question.packet, std::uint8_t*), t->id);
  context.targets[t->target_id].note_sent();
  slot.in_flight = true;
  send_question(context, question.packet, question.sum + net::word(t->id), *choice.adjacency, t->port,
                slot.tries == 1 ? Counter::forwarded : Counter::retried);
  context.pending.arm(
      slot, std::min<std::uint64_t>(context.now.us + 1000ull * upstream->timeout_ms, slot.give_up_us));
  return true;
}

void forward_one(Context& context, Query& q, const state::QuestionKey& key) {
  if (q.question.type == state::LoopProbe::kType && is_own_loop_probe(context, q)) [[unlikely]]
    return refuse(context, q, ExtendedError::kNoReachableAuthority);
  if (!within_limits(context, q)) return;
  const bool shared = !q.question.edns.foreign_options;
  if (shared && join(context, q, key)) return;
  Slot* slot = open_slot(context, q, key, shared);
  if (slot == nullptr) return;
  if (is_served_stale(context, *slot, *q.upstream)) [[unlikely]] {
    rte_pktmbuf_free(q.packet);
    return fail(context, *slot, ExtendedError::kNoReachableAuthority);
  }
  const Outgoing question = make_question(q);
  if (!shared) slot->held = rte_pktmbuf_copy(q.packet, context.pool, 0, UINT32_MAX);
  if (slot->miss || q.upstream->by_control) {
    return ask_control(context, *slot, q.packet, *q.upstream, context.network_routing(q.network));
  }
  if (!send_inline(context, *slot, question, q.upstream, nullptr)) no_target(context, *slot);
}

}  // namespace

// The packet carries the question there, and may come back as it went.
void ask_control(Context& context, Slot& slot, rte_mbuf* question, const state::Upstream& upstream,
                 state::Routing routing) {
  slot.waiting = Waiting::kForControl;
  if (question == nullptr) question = remake_question(context, slot);
  if (question == nullptr) return fail(context, slot, ExtendedError::kNetworkError);
  Message& message = message_of(question);
  message.kind = MessageKind::kMiss;
  message.slot = slot.index;
  message.serial = slot.serial;
  message.upstream = upstream.handle;
  message.zone = slot.zone;
  message.routing = routing;
  if (!slot.zone) ++context.stats[Counter::misses];
  // Two tries of the control plane's own, and some time for itself.
  const std::uint64_t due = context.now.us + 2000ull * upstream.timeout_ms + 500'000;
  context.pending.arm(slot, std::min<std::uint64_t>(due, slot.give_up_us));
  if (rte_ring_sp_enqueue(context.rings.events, question) != 0) {
    ++context.stats[Counter::miss_full];
    rte_pktmbuf_free(question);
    fail(context, slot, ExtendedError::kNetworkError);
  }
}

bool send_to_target(Context& context, Slot& slot, Outgoing question, const state::Target* only) {
  return send_inline(context, slot, question, context.snapshot->upstream(slot.upstream), only);
}

void forward(Context& context, Burst& burst) {
  if (burst.live == 0) return;
  // One upstream's range of ports is nearly always another's, too.
  const state::Upstream& first = *burst.query[burst.alive[0]].upstream;
  context.pending.draw_ahead(burst.live, first.first_port, first.last_port);
  std::array<state::QuestionKey, kBurst> keys;
  for (unsigned n = 0; n < burst.live; ++n) {
    Query& q = burst.query[burst.alive[n]];
    q.client_bucket = context.pending.prefetch_client(q.frame.source);
    keys[n] = question_key(context, q);
    context.pending.prefetch_equal(keys[n]);
    context.pending.prefetch_free(n);
  }
  for (unsigned n = 0; n < burst.live; ++n)
    forward_one(context, burst.query[burst.alive[n]], keys[n]);
  burst.live = 0;
}

void handle_timeouts(Context& context) {
  std::array<Slot*, kBurst> due;
  unsigned n;
  do {
    n = context.pending.expired(context.now.us, due);
    for (unsigned i = 0; i < n; ++i) {
      Slot& slot = *due[i];
      if (slot.waiting == Waiting::kForControl) {
        fail(context, slot, ExtendedError::kNetworkError);
        continue;
      }
      ++context.stats[Counter::timeouts];
      if (slot.waiters != state::kNone) bump(context.figure(slot.figure).timeouts);
      state::TargetStats::count(context.targets[slot.attempt[slot.tries - 1].target_id].timeouts);
      end_try(context, slot);
      tell_timeout(context, slot);
      const bool more = slot.tries < state::kMaxTries && context.now.us < slot.give_up_us;
      if (!more || !send_to_target(context, slot, {}, nullptr)) {
        fail(context, slot, ExtendedError::kNoReachableAuthority);
      }
    }
  } while (n == due.size());
}

}  // namespace shunt
