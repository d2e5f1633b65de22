// The DNS message on the wire: RFC 1035 section 4.1, RFC 6891, RFC 8914.
#pragma once

#include <cstddef>
#include <cstdint>

#include "dataplane/base/bytes.h"

namespace shunt::dns {

inline constexpr std::size_t kHeaderSize = 12;
inline constexpr std::size_t kMaxWire = 65535;  ///< octets of a message: offsets fit 16 bits
inline constexpr std::size_t kMaxName = 255;    ///< octets of a wire name, root label included
inline constexpr std::size_t kMaxLabel = 63;    ///< octets of a label
inline constexpr std::size_t kMaxLabels = 127;  ///< labels of a name, root not counted

// Offsets in the header.
inline constexpr std::size_t kIdOffset = 0;
inline constexpr std::size_t kFlagsOffset = 2;
inline constexpr std::size_t kQdcountOffset = 4;
inline constexpr std::size_t kAncountOffset = 6;
inline constexpr std::size_t kNscountOffset = 8;
inline constexpr std::size_t kArcountOffset = 10;

// The flags word in host order.
inline constexpr std::uint16_t kQr = 0x8000;
inline constexpr std::uint16_t kOpcodeMask = 0x7800;
inline constexpr std::uint16_t kAa = 0x0400;
inline constexpr std::uint16_t kTc = 0x0200;
inline constexpr std::uint16_t kRd = 0x0100;
inline constexpr std::uint16_t kRa = 0x0080;
inline constexpr std::uint16_t kZ = 0x0040;
inline constexpr std::uint16_t kAd = 0x0020;
inline constexpr std::uint16_t kCd = 0x0010;
inline constexpr std::uint16_t kRcodeMask = 0x000f;

/// RCODEs; those above 15 need an OPT record for their upper bits.
enum class Rcode : std::uint16_t {
  kNoError = 0,
  kFormErr = 1,
  kServFail = 2,
  kNxDomain = 3,
  kNotImp = 4,
  kRefused = 5,
  kBadVers = 16,
};

enum class Type : std::uint16_t {
  kA = 1,
  kNs = 2,
  kCname = 5,
  kSoa = 6,
  kPtr = 12,
  kMx = 15,
  kTxt = 16,
  kAaaa = 28,
  kSrv = 33,
  kDname = 39,
  kOpt = 41,
  kDs = 43,
  kTkey = 249,
  kTsig = 250,
  kIxfr = 251,
  kAxfr = 252,
  kMailb = 253,
  kMaila = 254,
  kAny = 255,
};

inline constexpr std::uint16_t kClassIn = 1;

enum class OptionCode : std::uint16_t {
  kNsid = 3,
  kClientSubnet = 8,
  kCookie = 10,
  kTcpKeepalive = 11,
  kPadding = 12,
  kExtendedError = 15,
};

/// Extended DNS Errors (RFC 8914); kNone is ours: no such option.
enum class ExtendedError : std::uint16_t {
  kOther = 0,
  kStaleAnswer = 3,
  kCachedError = 13,
  kBlocked = 15,
  kProhibited = 18,
  kNotAuthoritative = 20,
  kNotSupported = 21,
  kNoReachableAuthority = 22,
  kNetworkError = 23,
  kNone = 0xffff,
};

struct Header {
  std::uint16_t id, flags, qdcount, ancount, nscount, arcount;
};
inline Header load_header(const std::uint8_t* wire) {
  return {load_be16(wire),     load_be16(wire + 2), load_be16(wire + 4),
          load_be16(wire + 6), load_be16(wire + 8), load_be16(wire + 10)};
}
/// In two stores, so that whoever reads it back in the same two (for a checksum) need not wait for six.
inline void store_header(std::uint8_t* wire, const Header& h) {
  store_be64(wire, std::uint64_t{h.id} << 48 | std::uint64_t{h.flags} << 32 | std::uint64_t{h.qdcount} << 16 |
                       h.ancount);
  store_be32(wire + 8, std::uint32_t{h.nscount} << 16 | h.arcount);
}

}  // namespace shunt::dns
