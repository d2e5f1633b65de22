// The way back to a client: headers turned round in place for a query's own packet, or built anew for a
// waiter.
#include <emmintrin.h>

#include <cstring>

#include "dataplane/net/adjacency.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"

namespace shunt {
namespace {

constexpr std::uint8_t kUdpProtocol = net::kProtocolUdp;
constexpr std::uint8_t kHops = 64;  // RFC 1700; what hosts send by default
constexpr std::size_t kUdpHeader = net::kUdpSize;
constexpr std::size_t kIpv4Header = net::kIpv4Size;

void set_length(rte_mbuf* packet, std::size_t length) {
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  packet->ol_flags = 0;
}

// IP headers of a UDP datagram of ours, in few stores of eight octets or more, with nothing read back.
void write_ipv4(std::uint8_t* ip, std::uint32_t from, std::uint32_t to, std::size_t udp_length) {
  constexpr std::uint64_t kHead = 0x4500'0000'0000'4000;  // version, length to come; id 0, DF
  constexpr std::uint16_t kHopsProtocol = kHops << 8 | kUdpProtocol;
  constexpr net::Sum kHeadSum = net::word(0x4500) + net::word(0x4000) + net::word(kHopsProtocol);
  const std::uint64_t total = kIpv4Header + udp_length;
  const std::uint64_t addresses = std::uint64_t{to} << 32 | from;
  const std::uint16_t checksum =
      net::finish(net::Sum{from} + to + kHeadSum + net::word(static_cast<std::uint16_t>(total)));
  store_be64(ip, kHead | total << 32);
  store_be16(ip + 8, kHopsProtocol);
  std::memcpy(ip + 10, &checksum, 2);
  std::memcpy(ip + 12, &addresses, sizeof addresses);
}

void write_ipv6(std::uint8_t* ip, const std::uint8_t* from, const std::uint8_t* to, std::size_t udp_length) {
  const __m128i source = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const __m128i destination = _mm_loadu_si128(reinterpret_cast<const __m128i*>(to));
  store_be64(ip,
             std::uint64_t{0x60000000} << 32 | std::uint64_t{udp_length} << 16 | kUdpProtocol << 8 | kHops);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(ip + 8), source);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(ip + 24), destination);
}

void write_udp(std::uint8_t* udp, std::uint16_t from, std::uint16_t to, std::size_t length,
               std::uint16_t checksum) {
  store_be32(udp, std::uint32_t{from} << 16 | to);
  store_be16(udp + 4, static_cast<std::uint16_t>(length));
  std::memcpy(udp + 6, &checksum, 2);
}

std::uint32_t load_raw32(const std::uint8_t* p) {
  std::uint32_t v;
  std::memcpy(&v, p, sizeof v);
  return v;
}

// Of pseudo-header and UDP header, the checksum itself left out.
net::Sum udp_headers_sum(net::Sum addresses, std::uint16_t from, std::uint16_t to, std::size_t udp_length) {
  return addresses + net::word(kUdpProtocol) + net::word(from) + net::word(to) +
         2 * net::word(static_cast<std::uint16_t>(udp_length));
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
  const std::size_t udp_length = kUdpHeader + length;
  const std::uint16_t from = q.frame.destination_port, to = q.frame.source_port;
  const std::uint64_t source_mac = load_le64(frame + 6);
  std::memcpy(frame, &source_mac, 8);
  std::memcpy(frame + 6, mac.octets.data(), 6);
  if (q.frame.v4) {
    write_ipv4(ip, load_raw32(ip + 16), load_raw32(ip + 12), udp_length);
  } else {
    write_ipv6(ip, ip + 24, ip + 8, udp_length);
  }
  std::uint16_t checksum;
  if (q.frame.udp_checksum != 0) [[likely]] {
    checksum = patched_checksum(q, length, tail);
  } else {  // the client made none: nothing to patch
    checksum = net::finish_udp(
        net::add_octets(udp_headers_sum(q.frame.addresses_sum, from, to, udp_length), q.wire, length));
  }
  write_udp(ip + q.frame.l3_length, from, to, udp_length, checksum);
  set_length(q.packet, static_cast<std::size_t>(q.wire - frame) + length);
}

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

// Whose answer the control plane gets.
struct Asker {
  std::uint64_t ticket;
  state::Transport transport;
  state::Routing routing;
};

// Gives an answer to the control plane, for the stream client (or what it asked itself) whose ticket it
// carries.
void send_to_control(Context& context, rte_mbuf* packet, std::uint8_t* wire, std::size_t length,
                     const Asker& asker, Counter counted, const state::Try* truncated_by) {
  const bool counts = is_query(asker.transport);
  packet->data_off = static_cast<std::uint16_t>(wire - static_cast<std::uint8_t*>(packet->buf_addr));
  set_length(packet, length);
  Message& message = message_of(packet);
  message.kind = MessageKind::kReply;
  message.ticket = asker.ticket;
  message.routing = asker.routing;
  message.zone = counted == Counter::answered_zone;
  message.truncated_by = truncated_by != nullptr ? truncated_by->target : SocketAddress{};
  message.local = truncated_by != nullptr ? truncated_by->source : IpAddress{};
  if (rte_ring_sp_enqueue(context.rings.events, packet) == 0) {
    if (counts) ++context.stats[counted];
    return;
  }
  if (counts) ++context.stats.query_drops[QueryDrop::control_full];
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
    return send_to_control(context, query.packet, query.wire, length,
                           {query.ticket, query.transport, query.key.routing}, counted, nullptr);
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

void drop_query(Context& context, Query& query, QueryDrop reason) {
  if (query.transport == state::Transport::kAlias) {
    return send_to_control(context, query.packet, query.wire, 0, {query.ticket, query.transport, 0},
                           Counter::answered_error, nullptr);
  }
  ++context.stats.query_drops[reason];
  rte_pktmbuf_free(query.packet);
}

void send_error(Context& context, Query& query, dns::Rcode rcode, dns::ExtendedError error) {
  if (is_query(query.transport)) count_error(context.stats, rcode);
  send_reply(context, query, {.rcode = rcode, .error = error}, Counter::answered_error);
}

void send_to_waiter(Context& context, const state::Waiter& waiter, rte_mbuf* packet, std::uint8_t* wire,
                    std::size_t length, net::Sum sum, Counter counted, const state::Try* truncated_by) {
  if (waiter.transport != state::Transport::kUdp) {
    return send_to_control(context, packet, wire, length, {waiter.ticket, waiter.transport, waiter.routing},
                           counted, truncated_by);
  }
  const net::FrameRules& rules = context.ports[waiter.port].rules;
  const std::size_t udp_length = kUdpHeader + length;
  const std::size_t headers = net::kEthernetSize + (rules.vlan != 0 ? net::kVlanTagSize : 0) +
                              (waiter.v4 ? net::kIpv4Size : net::kIpv6Size) + kUdpHeader;
  std::uint8_t* const frame = wire - headers;
  std::uint8_t* const ip = write_ethernet(frame, waiter.client_mac, rules, waiter.v4);
  if (waiter.v4) {
    const std::uint32_t from = load_raw32(waiter.local.v4_octets()),
                        to = load_raw32(waiter.client.v4_octets());
    write_ipv4(ip, from, to, udp_length);
    sum += net::Sum{from} + to;
  } else {
    write_ipv6(ip, waiter.local.octets.data(), waiter.client.octets.data(), udp_length);
    sum = net::add_octets(net::add_octets(sum, waiter.local.octets.data(), 16), waiter.client.octets.data(),
                          16);
  }
  const std::uint16_t checksum =
      net::finish_udp(udp_headers_sum(sum, kDnsPort, waiter.client_port, udp_length));
  write_udp(wire - kUdpHeader, kDnsPort, waiter.client_port, udp_length, checksum);
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
