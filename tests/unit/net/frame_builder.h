// Builds Ethernet frames octet by octet, right in every field unless a test then spoils one.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/net/frame.h"
#include "dataplane/net/headers.h"

namespace shunt::net::testing {

using Octets = std::vector<std::uint8_t>;

inline const MacAddress kOurMac{{0x02, 0, 0, 0, 0, 0x01}};
inline const MacAddress kTheirMac{{0x02, 0, 0, 0, 0, 0x02}};

inline constexpr MacAddress kBroadcast{{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}};

/// What a frame is made of. Everything that is computed (lengths, checksums) is right.
struct FrameSpec {
  MacAddress to = kOurMac;
  MacAddress from = kTheirMac;
  std::vector<std::uint32_t> tags;  ///< each an EtherType in the upper half, a TCI in the lower
  std::string_view source = "10.0.0.2";
  std::string_view destination = "10.0.0.1";
  Octets options;                    ///< IPv4 options, a multiple of four
  Octets extensions;                 ///< IPv6 extension headers, the last one naming `protocol`
  std::uint8_t first_extension = 0;  ///< protocol number of the first of them
  std::uint8_t protocol = kProtocolUdp;
  std::uint16_t source_port = 40000;
  std::uint16_t destination_port = 53;
  Octets payload = {0xde, 0xad, 0xbe, 0xef, 0x01};
  std::size_t padding = 0;  ///< octets behind the IP packet
  bool udp_checksum = true;
};

/// The same over IPv6.
inline FrameSpec v6() {
  return {.source = "fd00::2", .destination = "fd00::1"};
}
inline bool is_v6(const FrameSpec& spec) {
  return spec.destination.find(':') != std::string_view::npos;
}

Octets build(const FrameSpec& spec);

/// Offsets in a frame without tags, options or extension headers.
inline constexpr std::size_t kIp = kEthernetSize;
inline constexpr std::size_t kUdp4 = kIp + kIpv4Size;
inline constexpr std::size_t kUdp6 = kIp + kIpv6Size;

/// Makes the IPv4 header checksum at `ip` right again after a field was changed.
void fix_ip_checksum(Octets& frame, std::size_t ip = kIp);
/// Makes the checksum of the UDP datagram (untagged, no options) right again, over the length in its header.
void fix_udp_checksum(Octets& frame);

/// The first fragment of the datagram whose UDP header is at `udp`, with `length` octets of its payload. Over
/// IPv6 the fragment header is among the frame's extensions already.
Octets first_fragment(Octets frame, std::size_t length, std::size_t udp = kUdp4);

struct Parsed {
  FrameKind kind;
  FrameView view;
  FrameDrop reason;
};
/// Parses a copy on the heap of exactly the frame's size, so that the sanitizer sees any read beyond it.
Parsed parse(const Octets& frame, std::uint16_t vlan = 0, ChecksumsKnown known = {});

/// The name of a drop's reason, as in the metrics, or "taken".
std::string_view fate(const Parsed& parsed);
#define EXPECT_DROP(parsed, why) EXPECT_EQ(fate(parsed), #why)

}  // namespace shunt::net::testing
