// Numbers of the Ethernet, IP and UDP headers that the fast path reads and writes.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shunt::net {

inline constexpr std::size_t kEthernetSize = 14;
inline constexpr std::size_t kVlanTagSize = 4;
inline constexpr std::size_t kArpSize = 28;   ///< Ethernet and IPv4 (RFC 826)
inline constexpr std::size_t kIpv4Size = 20;  ///< without options
inline constexpr std::size_t kIpv6Size = 40;
inline constexpr std::size_t kFragmentSize = 8;  ///< the IPv6 fragment header
inline constexpr std::size_t kUdpSize = 8;
inline constexpr std::size_t kTcpSize = 20;  ///< without options

inline constexpr std::uint16_t kEtherIpv4 = 0x0800;
inline constexpr std::uint16_t kEtherArp = 0x0806;
inline constexpr std::uint16_t kEtherIpv6 = 0x86dd;
inline constexpr std::uint16_t kEtherVlan = 0x8100;     ///< IEEE 802.1Q
inline constexpr std::uint16_t kEtherQinQ = 0x88a8;     ///< IEEE 802.1ad
inline constexpr std::uint16_t kEtherOldQinQ = 0x9100;  ///< the same before it was a standard
inline constexpr std::uint16_t kVlanIdMask = 0x0fff;

// Protocol numbers and IPv6 next headers.
inline constexpr std::uint8_t kProtocolHopByHop = 0;
inline constexpr std::uint8_t kProtocolTcp = 6;
inline constexpr std::uint8_t kProtocolUdp = 17;
inline constexpr std::uint8_t kProtocolRouting = 43;
inline constexpr std::uint8_t kProtocolFragment = 44;
inline constexpr std::uint8_t kProtocolAuthentication = 51;
inline constexpr std::uint8_t kProtocolIcmp6 = 58;
inline constexpr std::uint8_t kProtocolNone = 59;
inline constexpr std::uint8_t kProtocolDestination = 60;
inline constexpr std::uint8_t kProtocolOspf = 89;
inline constexpr std::uint8_t kProtocolVrrp = 112;
inline constexpr std::uint8_t kProtocolMobility = 135;
inline constexpr std::uint8_t kProtocolHip = 139;
inline constexpr std::uint8_t kProtocolShim6 = 140;

inline constexpr std::uint16_t kPortBgp = 179;

}  // namespace shunt::net
