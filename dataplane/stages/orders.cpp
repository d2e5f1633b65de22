// What the control plane orders: its decisions on questions that were handed to it, and questions of its own.
#include <rte_mbuf.h>

#include <cstring>

#include "dataplane/base/octets.h"
#include "dataplane/stages/deliver.h"
#include "dataplane/stages/question.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

using dns::ExtendedError;
using state::Slot;

// The slot that a message of the control plane is about, while it still waits for it; null (and counted)
// where it ended.
Slot* awaited(Context& context, rte_mbuf* packet) {
  const Message& message = message_of(packet);
  Slot* slot = context.pending.slot(message.slot);
  if (slot != nullptr && slot->serial == message.serial && slot->waiting == state::Waiting::kForControl)
    return slot;
  ++context.stats[Counter::ask_without_slot];
  rte_pktmbuf_free(packet);
  return nullptr;
}

}  // namespace

void take_decision(Context& context, rte_mbuf* packet) {
  Slot* slot = awaited(context, packet);
  if (slot == nullptr) return;
  if (!send_to_target(context, *slot, as_outgoing(packet), nullptr)) no_target(context, *slot);
}

void take_failure(Context& context, rte_mbuf* packet) {
  Slot* slot = awaited(context, packet);
  if (slot == nullptr) return;
  const ExtendedError error = message_of(packet).error;
  rte_pktmbuf_free(packet);
  fail(context, *slot, error);
}

void take_answer(Context& context, rte_mbuf* packet) {
  Slot* slot = awaited(context, packet);
  if (slot == nullptr) return;
  auto* wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  dns::Reply reply;
  dns::Name name;
  const bool good = dns::parse_reply({wire, packet->data_len}, reply, name) == dns::ReplyVerdict::kGood &&
                    reply.type == slot->type && reply.klass == slot->klass &&
                    name.length == slot->name_length &&
                    std::memcmp(name.wire.data(), slot->name.data(), name.length) == 0;
  if (!good) {
    rte_pktmbuf_free(packet);
    return fail(context, *slot, ExtendedError::kNetworkError);
  }
  state::Try from;
  from.target = message_of(packet).truncated_by;
  from.target_id = message_of(packet).target_id;
  if (says_failure(reply) && slot->waiters != state::kNone && fall_back_to_stale(context, *slot)) [[unlikely]]
    return rte_pktmbuf_free(packet);
  const bool is_lower = equal_octets(wire + dns::kHeaderSize, slot->name.data(), slot->name_length);
  deliver(context, *slot, packet, wire, packet->data_len, reply, &from, is_lower);
}

void take_ask(Context& context, rte_mbuf* packet) {
  const Message message = message_of(packet);
  const state::Upstream* upstream = context.snapshot->upstream(message.upstream);
  Query q;
  q.packet = packet;
  q.wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  q.transport = state::Transport::kAsk;
  q.ticket = message.ticket;
  q.upstream = upstream;
  q.set = nullptr;
  q.key.figure = 0;
  q.frame = {};
  Slot* slot = nullptr;
  const bool good = upstream != nullptr && message.target < upstream->targets.size() &&
                    dns::parse_query({q.wire, packet->data_len}, q.question) == dns::QueryVerdict::kGood;
  if (good) {
    q.key.flags = state::cache_flags(q.question);
    q.key.origin = upstream->origin;
    q.key.hash = 0;  // never looked up: an ask is neither shared nor cached
    q.key.routing = state::kNoRouting;
    slot = context.pending.open(question_key(context, q), false);
  }
  state::Waiter* w = slot == nullptr ? nullptr : context.pending.add_waiter(*slot);
  if (w == nullptr) {
    if (slot != nullptr) context.pending.close(*slot);
    // An ask always gets its reply: empty.
    Message& reply = message_of(packet);
    reply.kind = MessageKind::kReply;
    packet->data_len = 0;
    packet->pkt_len = 0;
    if (rte_ring_sp_enqueue(context.rings.events, packet) != 0) rte_pktmbuf_free(packet);
    return;
  }
  fill_waiter(context, *w, q);
  const Outgoing question = make_question(q);
  slot->give_up_us =
      context.now.us + 1000ull * upstream->timeout_ms;  // one try: it is this target that is asked about
  if (!send_to_target(context, *slot, question, &upstream->targets[message.target])) {
    fail(context, *slot, ExtendedError::kNoReachableAuthority);
  }
}

}  // namespace shunt
