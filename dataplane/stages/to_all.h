// One message for everyone who waits for a slot: each gets it with his own id, flags, spelling of the name
// and OPT. Inline, because every answer of an upstream takes this way.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <cstring>
#include <span>

#include "dataplane/stages/far_options.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"
#include "dataplane/stages/to_waiter.h"

namespace shunt {

/// What every waiter's answer is made from: the upstream's message, its OPT cut off.
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
  /// For the one client that sent options of its own: the upstream's, to be passed on.
  std::span<const std::uint8_t> options;
};

inline Source make_source(rte_mbuf* packet, std::uint8_t* wire, std::uint16_t length, const dns::Reply& reply,
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
           {}};
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

inline std::uint16_t flags_for(const state::Waiter& w, std::uint16_t flags) {
  unsigned f = dns::kQr | dns::kRa | (flags & (dns::kAa | dns::kTc | dns::kRcodeMask)) |
               (w.flags & (dns::kRd | dns::kCd));
  if (w.dnssec_ok || (w.flags & dns::kAd) != 0) f |= flags & dns::kAd;
  return static_cast<std::uint16_t>(f);
}

/// Without OPT there is no place for an extended RCODE, and its lower bits alone would lie.
inline std::uint16_t without_extended_rcode(std::uint16_t flags) {
  return static_cast<std::uint16_t>((flags & ~unsigned{dns::kRcodeMask}) |
                                    static_cast<unsigned>(dns::Rcode::kServFail));
}

/// The client's own spelling of the name. Mostly it stands there already: all in lower case.
inline void restore_case(std::uint8_t* name, const state::Slot& slot, const state::Waiter& w, bool is_lower) {
  if ((w.upper[0] | w.upper[1] | w.upper[2] | w.upper[3]) == 0 && is_lower) [[likely]]
    return;
  std::memcpy(name, slot.name.data(), slot.name_length);
  for (unsigned i = 0; i < slot.name_length; i += 64) {
    for (std::uint64_t bits = w.upper[i / 64]; bits != 0; bits &= bits - 1) {
      name[i + static_cast<unsigned>(__builtin_ctzll(bits))] ^= 0x20;
    }
  }
}

/// A message, and its sum.
struct Finished {
  std::size_t length;
  net::Sum sum;
};

/// Finishes the message at `wire` (a copy of the source's, or itself) for one waiter.
[[gnu::always_inline]] inline Finished finish_for(const Source& s, const state::Slot& slot,
                                                  const state::Waiter& w, std::uint8_t* wire,
                                                  std::size_t room) {
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
    if (!s.options.empty()) {
      const std::size_t more = copy_far_options(wire + length, s.options, limit - length);
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

inline std::size_t room_at(const rte_mbuf* packet, const std::uint8_t* wire) {
  return packet->buf_len -
         static_cast<std::size_t>(wire - static_cast<const std::uint8_t*>(packet->buf_addr));
}

/// Sends the source to every waiter of the slot: copies for all but the last, who gets the packet itself.
[[gnu::always_inline]] inline void send_to_all(Context& context, state::Slot& slot, const Source& s,
                                               Counter counted, const state::Try* truncated_by) {
  const bool truncated = (s.flags & dns::kTc) != 0;
  if (slot.waiters == state::kNone) [[unlikely]]
    return rte_pktmbuf_free(s.packet);
  for (std::uint32_t i = slot.waiters; i != state::kNone;) {
    const state::Waiter& w = *context.pending.waiter(i);
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

}  // namespace shunt
