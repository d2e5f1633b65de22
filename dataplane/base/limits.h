// The bounds of everything: what is not bounded here does not exist.
#pragma once

#include <cstddef>
#include <cstdint>

namespace shunt {

inline constexpr unsigned kCacheLine = 64;

/// Packets that go through the stages together. First-level cache misses grow beyond this.
inline constexpr unsigned kBurst = 32;

inline constexpr unsigned kMaxWorkers = 64;
inline constexpr unsigned kMaxPorts = 16;

inline constexpr unsigned kMaxRuleSetsPerNetwork = 8;
inline constexpr unsigned kMaxNetworks = 65535;
inline constexpr unsigned kMaxZones = 65535;
inline constexpr unsigned kMaxEndpoints = 4096;
inline constexpr unsigned kMaxUpstreams = 65535;
inline constexpr unsigned kMaxTargetsPerUpstream = 16;
inline constexpr unsigned kMaxOutboundAddresses = 16;
/// Figure numbers of rules, 0 among them, which is none's: what fits 12 bits of a cached answer. At most
/// kMaxCountedRules are in use at once, so that some are free while others rest.
inline constexpr unsigned kMaxFigures = 4096;
inline constexpr unsigned kMaxCountedRules = 4000;
/// Entries of the shared health array; a target keeps its entry for as long as any generation names it.
inline constexpr unsigned kMaxTargets = 4096;

/// The largest DNS message a worker takes or makes: what fits a 1500-octet MTU with an IPv6 header.
inline constexpr std::size_t kMaxMessage = 1452;
/// EDNS size that we advertise to upstreams and never exceed towards clients (RFC 9715).
inline constexpr std::uint16_t kEdnsSize = 1232;
/// Message size without EDNS (RFC 1035 section 4.2.1).
inline constexpr std::uint16_t kPlainSize = 512;

inline constexpr std::uint16_t kDnsPort = 53;
inline constexpr std::uint16_t kDnsOverTlsPort = 853;
inline constexpr std::uint16_t kDnsOverHttpsPort = 443;

/// No wait for an upstream goes on longer: clients give up after about 5 s.
inline constexpr unsigned kMaxWaitMs = 4000;

/// TTL of blocked answers and of `answer` rules that name none, in seconds.
inline constexpr std::uint32_t kBlockedTtl = 60;

}  // namespace shunt
