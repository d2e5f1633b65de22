// Answers for all who wait for a slot: an upstream's or a zone's, which is cached first, or one of our own.
#include "dataplane/stages/deliver.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/octets.h"
#include "dataplane/stages/stages.h"

namespace shunt {

using state::Slot;
using state::Waiter;

namespace {

// What the TTLs of an answer that is kept for `seconds` are cut to. A negative one's SOA counts down to the
// end of its life, which may come before its TTL's: else who caches behind us would keep it for its MINIMUM
// once more (RFC 2308 section 5).
std::uint32_t greatest_ttl(const dns::Reply& reply, std::uint32_t seconds, std::uint32_t max_ttl) {
  return dns::is_negative(reply) ? std::min(seconds, max_ttl) : max_ttl;
}

}  // namespace

void store_answer(Context& context, const Slot& slot, std::span<const std::uint8_t> message,
                  const dns::Reply& reply) {
  if (!slot.shared || !context.cache.on()) return;
  const state::Upstream* upstream = context.snapshot->upstream(slot.upstream);
  if (upstream == nullptr) return;
  // A failure that nobody waited for leaves the answer in place that was to be renewed.
  if (slot.waiters == state::kNone && says_failure(reply)) [[unlikely]]
    return;
  std::uint32_t seconds = dns::cacheable_seconds(reply, upstream->failure_ttl);
  if (reply.rcode() != static_cast<std::uint16_t>(dns::Rcode::kServFail)) {
    seconds = std::clamp(seconds, seconds == 0 ? 0 : upstream->min_ttl, upstream->max_ttl);
  }
  if (seconds == 0) return;
  const state::CacheKey key{slot.name.data(), slot.hash,  slot.origin,      slot.routing,
                            slot.type,        slot.flags, slot.name_length, slot.figure};
  if (context.cache.insert(key, message, reply, context.now.seconds(), seconds,
                           greatest_ttl(reply, seconds, upstream->max_ttl), upstream->min_ttl != 0)) {
    ++context.stats[Counter::cache_insertions];
  }
}

void store_zone_answer(Context& context, const Slot& slot, std::span<const std::uint8_t> message,
                       const dns::Reply& reply, bool joined) {
  if (!slot.shared || reply.truncated() || reply.ttl_count > dns::kMaxTtls) return;
  const state::CacheKey key{slot.name.data(), slot.hash,  slot.origin,     slot.routing,
                            slot.type,        slot.flags, slot.name_length};
  const std::uint32_t now = context.now.seconds();
  bool stored = false;
  if (joined) {
    const std::uint32_t seconds = std::min(dns::cacheable_seconds(reply, 0), state::kMadeSeconds);
    stored = seconds != 0 && context.cache.insert(key, message, reply, now, seconds,
                                                  greatest_ttl(reply, seconds, UINT32_MAX), false);
  } else {
    const dns::Header& h = reply.header;
    stored = context.cache.insert_made(
        key,
        {state::Maker::kZone, h.flags, h.ancount, h.nscount,
         message.subspan(reply.question_end, reply.body_end - reply.question_end), h.arcount},
        now, state::kMadeSeconds);
  }
  if (stored) ++context.stats[Counter::cache_insertions];
}

std::span<const std::uint8_t> options_for(Context& context, const Slot& slot, const std::uint8_t* wire,
                                          const dns::Reply& reply) {
  if (!reply.truncated()) {
    const dns::Edns& edns = reply.edns;
    if (edns.options_length > kMaxMessage) return {};
    return {wire + edns.options_offset, edns.options_length};
  }
  if (context.pending.waiter(slot.waiters)->transport != state::Transport::kStream) return {};
  const auto* const question = rte_pktmbuf_mtod(slot.held, const std::uint8_t*);
  const std::size_t begin = dns::kHeaderSize + slot.name_length + 4u + dns::kOptSize;
  return {question + begin, slot.held->data_len - begin};
}

void close_slot(Context& context, Slot& slot) {
  end_try(context, slot);
  if (slot.held != nullptr) {
    rte_pktmbuf_free(slot.held);
    slot.held = nullptr;
  }
  context.pending.close(slot);
}

void reply_to_all(Context& context, Slot& slot, rte_mbuf* packet, const MadeReply& reply, Counter counted) {
  const Source source{packet,
                      rte_pktmbuf_mtod(packet, std::uint8_t*),
                      reply.end,
                      reply.flags,
                      reply.question_end,
                      reply.ancount,
                      reply.nscount,
                      reply.arcount,
                      0,
                      true,
                      reply.error,
                      {}};
  send_to_all(context, slot, source, counted, nullptr);
  close_slot(context, slot);
}

std::uint16_t write_question(const Slot& slot, std::uint8_t* wire) {
  const auto end = static_cast<std::uint16_t>(dns::kHeaderSize + slot.name_length + 4u);
  std::memcpy(wire + dns::kHeaderSize, slot.name.data(), slot.name_length);
  store_be16(wire + end - 4, slot.type);
  store_be16(wire + end - 2, slot.klass);
  return end;
}

void fail(Context& context, Slot& slot, dns::ExtendedError error) {
  // Nobody waits: the answer that was to be renewed stays, and the next query for it finds out by itself.
  if (slot.waiters == state::kNone) return close_slot(context, slot);
  if (fall_back(context, slot)) return;
  rte_mbuf* packet = rte_pktmbuf_alloc(context.pool);
  const Waiter* first = context.pending.waiter(slot.waiters);
  if (packet != nullptr && first != nullptr && first->transport == state::Transport::kAsk) {
    // An ask of the control plane: nobody else waits, and an empty reply says that none came.
    send_to_waiter(context, *first, packet, rte_pktmbuf_mtod(packet, std::uint8_t*), 0, 0,
                   Counter::answered_error, nullptr);
    return close_slot(context, slot);
  }
  if (packet == nullptr) {
    for (std::uint32_t i = slot.waiters; i != state::kNone; i = context.pending.waiter(i)->next) {
      if (is_query(context.pending.waiter(i)->transport)) {
        ++context.stats.query_drops[QueryDrop::no_buffer];
        bump(context.figure(context.pending.waiter(i)->figure).dropped);
      }
    }
    return close_slot(context, slot);
  }
  auto* wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  const auto flags =
      static_cast<std::uint16_t>(dns::kQr | dns::kRa | static_cast<unsigned>(dns::Rcode::kServFail));
  const std::uint16_t end = write_question(slot, wire);
  dns::store_header(wire, {0, flags, 1, 0, 0, 0});
  // The failure is remembered for some seconds, so that retries don't storm (RFC 9520).
  dns::Reply reply;
  reply.header = dns::load_header(wire);
  reply.type = slot.type;
  reply.klass = slot.klass;
  reply.question_end = reply.body_end = end;
  store_answer(context, slot, {wire, end}, reply);
  std::uint64_t queries = 0;
  for (std::uint32_t i = slot.waiters; i != state::kNone; i = context.pending.waiter(i)->next) {
    if (is_query(context.pending.waiter(i)->transport)) ++queries;
  }
  context.stats[Counter::errors_servfail] += queries;
  reply_to_all(context, slot, packet, {.end = end, .flags = flags, .question_end = end, .error = error},
               Counter::answered_error);
}

}  // namespace shunt
