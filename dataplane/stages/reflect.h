// A query's answer goes back in the query's own packet: its headers are turned round in place, in few wide
// stores, and its checksum is patched. Inline, because every answered query pays for it.
#pragma once

#include <emmintrin.h>
#include <rte_mbuf.h>

#include <bit>
#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"

namespace shunt {

inline constexpr std::uint8_t kHops = 64;  ///< RFC 1700; what hosts send by default

/// The packet's data is one piece of `length` octets, with nothing for the port to do.
inline void set_length(rte_mbuf* packet, std::size_t length) {
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  packet->ol_flags = 0;
}

// IP and UDP headers of a datagram of ours, `udp_length` octets with its UDP header, in few stores of eight
// octets or more, with nothing read back. Addresses and ports come as they stand in the header: the source's,
// and above it the destination's.

inline void write_ipv4(std::uint8_t* ip, std::uint64_t addresses, std::size_t udp_length) {
  constexpr std::uint64_t kHead = 0x4500'0000'0000'4000;  // version, length to come; id 0, DF
  constexpr std::uint16_t kHopsProtocol = kHops << 8 | net::kProtocolUdp;
  constexpr net::Sum kHeadSum = net::word(0x4500) + net::word(0x4000) + net::word(kHopsProtocol);
  const std::uint64_t total = net::kIpv4Size + udp_length;
  const std::uint16_t checksum =
      net::finish(net::narrow(addresses) + kHeadSum + net::word(static_cast<std::uint16_t>(total)));
  store_be64(ip, kHead | total << 32);
  store_be16(ip + 8, kHopsProtocol);
  std::memcpy(ip + 10, &checksum, 2);
  std::memcpy(ip + 12, &addresses, sizeof addresses);
}

inline void write_ipv6(std::uint8_t* ip, const std::uint8_t* from, const std::uint8_t* to,
                       std::size_t udp_length) {
  const __m128i source = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  const __m128i destination = _mm_loadu_si128(reinterpret_cast<const __m128i*>(to));
  store_be64(
      ip, std::uint64_t{0x60000000} << 32 | std::uint64_t{udp_length} << 16 | net::kProtocolUdp << 8 | kHops);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(ip + 8), source);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(ip + 24), destination);
}

inline void write_udp(std::uint8_t* udp, std::uint32_t ports, std::size_t length, std::uint16_t checksum) {
  const std::uint64_t header =
      ports | net::word(static_cast<std::uint16_t>(length)) << 32 | std::uint64_t{checksum} << 48;
  std::memcpy(udp, &header, sizeof header);
}

/// Of pseudo-header and UDP header, the checksum itself left out.
inline net::Sum udp_headers_sum(net::Sum addresses, std::uint32_t ports, std::size_t udp_length) {
  return addresses + ports + net::word(net::kProtocolUdp) +
         2 * net::word(static_cast<std::uint16_t>(udp_length));
}

/// The checksum of the answer to `q` from that of the query: what is the same in both need not be read again
/// (RFC 1624, in the form of a sum and its parts).
inline std::uint16_t patched_checksum(const Query& q, std::size_t length, net::Sum tail) {
  constexpr net::Sum kZero = net::Sum{0xffff} << 40;  // keeps the difference positive
  const net::Sum before =
      q.replaced_sum + 2 * net::word(static_cast<std::uint16_t>(net::kUdpSize + q.length));
  const net::Sum after = dns_header_sum(q.wire) + net::at_offset(tail, q.question.end) +
                         2 * net::word(static_cast<std::uint16_t>(net::kUdpSize + length));
  return net::finish_udp(kZero + static_cast<std::uint16_t>(~q.frame.udp_checksum) + after - before);
}

/// The checksum of the answer to a query without one: all of it is summed up.
[[gnu::cold, gnu::noinline]] inline std::uint16_t whole_checksum(const Query& q, std::uint32_t ports,
                                                                 std::size_t length) {
  // All sixteen octets of an IPv4 address, too: the twelve in front of it sum up to nothing.
  const net::Sum addresses = net::add_octets(net::add_octets(0, q.frame.source.octets.data(), 16),
                                             q.frame.destination.octets.data(), 16);
  return net::finish_udp(
      net::add_octets(udp_headers_sum(addresses, ports, net::kUdpSize + length), q.wire, length));
}

/// The query's own headers, turned round: to the MAC, address and port it came from.
inline void reflect(Query& q, const MacAddress& mac, std::size_t length, net::Sum tail) {
  std::uint8_t* const udp = q.wire - net::kUdpSize;
  std::uint8_t* const ip = udp - q.frame.l3_length;
  std::uint8_t* const frame = ip - q.frame.l2_length;
  const std::size_t udp_length = net::kUdpSize + length;
  const std::uint64_t source_mac = load_le64(frame + 6);
  std::memcpy(frame, &source_mac, 8);
  std::memcpy(frame + 6, mac.octets.data(), 6);
  if (q.frame.v4) {
    write_ipv4(ip, std::rotl(load_le64(ip + 12), 32), udp_length);
  } else {
    write_ipv6(ip, ip + 24, ip + 8, udp_length);
  }
  const std::uint32_t ports = std::rotl(load_le32(udp), 16);
  const bool patch = q.frame.udp_checksum != 0;
  write_udp(udp, ports, udp_length,
            patch ? patched_checksum(q, length, tail) : whole_checksum(q, ports, length));
  set_length(q.packet, static_cast<std::size_t>(q.wire - frame) + length);
}

/// Sends the answer of `length` octets that stands at query.wire back to who asked, and counts it: the
/// query's own question, unless that could not be read, with a new header in front and new octets behind.
/// `tail` is the sum (net/checksum.h) of those behind the question, as if they began at an even offset.
/// Takes the packet.
inline void send_answer(Context& context, Query& query, std::size_t length, net::Sum tail, Counter counted) {
  if (query.transport != state::Transport::kUdp) [[unlikely]]
    return send_to_control(context, query.packet, query.wire, length,
                           {query.ticket, query.transport, context.network_routing(query.network)}, counted,
                           nullptr);
  WorkerPort& port = context.ports[query.port];
  reflect(query, port.rules.mac, length, tail);
  ++context.stats[counted];
  transmit(context, port, query.packet, counted);
}

}  // namespace shunt
