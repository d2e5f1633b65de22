// When no target answers: what the upstream's on_all_down says.
#include <rte_mbuf.h>

#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

using state::OnAllDown;
using state::Slot;

// Of stale answers, in seconds (RFC 8767 section 4).
constexpr std::uint32_t kStaleTtl = 30;

state::CacheKey key_of(const Slot& slot) {
  return {slot.name.data(), slot.hash, slot.origin, slot.routing, slot.type, slot.flags, slot.name_length};
}

const state::Upstream* upstream_with(const Context& context, const Slot& slot, OnAllDown policy) {
  const state::Upstream* upstream = context.snapshot->upstream(slot.upstream);
  return upstream != nullptr && upstream->on_all_down == policy ? upstream : nullptr;
}

std::uint64_t queries_of(Context& context, const Slot& slot) {
  std::uint64_t queries = 0;
  for (std::uint32_t i = slot.waiters; i != state::kNone; i = context.pending.waiter(i)->next) {
    if (is_query(context.pending.waiter(i)->transport)) ++queries;
  }
  return queries;
}

// Answers all waiters from the cache. `stale`: whatever the TTLs are, and said to be so.
bool serve(Context& context, Slot& slot, const state::CacheHit& hit, bool stale) {
  rte_mbuf* packet = rte_pktmbuf_alloc(context.pool);
  if (packet == nullptr) return false;
  auto* wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  const std::uint16_t question_end = write_question(slot, wire);
  if (stale) {
    state::copy_stale(hit, wire + question_end, kStaleTtl);
  } else {
    state::copy_aged(hit, wire + question_end, hit.body_length);
  }
  const bool servfail = (hit.flags & dns::kRcodeMask) == static_cast<std::uint16_t>(dns::Rcode::kServFail);
  MadeReply reply;
  reply.question_end = question_end;
  reply.end = static_cast<std::uint16_t>(question_end + hit.body_length);
  reply.flags = static_cast<std::uint16_t>(dns::kQr | dns::kRa | hit.flags);
  reply.ancount = hit.ancount;
  reply.nscount = hit.nscount;
  reply.arcount = hit.arcount;
  if (stale) {
    reply.error = dns::ExtendedError::kStaleAnswer;
  } else if (servfail) {
    reply.error = dns::ExtendedError::kCachedError;
  }
  reply_to_all(context, slot, packet, reply, Counter::answered_cache);
  return true;
}

bool serve_stale(Context& context, Slot& slot) {
  const state::Upstream* upstream = upstream_with(context, slot, OnAllDown::kStale);
  if (upstream == nullptr || !slot.shared) return false;
  const state::CacheKey key = key_of(slot);
  const std::uint32_t now = context.now.seconds();
  // The next queries are served at once, until the upstream is asked again (RFC 8767 section 5). Noted before
  // the answer is looked for: a hit is valid until the next insertion only.
  state::CacheHit hit;
  if (!context.cache.find_stale(key, now, upstream->stale_ttl, hit)) return false;
  if (!context.cache.has_failed(key, now)) {
    context.cache.note_failure(key, now, upstream->failure_ttl);
    if (!context.cache.find_stale(key, now, upstream->stale_ttl, hit)) return false;
  }
  const std::uint64_t queries = queries_of(context, slot);
  if (!serve(context, slot, hit, true)) return false;
  context.stats[Counter::served_stale] += queries;
  return true;
}

bool ask_default(Context& context, Slot& slot) {
  if (slot.fallback == state::kNone || upstream_with(context, slot, OnAllDown::kDefault) == nullptr)
    return false;
  const state::Upstream* other = context.snapshot->upstream(std::exchange(slot.fallback, state::kNone));
  if (other == nullptr) return false;
  ++context.stats[Counter::asked_default];
  end_try(context, slot);
  context.pending.redirect(slot, other->handle, other->origin);
  slot.miss = true;
  state::CacheHit hit;
  if (slot.shared && context.cache.find(key_of(slot), context.now.seconds(), hit) &&
      serve(context, slot, hit, false)) {
    return true;
  }
  if (other->by_control) {
    ask_control(context, slot, nullptr, *other, state::kNoRouting);
  } else if (!send_to_target(context, slot, {}, nullptr)) {
    no_target(context, slot);
  }
  return true;
}

}  // namespace

bool fall_back(Context& context, Slot& slot) {
  return serve_stale(context, slot) || ask_default(context, slot);
}

bool fall_back_to_stale(Context& context, Slot& slot) {
  return serve_stale(context, slot);
}

bool is_served_stale(Context& context, const Slot& slot, const state::Upstream& upstream) {
  if (upstream.on_all_down != OnAllDown::kStale || !slot.shared) [[likely]]
    return false;
  const std::uint32_t now = context.now.seconds();
  state::CacheHit hit;
  return context.cache.has_failed(key_of(slot), now) &&
         context.cache.find_stale(key_of(slot), now, upstream.stale_ttl, hit);
}

std::uint32_t fallback_of(const Context& context, const Query& query) {
  if (query.upstream->on_all_down != OnAllDown::kDefault || query.set == nullptr) [[likely]]
    return state::kNone;
  return context.snapshot->networks[query.network].default_upstream;
}

}  // namespace shunt
