// Validation of a received Ethernet frame: what it is and where its parts are, or why it is dropped.
//
// Trusts nothing: every length is checked against the frame's real end before it is used, and nothing past
// that end is read. Works on plain octets, so that it is fuzzed under AddressSanitizer; needs no DPDK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/address.h"
#include "dataplane/base/stats.h"
#include "dataplane/net/checksum.h"

namespace shunt::net {

/// What the port is, as far as a frame's validity depends on it.
struct FrameRules {
  MacAddress mac;          ///< the port's own
  std::uint16_t vlan = 0;  ///< the tag that frames must carry; 0: none
};

enum class FrameKind : std::uint8_t {
  kUdp,        ///< a whole, unfragmented UDP datagram; every field of FrameView is set
  kNeighbour,  ///< ARP, neighbour discovery, and routing protocols' control traffic: to the kernel, with
               ///< priority
  kTcp,        ///< TCP segment, IP header valid; l4 fields set
  kKernel,     ///< other IP that is the kernel's to answer: ICMP echo and errors, other protocols
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
  Sum addresses_sum = 0;   ///< UDP: of source and destination
};

/// What the port has verified already.
struct ChecksumsKnown {
  bool ip_good = false;
  bool l4_good = false;
};

/// Parses and validates `frame`. Fills `view` as far as the kind tells, the rest is void; on kDrop, `reason`
/// says why. Checks, in this order: length; destination MAC (ours, or group); source MAC not ours; VLAN;
/// EtherType; IP header and lengths (total length within the frame); IPv4 header checksum; fragments; options
/// and extension headers; source address (see ip_source in stats.def; ours is the caller's to check); for
/// UDP: length, ports, checksum over the datagram (RFC 768, RFC 8200 section 8.1). TCP and ICMP checksums are
/// left to the kernel. Destination addresses are the caller's to check, but for multicast: group frames are
/// kNeighbour or kKernel, or dropped where UDP.
FrameKind parse_frame(std::span<const std::uint8_t> frame, const FrameRules& rules, ChecksumsKnown known,
                      FrameView& view, FrameDrop& reason);

}  // namespace shunt::net
