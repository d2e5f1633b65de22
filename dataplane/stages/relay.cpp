// Upstreams' answers: verified against what is pending, cached, and relayed to everyone who waits.
#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/octets.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"
#include "dataplane/stages/to_waiter.h"

namespace shunt {
namespace {

using state::Slot;
using state::Waiter;

[[gnu::cold, gnu::noinline]] void drop(Context& context, rte_mbuf* packet, AnswerDrop reason) {
  ++context.stats.answer_drops[reason];
  rte_pktmbuf_free(packet);
}

// What every waiter's answer is made from: the upstream's message, its OPT cut off.
struct Source {
  rte_mbuf* packet;
  std::uint8_t* wire;
  std::uint16_t end;    ///< of the records that are relayed
  std::uint16_t flags;  ///< of the answer, host order
  std::uint16_t question_end;
  std::uint16_t ancount, nscount, arcount;
  std::uint8_t extended_rcode;
  bool is_lower;  ///< the question's name is the slot's to the octet
  dns::ExtendedError error;
  const std::uint8_t*
      options;  ///< for the one client that sent options of its own: the upstream's, to be passed on
  std::uint16_t options_length;
};

Source make_source(rte_mbuf* packet, std::uint8_t* wire, std::uint16_t length, const dns::Reply& reply,
                   bool is_lower) {
  const dns::Header& h = reply.header;
  Source s{packet,
           wire,
           reply.body_end,
           h.flags,
           reply.question_end,
           h.ancount,
           h.nscount,
           h.arcount,
           reply.edns.extended_rcode,
           is_lower,
           dns::ExtendedError::kNone,
           nullptr,
           0};
  if (reply.truncated()) {
    // A truncated answer's records are of no use to anyone (RFC 2181 section 9).
    s.end = reply.question_end;
    s.ancount = s.nscount = s.arcount = 0;
  } else if (reply.edns.present) {
    s.end = reply.opt_begin;
    s.arcount = reply.opt_end == length ? static_cast<std::uint16_t>(h.arcount - 1)
                                        : dns::additionals_before_opt({wire, length}, reply);
  }
  return s;
}

std::uint16_t flags_for(const Waiter& w, std::uint16_t flags) {
  unsigned f = dns::kQr | dns::kRa | (flags & (dns::kAa | dns::kTc | dns::kRcodeMask)) |
               (w.flags & (dns::kRd | dns::kCd));
  if (w.dnssec_ok || (w.flags & dns::kAd) != 0) f |= flags & dns::kAd;
  return static_cast<std::uint16_t>(f);
}

// Without OPT there is no place for an extended RCODE, and its lower bits alone would lie.
std::uint16_t without_extended_rcode(std::uint16_t flags) {
  return static_cast<std::uint16_t>((flags & ~unsigned{dns::kRcodeMask}) |
                                    static_cast<unsigned>(dns::Rcode::kServFail));
}

// The client's own spelling of the name. Mostly it stands there already: all in lower case.
void restore_case(std::uint8_t* name, const Slot& slot, const Waiter& w, bool is_lower) {
  if ((w.upper[0] | w.upper[1] | w.upper[2] | w.upper[3]) == 0 && is_lower) [[likely]]
    return;
  std::memcpy(name, slot.name.data(), slot.name_length);
  for (unsigned i = 0; i < slot.name_length; i += 64) {
    for (std::uint64_t bits = w.upper[i / 64]; bits != 0; bits &= bits - 1) {
      name[i + static_cast<unsigned>(__builtin_ctzll(bits))] ^= 0x20;
    }
  }
}

std::size_t write_far_options(std::uint8_t* to, const Source& s, std::size_t room) {
  std::size_t written = 0;
  for (std::size_t at = 0; at + 4 <= s.options_length;) {
    const std::size_t size = 4u + load_be16(s.options + at + 2);
    if (!dns::is_hop_option(load_be16(s.options + at)) && written + size <= room) {
      std::memcpy(to + written, s.options + at, size);
      written += size;
    }
    at += size;
  }
  return written;
}

struct Finished {
  std::size_t length;
  net::Sum sum;
};

// Finishes the message at `wire` (a copy of the source's, or itself) for one waiter.
[[gnu::always_inline]] inline Finished finish_for(const Source& s, const Slot& slot, const Waiter& w,
                                                  std::uint8_t* wire, std::size_t room) {
  const std::size_t opt =
      !w.edns ? 0 : dns::kOptSize + (s.error != dns::ExtendedError::kNone ? dns::kExtendedErrorSize : 0);
  const std::size_t limit =
      w.transport == state::Transport::kUdp ? std::min<std::size_t>(w.limit, room) : room;
  dns::Header header{w.id, flags_for(w, s.flags), 1, s.ancount, s.nscount, s.arcount};
  if (s.extended_rcode != 0 && !w.edns) [[unlikely]]
    header.flags = without_extended_rcode(header.flags);
  std::size_t length = s.end;
  if (length + opt > limit) {
    header = {w.id, static_cast<std::uint16_t>(header.flags | dns::kTc), 1, 0, 0, 0};
    length = s.question_end;
  }
  restore_case(wire + dns::kHeaderSize, slot, w, s.is_lower);
  net::Sum sum = net::add_octets(0, wire + dns::kHeaderSize, length - dns::kHeaderSize);
  if (opt != 0) {
    ++header.arcount;
    std::uint8_t* record = wire + length;
    const std::size_t begin = length;
    const dns::OptFields fields{.udp_size = kEdnsSize,
                                .dnssec_ok = w.dnssec_ok,
                                .extended_rcode = s.extended_rcode,
                                .error = s.error};
    length += dns::write_opt(record, fields);
    net::Sum tail = opt_sum(fields);
    if (s.options_length != 0) {
      const std::size_t more = write_far_options(wire + length, s, limit - length);
      store_be16(record + dns::kOptSize - 2,
                 static_cast<std::uint16_t>(load_be16(record + dns::kOptSize - 2) + more));
      length += more;
      tail = net::add_octets(0, record, length - begin);
    }
    sum += net::at_offset(tail, begin);
  }
  dns::store_header(wire, header);
  return {length, sum + dns_header_sum(wire)};
}

std::size_t room_at(const rte_mbuf* packet, const std::uint8_t* wire) {
  return packet->buf_len -
         static_cast<std::size_t>(wire - static_cast<const std::uint8_t*>(packet->buf_addr));
}

// Sends the source to every waiter of the slot: copies for all but the last, who gets the packet itself.
[[gnu::always_inline]] inline void send_to_all(Context& context, Slot& slot, const Source& s, Counter counted,
                                               const state::Try* truncated_by) {
  const bool truncated = (s.flags & dns::kTc) != 0;
  if (slot.waiters == state::kNone) [[unlikely]]
    return rte_pktmbuf_free(s.packet);
  for (std::uint32_t i = slot.waiters; i != state::kNone;) {
    const Waiter& w = *context.pending.waiter(i);
    i = w.next;
    rte_mbuf* packet = s.packet;
    std::uint8_t* wire = s.wire;
    if (i != state::kNone) {
      packet = rte_pktmbuf_alloc(context.pool);
      if (packet == nullptr) {
        if (is_query(w.transport)) ++context.stats.query_drops[QueryDrop::no_buffer];
        bump(context.figure(w.figure).dropped);
        continue;
      }
      wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
      std::memcpy(wire, s.wire, s.end);
    }
    const Finished finished = finish_for(s, slot, w, wire, room_at(packet, wire));
    if ((load_be16(wire + dns::kFlagsOffset) & dns::kTc) != 0 && !truncated)
      ++context.stats[Counter::truncated];
    note_wait(context, w, counted, s.flags & dns::kRcodeMask);
    send_to_waiter(context, w, packet, wire, finished.length, finished.sum, counted,
                   truncated ? truncated_by : nullptr);
  }
}

void close(Context& context, Slot& slot) {
  end_try(context, slot);
  if (slot.held != nullptr) {
    rte_pktmbuf_free(slot.held);
    slot.held = nullptr;
  }
  context.pending.close(slot);
}

// A target that can't answer; another may.
bool says_failure(const dns::Reply& reply) {
  const auto rcode = static_cast<dns::Rcode>(reply.rcode());
  return rcode == dns::Rcode::kServFail || rcode == dns::Rcode::kRefused;
}

// What the TTLs of an answer that is kept for `seconds` are cut to. A negative one's SOA counts down to the
// end of its life, which may come before its TTL's: else who caches behind us would keep it for its MINIMUM
// once more (RFC 2308 section 5).
std::uint32_t greatest_ttl(const dns::Reply& reply, std::uint32_t seconds, std::uint32_t max_ttl) {
  return dns::is_negative(reply) ? std::min(seconds, max_ttl) : max_ttl;
}

void store(Context& context, const Slot& slot, std::span<const std::uint8_t> message,
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

// What a zone says stays the same until a reload; joined with an upstream's answer, it ages as that does.
void store_zone(Context& context, const Slot& slot, std::span<const std::uint8_t> message,
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

Counter counter_of(const Slot& slot) {
  if (slot.zone) return Counter::answered_zone;
  return slot.miss ? Counter::answered_default : Counter::answered_upstream;
}

// Where the question that an answer repeats ends, if it is the slot's, in whatever case; else 0. It needs no
// parsing for that: octets that are the same are as well-formed. `is_lower` tells whether the case is the
// same, too. A packet buffer has octets to read behind the name.
std::size_t end_of_same_question(const Slot& slot, std::span<const std::uint8_t> message, bool& is_lower) {
  const std::uint8_t* const name = message.data() + dns::kHeaderSize;
  const std::size_t length = slot.name_length;
  if (dns::kHeaderSize + length + 4 > message.size()) return 0;
  if (load_be16(name + length) != slot.type || load_be16(name + length + 2) != slot.klass) return 0;
  is_lower = equal_octets(name, slot.name.data(), length);
  if (!is_lower && !dns::equal_ignoring_case(name, slot.name.data(), length)) return 0;
  return dns::kHeaderSize + length + 4;
}

// Why an answer is dropped whose question isn't the slot's.
AnswerDrop reason_of(dns::ReplyVerdict verdict) {
  switch (verdict) {
    case dns::ReplyVerdict::kGood:
      break;
    case dns::ReplyVerdict::kShort:
      return AnswerDrop::short_header;
    case dns::ReplyVerdict::kNotResponse:
      return AnswerDrop::not_response;
    case dns::ReplyVerdict::kMalformed:
      return AnswerDrop::malformed;
  }
  return AnswerDrop::wrong_question;
}

// A message of the target that was asked, and no answer: counted for it, and the wait goes on.
[[gnu::cold, gnu::noinline]] void drop_from(Context& context, rte_mbuf* packet, const state::Try& t,
                                            AnswerDrop reason) {
  state::TargetStats::count(context.targets[t.target_id].malformed);
  drop(context, packet, reason);
}

// Of a message that is too short for one, any.
std::uint16_t id_of(const Answer& answer) {
  return load_be16(rte_pktmbuf_mtod_offset(answer.packet, const std::uint8_t*, answer.frame.payload_offset));
}

using Options = std::span<const std::uint8_t>;

// What the one client that sent options of its own gets for options, at most kMaxMessage octets: the
// upstream's. Of a truncated answer to a stream client its own: the control plane asks again, with them.
Options options_for(Context& context, const Slot& slot, const std::uint8_t* wire, const dns::Reply& reply) {
  if (!reply.truncated()) {
    const dns::Edns& edns = reply.edns;
    return edns.options_length <= kMaxMessage ? Options(wire + edns.options_offset, edns.options_length)
                                              : Options();
  }
  if (context.pending.waiter(slot.waiters)->transport != state::Transport::kStream) return {};
  const auto* const question = rte_pktmbuf_mtod(slot.held, const std::uint8_t*);
  const std::size_t begin = dns::kHeaderSize + slot.name_length + 4u + dns::kOptSize;
  return {question + begin, slot.held->data_len - begin};
}

// Stores the answer, sends it to all and closes the slot; see deliver().
[[gnu::always_inline]] inline void finish(Context& context, Slot& slot, rte_mbuf* packet, std::uint8_t* wire,
                                          std::uint16_t length, const dns::Reply& reply,
                                          const state::Try* from, bool is_lower) {
  if (slot.zone) [[unlikely]] {
    store_zone(context, slot, {wire, length}, reply, message_of(packet).joined);
  } else {
    store(context, slot, {wire, length}, reply);
  }
  Source source = make_source(packet, wire, length, reply, is_lower);
  // Nobody else gets any. They are copied, because our OPT is written over theirs.
  std::array<std::uint8_t, kMaxMessage> options;
  if (slot.held != nullptr) [[unlikely]] {
    const Options given = options_for(context, slot, wire, reply);
    std::copy(given.begin(), given.end(), options.begin());
    source.options = options.data();
    source.options_length = static_cast<std::uint16_t>(given.size());
  }
  send_to_all(context, slot, source, counter_of(slot), from);
  close(context, slot);
}

// `bucket` is the pair's; `reply` and `name` are room for what the message says.
void relay_one(Context& context, const Answer& answer, std::uint32_t bucket, dns::Reply& reply,
               dns::Name& name) {
  rte_mbuf* packet = answer.packet;
  const net::FrameView& f = answer.frame;
  std::uint8_t* wire = rte_pktmbuf_mtod_offset(packet, std::uint8_t*, f.payload_offset);
  const std::span<const std::uint8_t> message(wire, f.payload_length);
  if (message.size() < dns::kHeaderSize) return drop(context, packet, AnswerDrop::short_header);
  unsigned which = 0;
  Slot* slot = context.pending.find(bucket, f.destination_port, load_be16(wire), which);
  if (slot == nullptr) return drop(context, packet, AnswerDrop::unknown);
  const state::Try& t = slot->attempt[which];
  if (t.target.address != f.source || t.target.port != f.source_port) {
    return drop(context, packet, AnswerDrop::wrong_source);
  }
  if (t.source != f.destination) return drop(context, packet, AnswerDrop::wrong_destination);
  bool is_lower = false;
  const std::size_t end = end_of_same_question(*slot, message, is_lower);
  if (end == 0) [[unlikely]]
    return drop_from(context, packet, t, reason_of(dns::parse_reply(message, reply, name)));
  const dns::ReplyVerdict verdict = dns::parse_reply(message, end, reply);
  if (verdict != dns::ReplyVerdict::kGood) [[unlikely]]
    return drop_from(context, packet, t, reason_of(verdict));
  ++context.stats[Counter::answers_taken];
  note_answer(context, *slot, t, reply);
  if (says_failure(reply) && (ask_another(context, *slot, t) || fall_back_to_stale(context, *slot)))
      [[unlikely]]
    return rte_pktmbuf_free(packet);
  finish(context, *slot, packet, wire, f.payload_length, reply, &t, is_lower);
}

}  // namespace

void deliver(Context& context, Slot& slot, rte_mbuf* packet, std::uint8_t* wire, std::uint16_t length,
             const dns::Reply& reply, const state::Try* from) {
  if (says_failure(reply) && slot.waiters != state::kNone && fall_back_to_stale(context, slot)) [[unlikely]]
    return rte_pktmbuf_free(packet);
  const bool is_lower = equal_octets(wire + dns::kHeaderSize, slot.name.data(), slot.name_length);
  finish(context, slot, packet, wire, length, reply, from, is_lower);
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
                      nullptr,
                      0};
  send_to_all(context, slot, source, counted, nullptr);
  close(context, slot);
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
  if (slot.waiters == state::kNone) return close(context, slot);
  if (fall_back(context, slot)) return;
  rte_mbuf* packet = rte_pktmbuf_alloc(context.pool);
  const Waiter* first = context.pending.waiter(slot.waiters);
  if (packet != nullptr && first != nullptr && first->transport == state::Transport::kAsk) {
    // An ask of the control plane: nobody else waits, and an empty reply says that none came.
    send_to_waiter(context, *first, packet, rte_pktmbuf_mtod(packet, std::uint8_t*), 0, 0,
                   Counter::answered_error, nullptr);
    return close(context, slot);
  }
  if (packet == nullptr) {
    for (std::uint32_t i = slot.waiters; i != state::kNone; i = context.pending.waiter(i)->next) {
      if (is_query(context.pending.waiter(i)->transport)) {
        ++context.stats.query_drops[QueryDrop::no_buffer];
        bump(context.figure(context.pending.waiter(i)->figure).dropped);
      }
    }
    return close(context, slot);
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
  store(context, slot, {wire, end}, reply);
  std::uint64_t queries = 0;
  for (std::uint32_t i = slot.waiters; i != state::kNone; i = context.pending.waiter(i)->next) {
    if (is_query(context.pending.waiter(i)->transport)) ++queries;
  }
  context.stats[Counter::errors_servfail] += queries;
  reply_to_all(context, slot, packet, {.end = end, .flags = flags, .question_end = end, .error = error},
               Counter::answered_error);
}

void relay(Context& context, Burst& burst) {
  const std::span<const Answer> answers(burst.answer.data(), burst.answers);
  std::array<std::uint32_t, kBurst> bucket;
  for (std::size_t i = 0; i < answers.size(); ++i)
    bucket[i] = context.pending.prefetch_pair(answers[i].frame.destination_port, id_of(answers[i]));
  std::array<const Slot*, kBurst> slots;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    unsigned which;
    slots[i] = context.pending.find(bucket[i], answers[i].frame.destination_port, id_of(answers[i]), which);
    if (slots[i] != nullptr) context.pending.prefetch_slot(*slots[i]);
  }
  for (std::size_t i = 0; i < answers.size(); ++i)
    if (slots[i] != nullptr) context.pending.prefetch_waiter(*slots[i]);
  for (std::size_t i = 0; i < answers.size(); ++i)
    relay_one(context, answers[i], bucket[i], burst.reply, burst.name);
  burst.answers = 0;
}

}  // namespace shunt
