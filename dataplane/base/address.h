// Addresses and prefixes of both families in one type: IPv4 lives in ::ffff:0:0/96 (RFC 4291
// section 2.5.5.2).
#pragma once

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
    IpAddress a;
    a.octets[10] = a.octets[11] = 0xff;
    std::memcpy(&a.octets[12], network_order, 4);
    return a;
  }
  static IpAddress v6(const std::uint8_t* network_order) {
    IpAddress a;
    std::memcpy(a.octets.data(), network_order, 16);
    return a;
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
