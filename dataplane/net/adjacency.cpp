#include "dataplane/net/adjacency.h"

#include <cstring>

#include "dataplane/base/bytes.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"

namespace shunt::net {
namespace {

constexpr std::uint8_t kHops = 64;  // RFC 1700; what hosts send by default

std::uint8_t* put(std::uint8_t* at, const std::uint8_t* from, std::size_t length) {
  std::memcpy(at, from, length);
  return at + length;
}
std::uint8_t* put16(std::uint8_t* at, std::uint16_t value) {
  store_be16(at, value);
  return at + 2;
}

std::uint8_t* put_ethernet(std::uint8_t* at, const MacAddress& to, const MacAddress& from, std::uint16_t vlan,
                           std::uint16_t type) {
  at = put(at, to.octets.data(), 6);
  at = put(at, from.octets.data(), 6);
  if (vlan != 0) at = put16(put16(at, kEtherVlan), vlan);
  return put16(at, type);
}

// RFC 791; "don't fragment" makes an id of 0 right (RFC 6864 section 4.1). Length and checksum stay zero.
std::uint8_t* put_ipv4(std::uint8_t* at, const IpAddress& from, const IpAddress& to) {
  at[0] = 0x45;
  store_be16(at + 6, 0x4000);
  at[8] = kHops;
  at[9] = kProtocolUdp;
  return put(put(at + 12, from.v4_octets(), 4), to.v4_octets(), 4);
}

// RFC 8200 section 3. The payload length stays zero.
std::uint8_t* put_ipv6(std::uint8_t* at, const IpAddress& from, const IpAddress& to) {
  at[0] = 0x60;
  at[6] = kProtocolUdp;
  at[7] = kHops;
  return put(put(at + 8, from.octets.data(), 16), to.octets.data(), 16);
}

}  // namespace

Adjacency make_adjacency(const IpAddress& source, const SocketAddress& target, const MacAddress& source_mac,
                         const MacAddress& next_hop, std::uint8_t port, std::uint16_t vlan) {
  Adjacency made;
  made.v4 = target.address.is_v4();
  made.port = port;
  std::uint8_t* const start = made.headers.data();
  std::uint8_t* const ip = put_ethernet(start, next_hop, source_mac, vlan, made.v4 ? kEtherIpv4 : kEtherIpv6);
  std::uint8_t* const udp =
      made.v4 ? put_ipv4(ip, source, target.address) : put_ipv6(ip, source, target.address);
  store_be16(udp + 2, target.port);
  made.l2_length = static_cast<std::uint8_t>(ip - start);
  made.length = static_cast<std::uint8_t>(udp + kUdpSize - start);
  if (made.v4) made.ip_sum = fold(add_octets(0, ip, kIpv4Size));
  made.pseudo_sum = fold(pseudo_sum(source, target.address, made.v4, kProtocolUdp));
  return made;
}

}  // namespace shunt::net
