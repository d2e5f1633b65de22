#include "dataplane/net/frame.h"

#include <array>
#include <cstring>

#include "dataplane/base/bytes.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/headers.h"

namespace shunt::net {
namespace {

constexpr std::uint64_t kMacMask = 0xffffffffffff;  // six octets of a little-endian load
constexpr std::uint16_t kMoreOrOffset = 0x3fff;     // IPv4: "more fragments" and the fragment offset
constexpr std::uint16_t kMore = 0x2000;             // "more fragments" at offset 0: the first one
constexpr std::uint16_t kMoreOrOffset6 = 0xfff9;    // the same in the IPv6 fragment header
constexpr std::uint16_t kMore6 = 1;
// A chain of extension headers longer than any real one is an attack on the reader.
constexpr unsigned kMaxExtensions = 8;

// One frame on its way through the checks.
struct Parser {
  std::span<const std::uint8_t> frame;
  ChecksumsKnown known;
  FrameView& view;
  FrameDrop& reason;

  FrameKind drop(FrameDrop why) const {
    reason = why;
    return FrameKind::kDrop;
  }
  FrameKind ipv4() const;
  FrameKind ipv6() const;
  FrameKind behind_extensions(const std::uint8_t* ip, std::size_t total) const;
  FrameKind fragment6(const std::uint8_t* ip, std::size_t total) const;
  bool take_ports(const std::uint8_t* udp) const;
  FrameKind udp(const std::uint8_t* l4, std::size_t length, Sum addresses, bool group) const;
  FrameKind first_fragment(const std::uint8_t* udp, std::size_t length, bool group) const;
  FrameKind tcp(const std::uint8_t* l4, std::size_t length, bool group) const;
  FrameKind icmp6(const std::uint8_t* ip, const std::uint8_t* l4, std::size_t length) const;
  FrameKind other(std::uint8_t protocol) const {
    return protocol == kProtocolOspf || protocol == kProtocolVrrp ? FrameKind::kNeighbour
                                                                  : FrameKind::kKernel;
  }
};

bool is_multicast_v4(std::uint32_t address) {
  return (address & 0xf0000000) == 0xe0000000;
}
bool is_group_v4(std::uint32_t address) {
  return is_multicast_v4(address) || address == 0xffffffff;
}

// 240/4 is not among them: gateways of large private networks do carry it.
bool is_bad_source_v4(const std::uint8_t* address) {
  return kUnusualSource[address[0]] && (address[0] != 255 || load_be32(address) == 0xffffffff);
}

// The upper twelve octets are zero: "::", "::1" and the rest of ::/96.
bool is_unspecified_v6(const std::uint8_t* a) {
  return (load_le64(a) | load_le64(a + 8)) == 0;
}
bool is_loopback_v6(const std::uint8_t* a) {
  return load_le64(a) == 0 && load_le64(a + 8) == std::uint64_t{1} << 56;
}
// ::ffff:0:0/96 on the wire would pass for an IPv4 address once inside an IpAddress.
bool is_mapped_v6(const std::uint8_t* a) {
  return load_le64(a) == 0 && load_be32(a + 8) == 0xffff;
}

// A UDP header's ports, and what lies behind it; false where a port is 0.
inline bool Parser::take_ports(const std::uint8_t* udp) const {
  view.source_port = load_be16(udp);
  view.destination_port = load_be16(udp + 2);
  view.payload_offset = static_cast<std::uint16_t>(udp + kUdpSize - frame.data());
  return view.source_port != 0 && view.destination_port != 0;
}

inline FrameKind Parser::udp(const std::uint8_t* l4, std::size_t length, Sum addresses, bool group) const {
  if (group || view.broadcast) return drop(FrameDrop::ip_destination);
  if (length < kUdpSize) return drop(FrameDrop::udp_length);
  const std::uint16_t datagram = load_be16(l4 + 4);
  if (datagram < kUdpSize || datagram > length) return drop(FrameDrop::udp_length);
  if (!take_ports(l4)) return drop(FrameDrop::udp_port_zero);
  view.payload_length = static_cast<std::uint16_t>(datagram - kUdpSize);
  std::memcpy(&view.udp_checksum, l4 + 6, 2);
  if (view.udp_checksum == 0) return view.v4 ? FrameKind::kUdp : drop(FrameDrop::udp_checksum);
  if (!known.l4_good) {
    const Sum sum = add_octets(addresses + word(kProtocolUdp) + word(datagram), l4, datagram);
    if (fold(sum) != 0xffff) return drop(FrameDrop::udp_checksum);
  }
  return FrameKind::kUdp;
}

// Of a UDP datagram; the UDP length says that there is more.
FrameKind Parser::first_fragment(const std::uint8_t* udp, std::size_t length, bool group) const {
  if (group || view.broadcast) return drop(FrameDrop::ip_destination);
  if (length < kUdpSize || load_be16(udp + 4) <= length) return drop(FrameDrop::ip_fragment);
  if (!take_ports(udp)) return drop(FrameDrop::udp_port_zero);
  view.payload_length = static_cast<std::uint16_t>(length - kUdpSize);
  view.udp_checksum = 0;
  return FrameKind::kUdpFragment;
}

FrameKind Parser::tcp(const std::uint8_t* l4, std::size_t length, bool group) const {
  // RFC 9293 section 3.9.2.3: a segment to a broadcast or multicast address is discarded silently.
  if (group || view.broadcast) return drop(FrameDrop::ip_destination);
  if (length < kTcpSize) return drop(FrameDrop::runt);
  view.source_port = load_be16(l4);
  view.destination_port = load_be16(l4 + 2);
  const bool bgp = view.source_port == kPortBgp || view.destination_port == kPortBgp;
  return bgp ? FrameKind::kNeighbour : FrameKind::kTcp;
}

FrameKind Parser::icmp6(const std::uint8_t* ip, const std::uint8_t* l4, std::size_t length) const {
  if (length < 4) return drop(FrameDrop::runt);
  // Router and neighbour solicitation, advertisement and redirect (RFC 4861) never come through a router:
  // with a lower hop limit they are void, and must not fill the ring that neighbours have to themselves.
  const bool neighbour = l4[0] >= 133 && l4[0] <= 137 && ip[7] == 255;
  return neighbour ? FrameKind::kNeighbour : FrameKind::kKernel;
}

FrameKind Parser::ipv4() const {
  const std::uint8_t* const ip = frame.data() + view.l2_length;
  const std::size_t available = frame.size() - view.l2_length;
  if (available < kIpv4Size) return drop(FrameDrop::runt);
  std::size_t header = kIpv4Size;
  if (ip[0] != 0x45) {
    header = std::size_t{4} * (ip[0] & 15);
    if (ip[0] >> 4 != 4 || header < kIpv4Size) return drop(FrameDrop::ip_header);
    if (header > available) return drop(FrameDrop::runt);
  }
  const std::size_t total = load_be16(ip + 2);
  if (total < header) return drop(FrameDrop::ip_header);
  if (total > available) return drop(FrameDrop::runt);
  const Sum addresses = narrow(load_le64(ip + 12));
  if (!known.ip_good) {
    std::uint32_t middle;
    std::memcpy(&middle, ip + 8, sizeof middle);
    Sum sum = addresses + narrow(load_le64(ip)) + middle;
    if (header != kIpv4Size) [[unlikely]]
      sum = add_octets(sum, ip + kIpv4Size, header - kIpv4Size);
    if (fold(sum) != 0xffff) return drop(FrameDrop::ip_checksum);
  }
  const std::uint8_t protocol = ip[9];
  const unsigned fragment = load_be16(ip + 6) & kMoreOrOffset;
  if (fragment != 0 && (fragment != kMore || protocol != kProtocolUdp || header != kIpv4Size))
    return drop(FrameDrop::ip_fragment);
  if (header != kIpv4Size && protocol == kProtocolUdp) return drop(FrameDrop::ip_options);
  if (is_bad_source_v4(ip + 12)) return drop(FrameDrop::ip_source);

  view.v4 = true;
  view.source = IpAddress::v4(ip + 12);
  view.destination = IpAddress::v4(ip + 16);
  view.l3_length = static_cast<std::uint16_t>(header);
  const bool group = is_group_v4(load_be32(ip + 16));
  if (fragment != 0) return first_fragment(ip + header, total - header, group);
  if (protocol == kProtocolUdp) return udp(ip + header, total - header, addresses, group);
  if (protocol == kProtocolTcp) return tcp(ip + header, total - header, group);
  return other(protocol);
}

// A fragment header right behind the fixed one (RFC 8200 section 4.5).
FrameKind Parser::fragment6(const std::uint8_t* ip, std::size_t total) const {
  const std::uint8_t* const header = ip + kIpv6Size;
  if (total - kIpv6Size < kFragmentSize || header[0] != kProtocolUdp ||
      (load_be16(header + 2) & kMoreOrOffset6) != kMore6) {
    return drop(FrameDrop::ip_fragment);
  }
  view.l3_length = kIpv6Size + kFragmentSize;
  return first_fragment(header + kFragmentSize, total - view.l3_length, ip[24] == 0xff);
}

// The chain behind the fixed header (RFC 8200 section 4): only what the kernel may have to answer gets
// through.
FrameKind Parser::behind_extensions(const std::uint8_t* ip, std::size_t total) const {
  std::uint8_t next = ip[6];
  std::size_t at = kIpv6Size;
  for (unsigned i = 0; i < kMaxExtensions; ++i) {
    switch (next) {
      case kProtocolFragment:
        return i == 0 ? fragment6(ip, total) : drop(FrameDrop::ip_fragment);
      case kProtocolHopByHop:
      case kProtocolRouting:
      case kProtocolAuthentication:
      case kProtocolDestination:
      case kProtocolMobility:
      case kProtocolHip:
      case kProtocolShim6: {
        if (total - at < 8) return drop(FrameDrop::ip_extension);
        const std::size_t length = next == kProtocolAuthentication ? 4 * (std::size_t{ip[at + 1]} + 2)
                                                                   : 8 * (std::size_t{ip[at + 1]} + 1);
        if (length > total - at) return drop(FrameDrop::ip_extension);
        next = ip[at];
        at += length;
        break;
      }
      case kProtocolUdp:
      case kProtocolNone:
        return drop(FrameDrop::ip_extension);
      default:
        view.l3_length = static_cast<std::uint16_t>(at);
        if (next == kProtocolTcp) return tcp(ip + at, total - at, ip[24] == 0xff);
        if (next == kProtocolIcmp6) return icmp6(ip, ip + at, total - at);
        return other(next);
    }
  }
  return drop(FrameDrop::ip_extension);
}

FrameKind Parser::ipv6() const {
  const std::uint8_t* const ip = frame.data() + view.l2_length;
  const std::size_t available = frame.size() - view.l2_length;
  if (available < kIpv6Size) return drop(FrameDrop::runt);
  if (ip[0] >> 4 != 6) return drop(FrameDrop::ip_header);
  const std::size_t total = kIpv6Size + load_be16(ip + 4);
  if (total > available) return drop(FrameDrop::runt);
  const std::uint8_t* const source = ip + 8;
  const std::uint8_t* const destination = ip + 24;
  const std::uint8_t next = ip[6];
  // Duplicate address detection and the first multicast reports come from "::" (RFC 4862 section 5.4.2, RFC
  // 3590).
  const bool may_be_unspecified = next == kProtocolIcmp6 || next == kProtocolHopByHop;
  if (source[0] == 0xff || is_loopback_v6(source) || is_mapped_v6(source) ||
      (is_unspecified_v6(source) && !may_be_unspecified)) {
    return drop(FrameDrop::ip_source);
  }
  if (is_mapped_v6(destination)) return drop(FrameDrop::ip_destination);

  view.source = IpAddress::v6(source);
  view.destination = IpAddress::v6(destination);
  view.l3_length = kIpv6Size;
  const std::uint8_t* const l4 = ip + kIpv6Size;
  const std::size_t length = total - kIpv6Size;
  if (next == kProtocolUdp) return udp(l4, length, add_octets(0, source, 32), destination[0] == 0xff);
  if (next == kProtocolTcp) return tcp(l4, length, destination[0] == 0xff);
  if (next == kProtocolIcmp6) return icmp6(ip, l4, length);
  return behind_extensions(ip, total);
}

// True where a frame with this EtherType may pass on a port of this VLAN; `type` and `l2` then are those
// behind the tag.
bool take_vlan(std::span<const std::uint8_t> frame, std::uint16_t vlan, std::uint16_t& type,
               std::uint16_t& l2) {
  std::uint16_t id = 0;
  if (type == kEtherVlan && frame.size() >= kEthernetSize + kVlanTagSize) {
    id = load_be16(frame.data() + kEthernetSize) & kVlanIdMask;
    type = load_be16(frame.data() + kEthernetSize + 2);
    l2 = kEthernetSize + kVlanTagSize;
  }
  const bool tagged_still = type == kEtherVlan || type == kEtherQinQ || type == kEtherOldQinQ;
  return id == vlan && !tagged_still;
}

}  // namespace

FrameKind parse_frame(std::span<const std::uint8_t> frame, const FrameRules& rules, ChecksumsKnown known,
                      FrameView& view, FrameDrop& reason) {
  view.v4 = view.broadcast = false;
  const Parser parser{frame, known, view, reason};
  if (frame.size() < kEthernetSize) return parser.drop(FrameDrop::runt);
  const std::uint8_t* const octets = frame.data();
  const std::uint64_t own = load_mac(rules.mac.octets.data());
  const std::uint64_t source_and_type = load_le64(octets + 6);
  if ((load_le64(octets) & kMacMask) != own) {
    if ((octets[0] & 1) == 0) return parser.drop(FrameDrop::not_for_us_mac);
    view.broadcast = true;
  }
  if ((source_and_type & kMacMask) == own) return parser.drop(FrameDrop::own_source_mac);
  // Reflected to a group address, an answer would reach every station.
  if ((octets[6] & 1) != 0) return parser.drop(FrameDrop::ip_source);

  auto type = __builtin_bswap16(static_cast<std::uint16_t>(source_and_type >> 48));
  view.l2_length = kEthernetSize;
  const bool plain = rules.vlan == 0 && (type == kEtherIpv4 || type == kEtherIpv6);
  if (!plain && !take_vlan(frame, rules.vlan, type, view.l2_length)) return parser.drop(FrameDrop::vlan);
  if (type == kEtherIpv4) return parser.ipv4();
  if (type == kEtherIpv6) return parser.ipv6();
  if (type != kEtherArp) return parser.drop(FrameDrop::ethertype);
  if (frame.size() < view.l2_length + kArpSize) return parser.drop(FrameDrop::runt);
  return FrameKind::kNeighbour;
}

}  // namespace shunt::net
