// The way back to a client: headers turned round in place for a query's own packet, or built anew for a
// waiter.
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include <bit>
#include <cstring>

#include "dataplane/net/adjacency.h"
#include "dataplane/net/checksum.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

constexpr std::uint8_t kUdpProtocol = 17;
constexpr std::size_t kUdpHeader = 8;
constexpr std::size_t kIpv4Header = 20;

void finish_udp(std::uint8_t* udp, std::size_t udp_length, net::Sum pseudo) {
  store_be16(udp + 4, static_cast<std::uint16_t>(udp_length));
  std::memset(udp + 6, 0, 2);
  pseudo += net::word(static_cast<std::uint16_t>(udp_length));
  const std::uint16_t checksum = net::finish_udp(net::add_octets(pseudo, udp, udp_length));
  std::memcpy(udp + 6, &checksum, 2);
}

void write_ipv4(std::uint8_t* ip, std::size_t total_length) {
  ip[0] = 0x45;
  ip[1] = 0;
  store_be16(ip + 2, static_cast<std::uint16_t>(total_length));
  store_be16(ip + 4, 0);
  store_be16(ip + 6, 0x4000);  // DF: nothing of ours is ever fragmented
  ip[8] = 64;
  ip[9] = kUdpProtocol;
  store_be16(ip + 10, 0);
  const std::uint16_t checksum = net::finish(net::add_octets(0, ip, 20));
  std::memcpy(ip + 10, &checksum, 2);
}

void write_ipv6(std::uint8_t* ip, std::size_t payload_length) {
  store_be32(ip, 0x60000000);
  store_be16(ip + 4, static_cast<std::uint16_t>(payload_length));
  ip[6] = kUdpProtocol;
  ip[7] = 64;
}

void set_length(rte_mbuf* packet, std::size_t length) {
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  packet->ol_flags = 0;
}

// IPv4 and IPv6 headers of the query, turned round, of a UDP datagram of that length: in few stores of eight
// octets or more, with nothing read back.
void reflect_ipv4(std::uint8_t* ip, net::Sum addresses, std::size_t udp_length) {
  constexpr std::uint64_t kHead = 0x4500'0000'0000'4000;  // version, length to come; id 0, DF
  constexpr net::Sum kHeadSum = net::word(0x4500) + net::word(0x4000) + net::word(64 << 8 | kUdpProtocol);
  const std::uint64_t total = kIpv4Header + udp_length;
  const std::uint16_t checksum =
      net::finish(addresses + kHeadSum + net::word(static_cast<std::uint16_t>(total)));
  std::uint64_t pair;
  std::memcpy(&pair, ip + 12, sizeof pair);
  store_be64(ip, kHead | total << 32);
  store_be16(ip + 8, 64 << 8 | kUdpProtocol);
  std::memcpy(ip + 10, &checksum, 2);
  pair = std::rotl(pair, 32);
  std::memcpy(ip + 12, &pair, sizeof pair);
}

void reflect_ipv6(std::uint8_t* ip, std::size_t udp_length) {
  std::array<std::uint8_t, 16> source, destination;
  std::memcpy(source.data(), ip + 8, 16);
  std::memcpy(destination.data(), ip + 24, 16);
  store_be64(ip, std::uint64_t{0x60000000} << 32 | std::uint64_t{udp_length} << 16 | kUdpProtocol << 8 | 64);
  std::memcpy(ip + 8, destination.data(), 16);
  std::memcpy(ip + 24, source.data(), 16);
}

// The checksum of the answer to `q` from that of the query: what is the same in both need not be read again
// (RFC 1624, in the form of a sum and its parts).
std::uint16_t patched_checksum(const Query& q, std::size_t length, net::Sum tail) {
  constexpr net::Sum kZero = net::Sum{0xffff} << 40;  // keeps the difference positive
  const net::Sum before = q.replaced_sum + 2 * net::word(static_cast<std::uint16_t>(kUdpHeader + q.length));
  const net::Sum after = dns_header_sum(q.wire) + net::at_offset(tail, q.question.end) +
                         2 * net::word(static_cast<std::uint16_t>(kUdpHeader + length));
  return net::finish_udp(kZero + static_cast<std::uint16_t>(~q.frame.udp_checksum) + after - before);
}

// The query's own headers, turned round: to the MAC, address and port it came from.
void reflect(Query& q, const MacAddress& mac, std::size_t length, net::Sum tail) {
  std::uint8_t* const frame = rte_pktmbuf_mtod(q.packet, std::uint8_t*);
  std::uint8_t* const ip = frame + q.frame.l2_length;
  std::uint8_t* const udp = ip + q.frame.l3_length;
  const std::size_t udp_length = kUdpHeader + length;
  const std::uint64_t source_mac = load_le64(frame + 6);
  std::memcpy(frame, &source_mac, 8);
  std::memcpy(frame + 6, mac.octets.data(), 6);
  if (q.frame.v4) {
    reflect_ipv4(ip, q.frame.addresses_sum, udp_length);
  } else {
    reflect_ipv6(ip, udp_length);
  }
  store_be32(udp, std::uint32_t{q.frame.destination_port} << 16 | q.frame.source_port);
  if (q.frame.udp_checksum != 0) [[likely]] {
    const std::uint16_t checksum = patched_checksum(q, length, tail);
    store_be16(udp + 4, static_cast<std::uint16_t>(udp_length));
    std::memcpy(udp + 6, &checksum, 2);
  } else {
    finish_udp(udp, udp_length, q.frame.addresses_sum + net::word(kUdpProtocol));
  }
  set_length(q.packet, static_cast<std::size_t>(q.wire - frame) + length);
}

// Gives an answer to the control plane, for the stream client (or ask) whose ticket it carries.
void send_to_control(Context& context, rte_mbuf* packet, std::uint8_t* wire, std::size_t length,
                     std::uint64_t ticket, bool is_query, Counter counted, const state::Try* truncated_by) {
  packet->data_off = static_cast<std::uint16_t>(wire - static_cast<std::uint8_t*>(packet->buf_addr));
  set_length(packet, length);
  Message& message = message_of(packet);
  message.kind = MessageKind::kReply;
  message.ticket = ticket;
  message.truncated_by = truncated_by != nullptr ? truncated_by->target : SocketAddress{};
  message.local = truncated_by != nullptr ? truncated_by->source : IpAddress{};
  if (rte_ring_sp_enqueue(context.rings.events, packet) == 0) {
    if (is_query) ++context.stats[counted];
    return;
  }
  if (is_query) ++context.stats.query_drops[QueryDrop::control_full];
  rte_pktmbuf_free(packet);
}

}  // namespace

void count_error(Stats& stats, dns::Rcode rcode) {
  switch (rcode) {
    case dns::Rcode::kFormErr:
      ++stats[Counter::errors_formerr];
      break;
    case dns::Rcode::kNotImp:
      ++stats[Counter::errors_notimp];
      break;
    case dns::Rcode::kRefused:
      ++stats[Counter::errors_refused];
      break;
    case dns::Rcode::kBadVers:
      ++stats[Counter::errors_badvers];
      break;
    default:
      ++stats[Counter::errors_servfail];
  }
}

void send_answer(Context& context, Query& query, std::size_t length, net::Sum tail, Counter counted) {
  if (query.transport != state::Transport::kUdp) {
    return send_to_control(context, query.packet, query.wire, length, query.ticket, true, counted, nullptr);
  }
  reflect(query, context.ports[query.port].rules.mac, length, tail);
  ++context.stats[counted];
  transmit(context, query.port, query.packet, counted);
}

void send_reply(Context& context, Query& query, const dns::ReplyFields& fields, Counter counted) {
  dns::ReplyFields f = fields;
  f.stream = query.transport != state::Transport::kUdp;
  const std::size_t length = dns::make_reply(query.wire, query.room, query.question, f);
  const std::size_t end = query.question.end;
  send_answer(context, query, length, net::add_octets(0, query.wire + end, length - end), counted);
}

void send_error(Context& context, Query& query, dns::Rcode rcode, dns::ExtendedError error) {
  count_error(context.stats, rcode);
  send_reply(context, query, {.rcode = rcode, .error = error}, Counter::answered_error);
}

void send_to_waiter(Context& context, const state::Waiter& waiter, rte_mbuf* packet, std::uint8_t* wire,
                    std::size_t length, Counter counted, const state::Try* truncated_by) {
  if (waiter.transport != state::Transport::kUdp) {
    const bool is_query = waiter.transport == state::Transport::kStream;
    return send_to_control(context, packet, wire, length, waiter.ticket, is_query, counted, truncated_by);
  }
  const WorkerPort& port = context.ports[waiter.port];
  // The client is the target of this one "adjacency": the MAC that it wrote from.
  const net::Adjacency back =
      net::make_adjacency(waiter.local, {waiter.client, waiter.client_port}, port.rules.mac,
                          waiter.client_mac, waiter.port, port.rules.vlan);
  std::uint8_t* frame = wire - back.length;
  const std::size_t udp_length = kUdpHeader + length;
  std::memcpy(frame, back.headers.data(), back.length);
  std::uint8_t* udp = wire - kUdpHeader;
  if (back.v4) {
    write_ipv4(frame + back.l2_length, 20 + udp_length);
  } else {
    write_ipv6(frame + back.l2_length, udp_length);
  }
  store_be16(udp, kDnsPort);
  finish_udp(udp, udp_length, back.pseudo_sum);
  packet->data_off = static_cast<std::uint16_t>(frame - static_cast<std::uint8_t*>(packet->buf_addr));
  set_length(packet, back.length + length);
  ++context.stats[counted];
  transmit(context, waiter.port, packet, counted);
}

void send_question(Context& context, rte_mbuf* packet, const net::Adjacency& adjacency,
                   std::uint16_t source_port, Counter counted) {
  std::uint8_t* wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  const std::size_t length = packet->data_len;
  const std::size_t udp_length = kUdpHeader + length;
  std::uint8_t* frame = wire - adjacency.length;
  std::memcpy(frame, adjacency.headers.data(), adjacency.length);
  if (adjacency.v4) {
    write_ipv4(frame + adjacency.l2_length, 20 + udp_length);
  } else {
    write_ipv6(frame + adjacency.l2_length, udp_length);
  }
  std::uint8_t* udp = wire - kUdpHeader;
  store_be16(udp, source_port);
  finish_udp(udp, udp_length, adjacency.pseudo_sum);
  packet->data_off = static_cast<std::uint16_t>(packet->data_off - adjacency.length);
  set_length(packet, adjacency.length + length);
  ++context.stats[counted];
  transmit(context, adjacency.port, packet, counted);
}

}  // namespace shunt
