// The way back to a client: headers turned round in place for a query's own packet (reflect.h), or built anew
// for a waiter; and the way out to a target.
#include <cstring>

#include "dataplane/net/adjacency.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "dataplane/stages/reflect.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"

namespace shunt {
namespace {

constexpr std::size_t kUdpHeader = net::kUdpSize;
constexpr std::size_t kIpv4Header = net::kIpv4Size;

// Ethernet header of a frame to `to`; returns what follows it.
std::uint8_t* write_ethernet(std::uint8_t* frame, const MacAddress& to, const net::FrameRules& port,
                             bool v4) {
  std::memcpy(frame, to.octets.data(), 6);
  std::memcpy(frame + 6, port.mac.octets.data(), 6);
  if (port.vlan != 0) [[unlikely]] {
    store_be16(frame + 12, net::kEtherVlan);
    store_be16(frame + 14, port.vlan);
    frame += net::kVlanTagSize;
  }
  store_be16(frame + 12, v4 ? net::kEtherIpv4 : net::kEtherIpv6);
  return frame + net::kEthernetSize;
}

}  // namespace

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
                    std::size_t length, net::Sum sum, Counter counted, const state::Try* truncated_by) {
  if (waiter.transport != state::Transport::kUdp) {
    const bool is_query = waiter.transport == state::Transport::kStream;
    return send_to_control(context, packet, wire, length, waiter.ticket, is_query, counted, truncated_by);
  }
  const net::FrameRules& rules = context.ports[waiter.port].rules;
  const std::size_t udp_length = kUdpHeader + length;
  const std::size_t headers = net::kEthernetSize + (rules.vlan != 0 ? net::kVlanTagSize : 0) +
                              (waiter.v4 ? net::kIpv4Size : net::kIpv6Size) + kUdpHeader;
  std::uint8_t* const frame = wire - headers;
  std::uint8_t* const ip = write_ethernet(frame, waiter.client_mac, rules, waiter.v4);
  if (waiter.v4) [[likely]] {
    const std::uint64_t addresses =
        load_le32(waiter.local.v4_octets()) | std::uint64_t{load_le32(waiter.client.v4_octets())} << 32;
    write_ipv4(ip, addresses, udp_length);
    sum += net::narrow(addresses);
  } else {
    write_ipv6(ip, waiter.local.octets.data(), waiter.client.octets.data(), udp_length);
    sum = net::add_octets(net::add_octets(sum, waiter.local.octets.data(), 16), waiter.client.octets.data(),
                          16);
  }
  const auto ports = static_cast<std::uint32_t>(net::word(kDnsPort) | net::word(waiter.client_port) << 16);
  const std::uint16_t checksum = net::finish_udp(udp_headers_sum(sum, ports, udp_length));
  write_udp(wire - kUdpHeader, ports, udp_length, checksum);
  packet->data_off = static_cast<std::uint16_t>(frame - static_cast<std::uint8_t*>(packet->buf_addr));
  set_length(packet, headers + length);
  ++context.stats[counted];
  transmit(context, waiter.port, packet, counted);
}

void send_question(Context& context, rte_mbuf* packet, net::Sum sum, const net::Adjacency& adjacency,
                   std::uint16_t source_port, Counter counted) {
  constexpr std::size_t kPlainIpv4 = net::kEthernetSize + net::kIpv4Size + net::kUdpSize;
  std::uint8_t* const wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  const std::size_t length = packet->data_len;
  const std::size_t udp_length = kUdpHeader + length;
  std::uint8_t* const frame = wire - adjacency.length;
  std::uint8_t* const ip = frame + adjacency.l2_length;
  if (adjacency.length == kPlainIpv4) [[likely]] {
    std::memcpy(frame, adjacency.headers.data(), kPlainIpv4);
  } else {
    std::memcpy(frame, adjacency.headers.data(), adjacency.length);
  }
  if (adjacency.v4) {
    const auto total = static_cast<std::uint16_t>(kIpv4Header + udp_length);
    const std::uint16_t checksum = net::finish(adjacency.ip_sum + net::word(total));
    store_be16(ip + 2, total);
    std::memcpy(ip + 10, &checksum, 2);
  } else {
    store_be16(ip + 4, static_cast<std::uint16_t>(udp_length));
  }
  std::uint16_t target_port;  // as it stands in the header
  std::memcpy(&target_port, &adjacency.headers[adjacency.length - kUdpHeader + 2u], sizeof target_port);
  sum += net::Sum{adjacency.pseudo_sum} + target_port + net::word(source_port) +
         2 * net::word(static_cast<std::uint16_t>(udp_length));
  const std::uint16_t checksum = net::finish_udp(sum);
  std::uint8_t* const udp = wire - kUdpHeader;
  store_be16(udp, source_port);
  store_be16(udp + 4, static_cast<std::uint16_t>(udp_length));
  std::memcpy(udp + 6, &checksum, 2);
  packet->data_off = static_cast<std::uint16_t>(packet->data_off - adjacency.length);
  set_length(packet, adjacency.length + length);
  ++context.stats[counted];
  transmit(context, adjacency.port, packet, counted);
}

}  // namespace shunt
