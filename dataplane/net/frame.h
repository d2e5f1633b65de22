// Validation of a received Ethernet frame: what it is and where its parts are, or why it is dropped.
//
// Trusts nothing: every length is checked against the frame's real end before it is used, and nothing past
// that end is read. Works on plain octets, so that it is fuzzed under AddressSanitizer; needs no DPDK.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/address.h"
#include "dataplane/base/stats.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"

namespace shunt::net {

/// What the port is, as far as a frame's validity depends on it.
struct FrameRules {
  MacAddress mac;          ///< the port's own
  std::uint16_t vlan = 0;  ///< the tag that frames must carry; 0: none
};

enum class FrameKind : std::uint8_t {
  kUdp,          ///< a whole, unfragmented UDP datagram; every field of FrameView is set
  kUdpFragment,  ///< the first fragment of one: as kUdp, but that the payload breaks off and its checksum
                 ///< (void here) can't be verified
  kNeighbour,    ///< ARP, neighbour discovery, and routing protocols' control traffic: to the kernel, with
                 ///< priority
  kTcp,          ///< TCP segment, IP header valid; l4 fields set
  kKernel,       ///< other IP that is the kernel's to answer: ICMP echo and errors, other protocols
  kDrop,
};

struct FrameView {
  IpAddress source, destination;
  std::uint16_t source_port = 0, destination_port = 0;  ///< host order; UDP and TCP
  std::uint16_t l2_length = 0;                          ///< Ethernet header with its tag
  std::uint16_t l3_length = 0;                          ///< IP header with its options
  std::uint16_t payload_offset = 0;                     ///< UDP: of the DNS message
  std::uint16_t payload_length = 0;  ///< UDP: by the UDP header, not by the frame, which may be padded
  /// UDP: as it stands in the frame, verified; 0: the sender made none (IPv4 only). An answer's checksum is
  /// this one, patched.
  std::uint16_t udp_checksum = 0;
  bool v4 = false;
  bool broadcast = false;  ///< to a group MAC address
};

/// True where two views of UDP frames say the same: for tests.
inline bool equal(const FrameView& a, const FrameView& b) {
  return a.source == b.source && a.destination == b.destination && a.source_port == b.source_port &&
         a.destination_port == b.destination_port && a.l2_length == b.l2_length &&
         a.l3_length == b.l3_length && a.payload_offset == b.payload_offset &&
         a.payload_length == b.payload_length && a.udp_checksum == b.udp_checksum && a.v4 == b.v4 &&
         a.broadcast == b.broadcast;
}

/// What the port has verified already.
struct ChecksumsKnown {
  bool ip_good = false;
  bool l4_good = false;
};

/// First octets of IPv4 source addresses that are not taken without a further look: 0/8, 127/8 and multicast,
/// which are dropped, and 255, where the broadcast address is.
inline constexpr auto kUnusualSource = [] {
  std::array<bool, 256> unusual{};
  unusual[0] = unusual[127] = unusual[255] = true;
  for (unsigned i = 224; i < 240; ++i)
    unusual[i] = true;
  return unusual;
}();

/// A MAC as the lower six octets of a 64-bit load. Two loads: one behind a copy of six octets would wait for
/// both its stores.
inline std::uint64_t load_mac(const std::uint8_t* octets) {
  std::uint32_t low;
  std::uint16_t high;
  std::memcpy(&low, octets, sizeof low);
  std::memcpy(&high, octets + 4, sizeof high);
  return low | std::uint64_t{high} << 32;
}

/// Parses and validates `frame`. Fills `view` as far as the kind tells, the rest is void; on kDrop, `reason`
/// says why. Checks, in this order: length; destination MAC (ours, or group); source MAC not ours; VLAN;
/// EtherType; IP header and lengths (total length within the frame); IPv4 header checksum; fragments (but for
/// the first one of a UDP datagram without options or other extension headers); options and extension
/// headers; source address (see ip_source in stats.def; ours is the caller's to check); for
/// UDP: length, ports, checksum over the datagram (RFC 768, RFC 8200 section 8.1). TCP and ICMP checksums are
/// left to the kernel. Destination addresses are the caller's to check, but for multicast: group frames are
/// kNeighbour or kKernel, or dropped where UDP.
FrameKind parse_frame(std::span<const std::uint8_t> frame, const FrameRules& rules, ChecksumsKnown known,
                      FrameView& view, FrameDrop& reason);

/// What nearly every frame is: a plain UDP datagram over IPv4, untagged, to our MAC, sound in all that
/// parse_frame() checks, and that fills its IP packet. True where `frame` is one; `view` is then as
/// parse_frame() makes it. False says nothing: parse_frame() tells what the frame is, or why it is dropped.
/// Straight through, with few branches and wide loads, because every query pays for it. A group's destination
/// address is for the caller to find out: it is none of ours.
inline bool parse_plain_frame(std::span<const std::uint8_t> frame, const FrameRules& rules,
                              ChecksumsKnown known, FrameView& view) {
  constexpr std::size_t kIp = kEthernetSize, kUdp = kIp + kIpv4Size, kPayload = kUdp + kUdpSize;
  // As loaded: our MAC, and the bit of the source's that a group has; EtherType, version and header length;
  // "more fragments", the fragment's offset and the protocol.
  constexpr std::uint64_t kToMask = 0x0001'ffff'ffff'ffff;
  constexpr std::uint32_t kTypeMask = 0x00ffffff, kType = 0x45 << 16 | __builtin_bswap16(kEtherIpv4);
  constexpr std::uint32_t kWholeMask = 0xff00ff3f, kWhole = std::uint32_t{kProtocolUdp} << 24;
  if (frame.size() < kPayload || rules.vlan != 0) return false;
  const std::uint8_t* const f = frame.data();
  const std::uint8_t* const ip = f + kIp;
  const std::uint64_t own = load_mac(rules.mac.octets.data());
  const std::uint64_t differs = ((load_le64(f) ^ own) & kToMask) |
                                ((load_le32(f + kIp - 2) & kTypeMask) ^ kType) |
                                ((load_le32(ip + 6) & kWholeMask) ^ kWhole);
  if (differs != 0 || ((load_le64(f + 6) ^ own) << 16) == 0) return false;

  const std::uint64_t udp = load_le64(f + kUdp);
  const std::size_t total = load_be16(ip + 2);
  const std::size_t datagram = __builtin_bswap16(static_cast<std::uint16_t>(udp >> 32));
  const auto ports = static_cast<std::uint32_t>(udp);
  if (datagram < kUdpSize || datagram > frame.size() - kUdp || total != datagram + kIpv4Size ||
      (ports & 0xffff) == 0 || ports >> 16 == 0 || kUnusualSource[ip[12]]) {
    return false;
  }
  const std::uint64_t addresses = load_le64(ip + 12);
  if (!known.ip_good) {
    const std::uint64_t sum = add_around(add_around(addresses, load_le64(ip)), load_le32(ip + 8));
    if (fold(narrow(sum)) != 0xffff) return false;
  }
  const auto checksum = static_cast<std::uint16_t>(udp >> 48);
  if (checksum != 0 && !known.l4_good) {
    const Sum rest = word(kProtocolUdp) + (udp >> 32 & 0xffff);
    if (fold(narrow(add_around(addresses, f + kUdp, datagram)) + rest) != 0xffff) return false;
  }
  const std::uint32_t to_from = std::rotl(__builtin_bswap32(ports), 16);
  view.source = IpAddress::v4(ip + 12);
  view.destination = IpAddress::v4(ip + 16);
  view.source_port = static_cast<std::uint16_t>(to_from);
  view.destination_port = static_cast<std::uint16_t>(to_from >> 16);
  view.l2_length = kEthernetSize;
  view.l3_length = kIpv4Size;
  view.payload_offset = kPayload;
  view.payload_length = static_cast<std::uint16_t>(datagram - kUdpSize);
  view.udp_checksum = checksum;
  view.v4 = true;
  view.broadcast = false;
  return true;
}

}  // namespace shunt::net
