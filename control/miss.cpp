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

// The name of a worker's question, which has nothing else in front of it.
std::span<const std::uint8_t> name_of(std::span<const std::uint8_t> question) {
  return question.subspan(dns::kHeaderSize);
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

// None where there is something better than to wait for targets that are down.
std::vector<const state::Target*> Misses::targets_for(const state::Upstream& upstream,
                                                      std::span<const std::uint8_t> question) {
  if (upstream.on_all_down != state::OnAllDown::kServfail &&
      all_down(upstream, published_, name_of(question)))
    return {};
  return order_targets(upstream, published_, name_of(question), random_);
}

void Misses::unanswered(std::size_t worker, const Message& message, const std::vector<std::uint32_t>& targets,
                        std::span<const std::uint8_t> question) {
  send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
  dns::Name name;
  if (dns::read_name(name_of(question), name) == 0) return;
  for (std::size_t i = 0; i < targets.size() && i < kTries; ++i)
    on_silence_(targets[i], name.octets());
}

void Misses::ask_host(std::size_t worker, const Message& message, const state::Upstream& upstream,
                      std::span<const std::uint8_t> question) {
  Ask ask;
  std::vector<std::uint32_t> ids;
  for (const state::Target* target : targets_for(upstream, question)) {
    ask.targets.push_back(target->address);
    ids.push_back(target->id);
  }
  if (ids.empty()) return send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
  ask.message.assign(question.begin(), question.end());
  ask.timeout_ms = upstream.timeout_ms;
  const std::vector<SocketAddress> targets = ask.targets;
  std::vector<std::uint8_t> asked = ask.message;
  resolver_.ask(std::move(ask), [this, worker, message, targets, ids,
                                 asked = std::move(asked)](Result<HostAnswer> answer) {
    if (!answer) return unanswered(worker, message, ids, asked);
    send_answer(worker, message, std::move(answer->message), ids[answer->target], targets[answer->target]);
  });
}

void Misses::ask_streams(std::size_t worker, const Message& message, const state::Upstream& upstream,
                         std::span<const std::uint8_t> question) {
  std::vector<std::uint32_t> ids;
  for (const state::Target* target : targets_for(upstream, question))
    ids.push_back(target->id);
  if (ids.empty()) return send_failure(worker, message, dns::ExtendedError::kNoReachableAuthority);
  std::vector<std::uint8_t> wire(question.begin(), question.end());
  const bool asked = streams_.ask(ids, wire, upstream.timeout_ms, kTries,
                                  [this, worker, message, ids, wire](Result<UpstreamStreams::Answer> answer) {
                                    if (!answer) return unanswered(worker, message, ids, wire);
                                    send_answer(worker, message, std::move(answer->message), answer->target,
                                                answer->address);
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
