// What a query becomes that isn't answered at once: a waiter, which keeps what its answer needs, and the
// question that goes upstream, made in the query's own packet. Inline, because every forwarded query pays for
// it.
#pragma once

#include <rte_mbuf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/base/octets.h"
#include "dataplane/stages/far_options.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"

namespace shunt {

/// Bit i: octet i of the name, as the client wrote it, is an upper-case letter. A packet buffer has octets to
/// read behind the name. Written where it stays: a copy by wide loads would wait for these stores.
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

/// Keeps what the query's answer needs.
[[gnu::always_inline]] inline void fill_waiter(const Context& context, state::Waiter& w, const Query& q) {
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
  if (q.transport == state::Transport::kUdp) {
    w.local = q.frame.destination;
    w.limit = static_cast<std::uint16_t>(dns::client_limit(question.edns));
    std::memcpy(w.client_mac.octets.data(), rte_pktmbuf_mtod(q.packet, const std::uint8_t*) + 6, 6);
    w.port = q.port;
    w.v4 = q.frame.v4;
  } else if (q.transport != state::Transport::kAsk) {
    w.routing = context.network_routing(q.network);
  }
}

/// Turns the client's message, in place, into the question that goes upstream: flags clean, the client's
/// exact name, our own OPT. The id is set when it is sent. The packet's data becomes the message.
[[gnu::always_inline]] inline Outgoing make_question(Query& q) {
  const dns::Question& question = q.question;
  // AD asks the upstream to say whether the answer is authentic (RFC 6840 section 5.7): known once, told to
  // each as it asked.
  const std::uint16_t flags = static_cast<std::uint16_t>((question.flags & (dns::kRd | dns::kCd)) | dns::kAd);
  // The options lie behind the place where the OPT record goes, so they are moved before it is overwritten.
  std::array<std::uint8_t, kMaxMessage> options;
  std::size_t kept = 0;
  if (question.edns.foreign_options) [[unlikely]] {
    kept = copy_far_options(options.data(),
                            {q.wire + question.edns.options_offset, question.edns.options_length},
                            options.size());
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

/// A question that the control plane or a retry brings.
inline Outgoing as_outgoing(rte_mbuf* packet) {
  return {packet, net::add_octets(0, rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len)};
}

}  // namespace shunt
