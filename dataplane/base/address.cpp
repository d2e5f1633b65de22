#include "dataplane/base/address.h"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>

namespace shunt {
namespace {

constexpr unsigned kMappedBits = 96;  // of ::ffff:0:0/96, before the octets of an IPv4 address

std::string quoted(std::string_view text) {
  static constexpr std::size_t kShown = 60;
  std::string shown = "\"";
  shown.append(text.substr(0, kShown)).append(text.size() > kShown ? "…\"" : "\"");
  return shown;
}

/// Digits alone, no leading zero, at most `limit`.
std::optional<unsigned> parse_number(std::string_view text, unsigned limit) {
  if (text.empty() || text.size() > 5 || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  unsigned value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<unsigned>(c - '0');
  }
  if (value > limit) return std::nullopt;
  return value;
}

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<unsigned>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<unsigned>(c - 'A' + 10);
  return std::nullopt;
}

/// The bits of octet `i` that a prefix of `length` bits covers.
std::uint8_t mask_of(unsigned length, unsigned i) {
  if (length >= 8 * (i + 1)) return 0xff;
  if (length <= 8 * i) return 0;
  return static_cast<std::uint8_t>(0xff00u >> (length - 8 * i));
}

}  // namespace

Result<IpAddress> IpAddress::parse(std::string_view text) {
  const auto wrong = [&] { return Failure(quoted(text) + " is not an IPv4 or IPv6 address"); };
  char buffer[INET6_ADDRSTRLEN];
  if (text.empty() || text.size() >= sizeof buffer || text.find('\0') != text.npos) return wrong();
  *std::copy(text.begin(), text.end(), buffer) = '\0';
  std::uint8_t octets[16];
  if (inet_pton(AF_INET, buffer, octets) == 1) return v4(octets);
  if (inet_pton(AF_INET6, buffer, octets) != 1) return wrong();
  const IpAddress address = v6(octets);
  // An IPv4 address in disguise would name a client that no IPv6 packet can come from.
  if (address.is_v4()) return Failure(quoted(text) + " is IPv4-mapped: write it as " + address.to_string());
  return address;
}

std::string IpAddress::to_string() const {
  char buffer[INET6_ADDRSTRLEN];
  const bool four = is_v4();
  return inet_ntop(four ? AF_INET : AF_INET6, four ? v4_octets() : octets.data(), buffer, sizeof buffer);
}

Result<SocketAddress> SocketAddress::parse(std::string_view text, std::uint16_t default_port) {
  std::string_view host = text;
  std::optional<std::string_view> port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find("]:");
    if (close == text.npos) return Failure(quoted(text) + " is not of the form [ADDRESS]:PORT");
    host = text.substr(1, close - 1);
    port = text.substr(close + 2);
    if (host.find(':') == host.npos) return Failure(quoted(text) + ": brackets are for IPv6 addresses");
  } else if (const std::size_t colon = text.find(':');
             colon != text.npos && text.find(':', colon + 1) == text.npos) {
    host = text.substr(0, colon);  // one colon alone: IPv6 addresses have two at least
    port = text.substr(colon + 1);
  }
  const Result<IpAddress> address = IpAddress::parse(host);
  if (!address) return Failure(address.error());
  if (!port) return SocketAddress{*address, default_port};
  const std::optional<unsigned> number = parse_number(*port, 65535);
  if (!number || *number == 0) return Failure(quoted(*port) + " is not a port from 1 to 65535");
  return SocketAddress{*address, static_cast<std::uint16_t>(*number)};
}

std::string SocketAddress::to_string() const {
  std::string text;
  text.append(address.is_v4() ? "" : "[").append(address.to_string()).append(address.is_v4() ? ":" : "]:");
  return text.append(std::to_string(port));
}

Result<Prefix> Prefix::parse_interface(std::string_view text) {
  const std::size_t slash = text.find('/');
  const Result<IpAddress> address = IpAddress::parse(text.substr(0, slash));
  if (!address) return Failure(address.error());
  if (slash == text.npos) return Prefix{*address, 128};
  const unsigned limit = address->is_v4() ? 32 : 128;
  const std::optional<unsigned> bits = parse_number(text.substr(slash + 1), limit);
  if (!bits) {
    return Failure(quoted(text) + ": the prefix length must be a number from 0 to " + std::to_string(limit));
  }
  return Prefix{*address, static_cast<std::uint8_t>(*bits + (address->is_v4() ? kMappedBits : 0))};
}

Result<Prefix> Prefix::parse(std::string_view text) {
  Result<Prefix> prefix = parse_interface(text);
  if (!prefix) return prefix;
  Prefix network = *prefix;
  for (unsigned i = 0; i < 16; ++i)
    network.address.octets[i] &= mask_of(network.length, i);
  if (network != *prefix) {
    return Failure(quoted(text) + " has bits set behind its prefix: the network is " + network.to_string());
  }
  return prefix;
}

bool Prefix::contains(const IpAddress& a) const {
  const unsigned whole = length / 8;
  if (std::memcmp(a.octets.data(), address.octets.data(), whole) != 0) return false;
  return whole == 16 || ((a.octets[whole] ^ address.octets[whole]) & mask_of(length, whole)) == 0;
}

std::string Prefix::to_string() const {
  return address.to_string() + "/" + std::to_string(is_v4() ? length - kMappedBits : length);
}

Result<MacAddress> MacAddress::parse(std::string_view text) {
  const auto wrong = [&] {
    return Failure(quoted(text) + " is not an Ethernet address such as 02:00:5e:00:00:01");
  };
  if (text.size() != 17) return wrong();
  MacAddress mac;
  for (std::size_t i = 0; i < 6; ++i) {
    const std::optional<unsigned> high = hex_digit(text[3 * i]), low = hex_digit(text[3 * i + 1]);
    if (!high || !low || (i < 5 && text[3 * i + 2] != ':')) return wrong();
    mac.octets[i] = static_cast<std::uint8_t>(*high << 4 | *low);
  }
  return mac;
}

std::string MacAddress::to_string() const {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (std::uint8_t octet : octets) {
    if (!text.empty()) text += ':';
    text += kDigits[octet >> 4];
    text += kDigits[octet & 0xf];
  }
  return text;
}

}  // namespace shunt
