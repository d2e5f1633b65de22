// A query that isn't answered at once takes a pending slot: it joins an equal one in flight, goes to a
// target, or waits for the control plane's decision.
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/octets.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"
#include "dataplane/stages/to_target.h"

namespace shunt {
namespace {

using dns::ExtendedError;
using state::Slot;
using state::Transport;
using state::Waiter;
using state::Waiting;

// Bit i: octet i of the name, as the client wrote it, is an upper-case letter. A packet buffer has octets to
// read behind the name. Written where it stays: a copy by wide loads would wait for these stores.
inline void find_upper(const std::uint8_t* as_sent, const dns::Name& lower,
                       std::array<std::uint64_t, 4>& bits) {
  bits[1] = bits[2] = bits[3] = 0;
  if (lower.length <= 32) [[likely]] {
    bits[0] = differing(as_sent, lower.wire.data(), lower.length);
    return;
  }
  bits[0] = 0;
  for (unsigned i = 0; i < lower.length; i += 32) {
    const unsigned left = std::min(32u, lower.length - i);
    bits[i / 64] |= std::uint64_t{differing(as_sent + i, &lower.wire[i], left)} << (i % 64);
  }
}

[[gnu::always_inline]] inline void fill_waiter(const Context& context, Waiter& w, const Query& q) {
  const dns::Question& question = q.question;
  w.id = question.id;
  w.flags = question.flags;
  w.client = q.frame.source;
  w.client_port = q.frame.source_port;
  w.transport = q.transport;
  w.edns = question.edns.present;
  w.dnssec_ok = question.edns.dnssec_ok;
  w.ticket = q.ticket;
  w.arrived_us = context.now.us;
  w.figure = q.key.figure;
  find_upper(q.wire + dns::kHeaderSize, question.name, w.upper);
  if (q.transport == Transport::kUdp) {
    w.local = q.frame.destination;
    w.limit = static_cast<std::uint16_t>(dns::client_limit(question.edns));
    std::memcpy(w.client_mac.octets.data(), rte_pktmbuf_mtod(q.packet, const std::uint8_t*) + 6, 6);
    w.port = q.port;
    w.v4 = q.frame.v4;
  } else if (q.transport != Transport::kAsk) {
    w.routing = context.network_routing(q.network);
  }
}

// Keeps the options that are meant for the far end, drops those between two hops; returns the new end.
std::uint8_t* keep_far_options(std::uint8_t* to, const std::uint8_t* options, std::size_t length) {
  for (std::size_t at = 0; at + 4 <= length;) {
    const std::size_t size = 4u + load_be16(options + at + 2);
    if (!dns::is_hop_option(load_be16(options + at))) {
      std::memmove(to, options + at, size);
      to += size;
    }
    at += size;
  }
  return to;
}

// Turns the client's message, in place, into the question that goes upstream: flags clean, the client's exact
// name, our own OPT. The id is set when it is sent. The packet's data becomes the message.
[[gnu::always_inline]] inline Outgoing make_question(Query& q) {
  const dns::Question& question = q.question;
  // AD asks the upstream to say whether the answer is authentic (RFC 6840 section 5.7): known once, told to
  // each as it asked.
  const std::uint16_t flags = static_cast<std::uint16_t>((question.flags & (dns::kRd | dns::kCd)) | dns::kAd);
  // The options lie behind the place where the OPT record goes, so they are moved before it is overwritten.
  std::array<std::uint8_t, kMaxMessage> options;
  std::size_t kept = 0;
  if (question.edns.foreign_options) [[unlikely]] {
    kept = static_cast<std::size_t>(keep_far_options(options.data(), q.wire + question.edns.options_offset,
                                                     question.edns.options_length) -
                                    options.data());
  }
  dns::store_header(q.wire, {0, flags, 1, 0, 0, 1});
  std::uint8_t* opt = q.wire + question.end;
  const dns::OptFields fields{.udp_size = kEdnsSize, .dnssec_ok = question.edns.dnssec_ok};
  std::size_t size = dns::write_opt(opt, fields);
  net::Sum tail = opt_sum(fields);
  if (kept != 0) {
    store_be16(opt + size - 2, static_cast<std::uint16_t>(kept));
    std::memcpy(opt + size, options.data(), kept);
    size += kept;
    tail = net::add_octets(0, opt, size);
  }
  q.packet->data_off = static_cast<std::uint16_t>(q.wire - static_cast<std::uint8_t*>(q.packet->buf_addr));
  q.packet->data_len = static_cast<std::uint16_t>(question.end + size);
  q.packet->pkt_len = q.packet->data_len;
  const net::Sum head = dns_header_sum(q.wire);
  return {q.packet, net::add_octets(head, q.wire + dns::kHeaderSize, question.end - dns::kHeaderSize) +
                        net::at_offset(tail, question.end)};
}

// A question that the control plane or a retry brings.
Outgoing as_outgoing(rte_mbuf* packet) {
  return {packet, net::add_octets(0, rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len)};
}

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

// The slot that a message of the control plane is about, while it still waits for it; null (and counted)
// where it ended.
Slot* awaited(Context& context, rte_mbuf* packet) {
  const Message& message = message_of(packet);
  Slot* slot = context.pending.slot(message.slot);
  if (slot != nullptr && slot->serial == message.serial && slot->waiting == Waiting::kForControl) return slot;
  ++context.stats[Counter::ask_without_slot];
  rte_pktmbuf_free(packet);
  return nullptr;
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
  deliver(context, *slot, packet, wire, packet->data_len, reply, &from);
}

void take_ask(Context& context, rte_mbuf* packet) {
  const Message message = message_of(packet);
  const state::Upstream* upstream = context.snapshot->upstream(message.upstream);
  Query q;
  q.packet = packet;
  q.wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  q.transport = Transport::kAsk;
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
  Waiter* w = slot == nullptr ? nullptr : context.pending.add_waiter(*slot);
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
