#include "control/miss.h"

#include <rte_mbuf.h>

#include <algorithm>

namespace shunt::control {
namespace {

// The targets in the order in which they are to be tried: by policy, those that are up first.
std::vector<SocketAddress> order_targets(const state::Upstream& upstream, const state::TargetHealth* health,
                                         std::uint32_t turn) {
  const std::size_t count = upstream.targets.size();
  const std::size_t start = upstream.policy == state::Policy::kOrdered ? 0 : turn % count;
  std::vector<SocketAddress> up, down;
  for (std::size_t i = 0; i < count; ++i) {
    const state::Target& target = upstream.targets[(start + i) % count];
    const bool is_up = health[target.id].up.load(std::memory_order_relaxed) != 0;
    (is_up ? up : down).push_back(target.address);
  }
  // One that is down is better than none: this path has no workers to keep from waiting.
  up.insert(up.end(), down.begin(), down.end());
  return up;
}

// Where there is something better than to wait for targets that are down.
bool is_hopeless(const state::Upstream& upstream, const state::TargetHealth* health) {
  return upstream.on_all_down != state::OnAllDown::kServfail &&
         std::all_of(upstream.targets.begin(), upstream.targets.end(), [&](const state::Target& target) {
           return health[target.id].up.load(std::memory_order_relaxed) == state::TargetHealth::kDown;
         });
}

}  // namespace

void Misses::send_failure(std::size_t worker, const Message& message, dns::ExtendedError error) {
  rte_mbuf* packet = crossing_.make_packet({});
  if (packet == nullptr) return;  // the worker's own deadline ends the wait
  Message& order = message_of(packet);
  order.kind = MessageKind::kFail;
  order.slot = message.slot;
  order.serial = message.serial;
  order.error = error;
  crossing_.order(worker, packet);
}

void Misses::ask_host(std::size_t worker, const Message& message, const state::Upstream& upstream,
                      std::span<const std::uint8_t> question) {
  if (is_hopeless(upstream, health_))
    return send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
  Ask ask;
  ask.targets = order_targets(upstream, health_, next_target_++);
  ask.message.assign(question.begin(), question.end());
  ask.timeout_ms = upstream.timeout_ms;
  const std::vector<SocketAddress> targets = ask.targets;
  resolver_.ask(std::move(ask), [this, worker, message, targets](Result<HostAnswer> answer) {
    rte_mbuf* packet = answer ? crossing_.make_packet(answer->message) : nullptr;
    if (packet == nullptr) return send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
    Message& order = message_of(packet);
    order.kind = MessageKind::kAnswer;
    order.slot = message.slot;
    order.serial = message.serial;
    order.upstream = message.upstream;
    order.truncated_by = targets[answer->target];
    crossing_.order(worker, packet);
  });
}

bool Misses::decide(std::size_t worker, rte_mbuf* packet) {
  Message& message = message_of(packet);
  const state::Upstream* upstream = generation_->snapshot->upstream(message.upstream);
  if (upstream == nullptr) {
    send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
    return false;
  }
  if (upstream->through_host) {
    ask_host(worker, message, *upstream, {rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len});
    return false;
  }
  // The buffer that brought the question takes it back.
  message.kind = MessageKind::kDecision;
  crossing_.order(worker, packet);
  return true;
}

}  // namespace shunt::control
