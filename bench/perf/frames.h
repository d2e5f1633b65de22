// Frames that carry DNS over UDP: a ready-made header to copy, and the fields to fill in.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/base/address.h"
#include "dataplane/base/bytes.h"
#include "dataplane/dns/wire.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"

namespace shunt::perf {

/// Where things lie in a frame of either family, without VLAN tag, IP options and extension headers.
template <bool kV4>
struct Layout {
  static constexpr std::uint16_t kEtherType = kV4 ? net::kEtherIpv4 : net::kEtherIpv6;
  static constexpr std::size_t kIp = net::kEthernetSize;
  static constexpr std::size_t kIpSize = kV4 ? net::kIpv4Size : net::kIpv6Size;
  static constexpr std::size_t kLength = kV4 ? kIp + 2 : kIp + 4;
  static constexpr std::size_t kProtocol = kV4 ? kIp + 9 : kIp + 6;
  static constexpr std::size_t kTimeToLive = kV4 ? kIp + 8 : kIp + 7;
  static constexpr std::size_t kIpChecksum = kIp + 10;  // IPv4 only
  static constexpr std::size_t kAddressSize = kV4 ? 4 : 16;
  static constexpr std::size_t kSource = kV4 ? kIp + 12 : kIp + 8;
  static constexpr std::size_t kDestination = kSource + kAddressSize;
  static constexpr std::size_t kUdp = kIp + kIpSize;
  static constexpr std::size_t kUdpLength = kUdp + 4;
  static constexpr std::size_t kUdpChecksum = kUdp + 6;
  static constexpr std::size_t kDns = kUdp + net::kUdpSize;
  static constexpr std::size_t kQuestion = kDns + dns::kHeaderSize;
  /// The last four octets of the addresses: what differs between clients.
  static constexpr std::size_t kSourceLow = kSource + kAddressSize - 4;
  static constexpr std::size_t kDestinationLow = kDestination + kAddressSize - 4;

  static const std::uint8_t* octets_of(const IpAddress& a) { return kV4 ? a.v4_octets() : a.octets.data(); }
  static IpAddress address_at(const std::uint8_t* at) { return kV4 ? IpAddress::v4(at) : IpAddress::v6(at); }
};

/// True where the frame is a sound UDP packet of that family whose lengths fit.
template <bool kV4>
inline bool is_udp(const std::uint8_t* frame, std::size_t length) {
  using L = Layout<kV4>;
  if (length < L::kQuestion || load_be16(frame + 12) != L::kEtherType) return false;
  if (frame[L::kIp] >> 4 != (kV4 ? 4 : 6) || frame[L::kProtocol] != net::kProtocolUdp) return false;
  if (kV4 && frame[L::kIp] != 0x45) return false;
  const std::size_t ip_length = load_be16(frame + L::kLength) + (kV4 ? 0 : net::kIpv6Size);
  const std::size_t udp_length = load_be16(frame + L::kUdpLength);
  return ip_length + net::kEthernetSize <= length && udp_length + L::kIpSize == ip_length &&
         udp_length >= net::kUdpSize + dns::kHeaderSize;
}

/// True where the checksums are right; the frame is one that is_udp() took.
template <bool kV4>
inline bool checksums_hold(const std::uint8_t* frame) {
  using L = Layout<kV4>;
  if (kV4 && net::fold(net::add_octets(0, frame + L::kIp, net::kIpv4Size)) != 0xffff) return false;
  const std::uint16_t udp_length = load_be16(frame + L::kUdpLength);
  if (load_be16(frame + L::kUdpChecksum) == 0) return kV4;
  // From the addresses to the end of the packet lies all that the UDP checksum covers.
  net::Sum sum = net::word(net::kProtocolUdp) + net::word(udp_length);
  sum = net::add_octets(sum, frame + L::kSource, 2 * L::kAddressSize + udp_length);
  return net::fold(sum) == 0xffff;
}

/// The headers of all queries: what differs between them is zero.
template <bool kV4>
struct QueryHeader {
  static constexpr std::size_t kBlock = 16;
  static constexpr std::size_t kSize = (Layout<kV4>::kQuestion + kBlock - 1) / kBlock * kBlock;

  alignas(64) std::array<std::uint8_t, kSize> octets{};
  net::Sum ip_sum = 0;   ///< of the IPv4 header
  net::Sum udp_sum = 0;  ///< of pseudo-header, ports and DNS header

  QueryHeader(const IpAddress& first_client, const SocketAddress& target, bool stub) {
    using L = Layout<kV4>;
    std::uint8_t* f = octets.data();
    store_be16(f + 12, L::kEtherType);
    f[L::kIp] = kV4 ? 0x45 : 0x60;
    f[L::kProtocol] = net::kProtocolUdp;
    f[L::kTimeToLive] = 64;
    std::memcpy(f + L::kSource, L::octets_of(first_client), L::kAddressSize - 4);
    std::memcpy(f + L::kDestination, L::octets_of(target.address), L::kAddressSize);
    store_be16(f + L::kUdp + 2, target.port);
    store_be16(f + L::kDns + dns::kFlagsOffset, stub ? dns::kRd : std::uint16_t{0});
    store_be16(f + L::kDns + dns::kQdcountOffset, 1);
    ip_sum = net::add_octets(0, f + L::kIp, net::kIpv4Size);
    udp_sum = net::add_octets(net::word(net::kProtocolUdp), f + L::kSource,
                              2 * L::kAddressSize + net::kUdpSize + dns::kHeaderSize);
  }
};

}  // namespace shunt::perf
