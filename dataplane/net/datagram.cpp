#include "dataplane/net/datagram.h"

#include <algorithm>

#include "dataplane/base/bytes.h"
#include "dataplane/net/headers.h"

namespace shunt::net {
namespace {

using Octets = std::span<const std::uint8_t>;

/// `l4` begins with a UDP header and ends with the IP packet.
bool take_udp(Octets l4, Datagram& out) {
  if (l4.size() < kUdpSize) return false;
  const std::size_t length = load_be16(&l4[4]);
  if (length < kUdpSize) return false;
  out.source_port = load_be16(&l4[0]);
  out.destination_port = load_be16(&l4[2]);
  out.payload = l4.first(std::min(length, l4.size())).subspan(kUdpSize);
  return true;
}

bool take_ipv4(Octets ip, Datagram& out) {
  constexpr std::uint16_t kOffset = 0x1fff;
  if (ip.size() < kIpv4Size) return false;
  const std::size_t header = (ip[0] & 0xfu) * 4u, total = load_be16(&ip[2]);
  if (header < kIpv4Size || total < header || total > ip.size() || ip[9] != kProtocolUdp ||
      (load_be16(&ip[6]) & kOffset) != 0) {
    return false;
  }
  out.source = IpAddress::v4(&ip[12]);
  out.destination = IpAddress::v4(&ip[16]);
  return take_udp(ip.first(total).subspan(header), out);
}

bool take_ipv6(Octets ip, Datagram& out) {
  constexpr std::uint16_t kOffset = 0xfff8;
  if (ip.size() < kIpv6Size) return false;
  const std::size_t total = kIpv6Size + load_be16(&ip[4]);
  if (total > ip.size()) return false;
  std::uint8_t next = ip[6];
  std::size_t header = kIpv6Size;
  if (next == kProtocolFragment) {
    if (total < header + kFragmentSize || (load_be16(&ip[header + 2]) & kOffset) != 0) return false;
    next = ip[header];
    header += kFragmentSize;
  }
  if (next != kProtocolUdp) return false;
  out.source = IpAddress::v6(&ip[8]);
  out.destination = IpAddress::v6(&ip[24]);
  return take_udp(ip.first(total).subspan(header), out);
}

}  // namespace

bool find_datagram(Octets frame, Datagram& out) {
  std::size_t l2 = kEthernetSize;
  if (frame.size() < l2) return false;
  if (load_be16(&frame[l2 - 2]) == kEtherVlan) l2 += kVlanTagSize;
  if (frame.size() < l2) return false;
  const Octets ip = frame.subspan(l2);
  switch (load_be16(&frame[l2 - 2])) {
    case kEtherIpv4:
      return !ip.empty() && ip[0] >> 4 == 4 && take_ipv4(ip, out);
    case kEtherIpv6:
      return !ip.empty() && ip[0] >> 4 == 6 && take_ipv6(ip, out);
    default:
      return false;
  }
}

}  // namespace shunt::net
