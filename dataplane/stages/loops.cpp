// Targets that lead back here (state/target_loops.h): their probes are recognised, and they are passed over.
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "dataplane/stages/stages.h"

namespace shunt {

using state::LoopProbe;
using state::Slot;

static_assert(kMaxTargets <= 0x10000, "a probe's label has four digits for the target");

bool is_own_loop_probe(Context& context, const Query& q) {
  LoopProbe probe;
  if (!probe.read_label(q.question.name.wire.data()) || probe.target >= kMaxTargets || probe.tag == 0)
    return false;
  if (context.loops[probe.target].tag.load(std::memory_order_relaxed) != probe.tag) return false;
  // Led elsewhere, it isn't going round.
  const auto& targets = q.upstream->targets;
  if (std::none_of(targets.begin(), targets.end(),
                   [&](const state::Target& target) { return target.id == probe.target; })) {
    return false;
  }
  // Before the answer: who sees that has this, too.
  context.targets[probe.target].led_back.store(probe.tag, std::memory_order_release);
  ++context.stats[Counter::loop_probes_back];
  return true;
}

bool is_covered_by_loop(Context& context, const state::Target& target, const Slot& slot) {
  const unsigned count = context.health[target.id].loops.load(std::memory_order_relaxed);
  std::array<std::uint8_t, dns::kNameBuffer> name;
  std::memcpy(name.data(), slot.name.data(), slot.name.size());
  if (!context.loops[target.id].cover(context.hash_key, name.data(), slot.name_length, count)) return false;
  ++context.stats[Counter::loops_avoided];
  return true;
}

void tell_timeout(Context& context, const Slot& slot) {
  const std::uint32_t id = slot.attempt[slot.tries - 1].target_id;
  state::TargetStats& stats = context.targets[id];
  const std::uint32_t now_s = context.now.seconds();
  if (stats.timeout_told_s == now_s) return;
  const state::Waiter* first = context.pending.waiter(slot.waiters);
  if (first == nullptr || first->transport == state::Transport::kAsk) return;  // it knows by itself
  rte_mbuf* packet = rte_pktmbuf_alloc(context.pool);
  if (packet == nullptr) return;
  stats.timeout_told_s = now_s;
  std::memcpy(rte_pktmbuf_append(packet, slot.name_length), slot.name.data(), slot.name_length);
  Message& message = message_of(packet);
  message.kind = MessageKind::kTimeout;
  message.target_id = id;
  if (rte_ring_sp_enqueue(context.rings.events, packet) != 0) rte_pktmbuf_free(packet);
}

}  // namespace shunt
