// Ready-made headers towards one upstream target: Ethernet, IP and UDP, filled in by the control plane from
// the kernel's routes and neighbours. A worker copies them in front of a DNS message and fills in lengths,
// source port and checksums.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/address.h"

namespace shunt::net {

inline constexpr unsigned kMaxHeaders = 18 + 40 + 8;  ///< Ethernet with a VLAN tag, IPv6, UDP

struct Adjacency {
  bool usable = false;  ///< route and next hop are known
  bool v4 = false;
  std::uint8_t port = 0;       ///< index of the port it leaves through
  std::uint8_t length = 0;     ///< of headers, octets
  std::uint8_t l2_length = 0;  ///< of the Ethernet header, tag included
  /// Sum (checksum.h) of the UDP pseudo-header's constant part: addresses and protocol.
  std::uint16_t pseudo_sum = 0;
  /// IPv4: sum of the header with total length and checksum zero. The checksum of a packet is
  /// finish(ip_sum + word(total length)).
  std::uint16_t ip_sum = 0;
  /// Zero in them: the IP length, the IPv4 checksum, the UDP source port, length and checksum.
  std::array<std::uint8_t, kMaxHeaders> headers{};
};

/// Fills `headers`, lengths and sums. `source` and `target` are of one family. IPv4 goes out with "don't
/// fragment" and id 0, both families with 64 hops. `vlan` 0 is untagged. `usable` is left to the caller.
Adjacency make_adjacency(const IpAddress& source, const SocketAddress& target, const MacAddress& source_mac,
                         const MacAddress& next_hop, std::uint8_t port, std::uint16_t vlan);

}  // namespace shunt::net
