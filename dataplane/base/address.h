// Addresses and prefixes of both families in one type: IPv4 lives in ::ffff:0:0/96 (RFC 4291
// section 2.5.5.2).
#pragma once

#include <emmintrin.h>

#include <array>
#include <compare>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "dataplane/base/result.h"

namespace shunt {

/// Sixteen octets in network order. Trivially copyable; zero-initialised it is "::".
struct IpAddress {
  std::array<std::uint8_t, 16> octets{};

  static IpAddress v4(const std::uint8_t* network_order) {
    std::uint32_t low;
    std::memcpy(&low, network_order, sizeof low);
    return from(_mm_set_epi64x(static_cast<long long>(std::uint64_t{low} << 32 | 0xffff0000), 0));
  }
  static IpAddress v6(const std::uint8_t* network_order) {
    return from(_mm_loadu_si128(reinterpret_cast<const __m128i*>(network_order)));
  }
  /// "10.0.0.1" or "fd00::1"; anything else (ports, zones, leading zeros) is an error.
  static Result<IpAddress> parse(std::string_view text);

  bool is_v4() const {
    static constexpr std::uint8_t kMapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return std::memcmp(octets.data(), kMapped, sizeof kMapped) == 0;
  }
  /// The four octets of an IPv4 address, in network order.
  const std::uint8_t* v4_octets() const { return &octets[12]; }
  std::string to_string() const;

  friend bool operator==(const IpAddress& a, const IpAddress& b) {
    return std::memcmp(a.octets.data(), b.octets.data(), 16) == 0;
  }
  friend auto operator<=>(const IpAddress&, const IpAddress&) = default;

 private:
  // In one store: addresses are copied as a whole soon after they are made, and a load of sixteen octets
  // would have to wait for the smaller stores before it.
  static IpAddress from(__m128i octets) {
    IpAddress a;
    _mm_storeu_si128(reinterpret_cast<__m128i*>(a.octets.data()), octets);
    return a;
  }
};
static_assert(sizeof(IpAddress) == 16);

/// An address and a UDP or TCP port (host order).
struct SocketAddress {
  IpAddress address;
  std::uint16_t port = 0;

  /// "192.0.2.1", "192.0.2.1:5353", "fd00::1", "[fd00::1]:5353"; `default_port` where none is given.
  static Result<SocketAddress> parse(std::string_view text, std::uint16_t default_port);
  std::string to_string() const;

  friend auto operator<=>(const SocketAddress&, const SocketAddress&) = default;
};

/// A prefix. `length` counts bits of the 128-bit form: an IPv4 /8 is 104.
struct Prefix {
  IpAddress address;
  std::uint8_t length = 0;

  /// "10.0.0.0/8", "fd00::/8", or a lone address (all bits). Host bits that are set are an error.
  static Result<Prefix> parse(std::string_view text);
  /// As written in an interface address, "10.0.0.1/24": host bits are kept.
  static Result<Prefix> parse_interface(std::string_view text);

  bool is_v4() const { return length >= 96 && address.is_v4(); }
  bool contains(const IpAddress& a) const;
  std::string to_string() const;

  friend auto operator<=>(const Prefix&, const Prefix&) = default;
};

/// An Ethernet address.
struct MacAddress {
  std::array<std::uint8_t, 6> octets{};

  static Result<MacAddress> parse(std::string_view text);
  std::string to_string() const;

  friend auto operator<=>(const MacAddress&, const MacAddress&) = default;
};

}  // namespace shunt
