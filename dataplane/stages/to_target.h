// The way out to a target: the adjacency's ready-made headers in front of a question.
#pragma once

#include <cstring>

#include "dataplane/net/adjacency.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "dataplane/stages/reflect.h"
#include "dataplane/stages/stages.h"

namespace shunt {

/// Puts the headers of `adjacency` in front of a question (the packet's data, whose sum is `sum`) and sends
/// it. Takes the packet.
inline void send_question(Context& context, rte_mbuf* packet, net::Sum sum, const net::Adjacency& adjacency,
                          std::uint16_t source_port, Counter counted) {
  constexpr std::size_t kPlainIpv4 = net::kEthernetSize + net::kIpv4Size + net::kUdpSize;
  std::uint8_t* const wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  const std::size_t length = packet->data_len;
  const std::size_t udp_length = net::kUdpSize + length;
  std::uint8_t* const frame = wire - adjacency.length;
  std::uint8_t* const ip = frame + adjacency.l2_length;
  if (adjacency.length == kPlainIpv4) [[likely]] {
    std::memcpy(frame, adjacency.headers.data(), kPlainIpv4);
  } else {
    std::memcpy(frame, adjacency.headers.data(), adjacency.length);
  }
  if (adjacency.v4) {
    const auto total = static_cast<std::uint16_t>(net::kIpv4Size + udp_length);
    const std::uint16_t checksum = net::finish(adjacency.ip_sum + net::word(total));
    store_be16(ip + 2, total);
    std::memcpy(ip + 10, &checksum, 2);
  } else {
    store_be16(ip + 4, static_cast<std::uint16_t>(udp_length));
  }
  std::uint16_t target_port;  // as it stands in the header
  std::memcpy(&target_port, &adjacency.headers[adjacency.length - net::kUdpSize + 2u], sizeof target_port);
  sum += net::Sum{adjacency.pseudo_sum} + target_port + net::word(source_port) +
         2 * net::word(static_cast<std::uint16_t>(udp_length));
  const std::uint16_t checksum = net::finish_udp(sum);
  std::uint8_t* const udp = wire - net::kUdpSize;
  store_be16(udp, source_port);
  store_be16(udp + 4, static_cast<std::uint16_t>(udp_length));
  std::memcpy(udp + 6, &checksum, 2);
  packet->data_off = static_cast<std::uint16_t>(packet->data_off - adjacency.length);
  set_length(packet, adjacency.length + length);
  ++context.stats[counted];
  transmit(context, adjacency.port, packet, counted);
}

}  // namespace shunt
