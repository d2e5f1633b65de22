#include "control/miss.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "dataplane/dns/reply.h"

namespace shunt::control {
namespace {

/// Of the control plane's own, which the worker waits for (stages/forward.cpp).
constexpr unsigned kTries = 2;

// The targets in the order in which they are to be tried: by policy, those that are up first.
std::vector<const state::Target*> order_targets(const state::Upstream& upstream,
                                                const state::TargetHealth* health, std::uint32_t turn) {
  const std::size_t count = upstream.targets.size();
  const std::size_t start = upstream.policy == state::Policy::kOrdered ? 0 : turn % count;
  std::vector<const state::Target*> up, down;
  for (std::size_t i = 0; i < count; ++i) {
    const state::Target& target = upstream.targets[(start + i) % count];
    const bool is_up = health[target.id].up.load(std::memory_order_relaxed) != 0;
    (is_up ? up : down).push_back(&target);
  }
  // One that is down is better than none: this path has no workers to keep from waiting.
  up.insert(up.end(), down.begin(), down.end());
  return up;
}

// What is too large for a packet, as a truncated answer: a stream client has it asked for again.
void cut_to_fit(std::vector<std::uint8_t>& message) {
  if (message.size() <= kMaxMessage) return;
  dns::Reply reply;
  dns::Name name;
  if (dns::parse_reply(message, reply, name) != dns::ReplyVerdict::kGood) return;
  message.resize(reply.question_end);
  const auto flags = static_cast<std::uint16_t>(reply.header.flags | dns::kTc);
  dns::store_header(message.data(), {reply.header.id, flags, 1, 0, 0, 0});
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
  std::vector<std::uint32_t> ids;
  for (const state::Target* target : order_targets(upstream, health_, next_target_++)) {
    ask.targets.push_back(target->address);
    ids.push_back(target->id);
  }
  ask.message.assign(question.begin(), question.end());
  ask.timeout_ms = upstream.timeout_ms;
  const std::vector<SocketAddress> targets = ask.targets;
  resolver_.ask(std::move(ask), [this, worker, message, targets, ids](Result<HostAnswer> answer) {
    if (!answer) return send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
    send_answer(worker, message, std::move(answer->message), ids[answer->target], targets[answer->target]);
  });
}

void Misses::ask_streams(std::size_t worker, const Message& message, const state::Upstream& upstream,
                         std::span<const std::uint8_t> question) {
  if (is_hopeless(upstream, health_))
    return send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
  std::vector<std::uint32_t> ids;
  for (const state::Target* target : order_targets(upstream, health_, next_target_++))
    ids.push_back(target->id);
  const bool asked = streams_.ask(
      ids, {question.begin(), question.end()}, upstream.timeout_ms, kTries,
      [this, worker, message](Result<UpstreamStreams::Answer> answer) {
        if (!answer) return send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
        send_answer(worker, message, std::move(answer->message), answer->target, answer->address);
      });
  if (!asked) send_failure(worker, message, dns::ExtendedError::kNetworkError);
}

void Misses::send_answer(std::size_t worker, const Message& message, std::vector<std::uint8_t> answer,
                         std::uint32_t target, const SocketAddress& address) {
  cut_to_fit(answer);
  rte_mbuf* packet = crossing_.make_packet(answer);
  if (packet == nullptr) return send_failure(worker, message, dns::ExtendedError::kNetworkError);
  Message& order = message_of(packet);
  order.kind = MessageKind::kAnswer;
  order.slot = message.slot;
  order.serial = message.serial;
  order.upstream = message.upstream;
  order.truncated_by = address;
  order.target_id = target;
  crossing_.order(worker, packet);
}

bool Misses::decide(std::size_t worker, rte_mbuf* packet) {
  Message& message = message_of(packet);
  const state::Upstream* upstream = generation_->snapshot->upstream(message.upstream);
  if (upstream == nullptr) {
    send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
    return false;
  }
  if (upstream->by_control) {
    const std::span question(rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
    if (upstream->over_streams) {
      ask_streams(worker, message, *upstream, question);
    } else {
      ask_host(worker, message, *upstream, question);
    }
    return false;
  }
  // The buffer that brought the question takes it back.
  message.kind = MessageKind::kDecision;
  crossing_.order(worker, packet);
  return true;
}

}  // namespace shunt::control
