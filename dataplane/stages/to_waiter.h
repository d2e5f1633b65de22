// The way back to a client that waited: in another packet than its query came in, so with headers built anew.
#pragma once

#include <cstring>

#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"
#include "dataplane/stages/reflect.h"
#include "dataplane/stages/stages.h"

namespace shunt {

/// Ethernet header of a frame to `to`; returns what follows it.
inline std::uint8_t* write_ethernet(std::uint8_t* frame, const MacAddress& to, const net::FrameRules& port,
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

/// Sends `length` octets of DNS at `wire` inside `packet`, whose sum is `sum`, to a waiter. Takes the packet.
inline void send_to_waiter(Context& context, const state::Waiter& waiter, rte_mbuf* packet,
                           std::uint8_t* wire, std::size_t length, net::Sum sum, Counter counted,
                           const state::Try* truncated_by) {
  if (waiter.transport != state::Transport::kUdp) {
    return send_to_control(context, packet, wire, length, {waiter.ticket, waiter.transport, waiter.routing},
                           counted, truncated_by);
  }
  const net::FrameRules& rules = context.ports[waiter.port].rules;
  const std::size_t udp_length = net::kUdpSize + length;
  const std::size_t headers = net::kEthernetSize + (rules.vlan != 0 ? net::kVlanTagSize : 0) +
                              (waiter.v4 ? net::kIpv4Size : net::kIpv6Size) + net::kUdpSize;
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
  write_udp(wire - net::kUdpSize, ports, udp_length, checksum);
  packet->data_off = static_cast<std::uint16_t>(frame - static_cast<std::uint8_t*>(packet->buf_addr));
  set_length(packet, headers + length);
  if (context.query_log != nullptr) [[unlikely]]
    message_of(packet).asked_us = waiter.arrived_us;
  ++context.stats[counted];
  transmit(context, waiter.port, packet, counted);
}

}  // namespace shunt
