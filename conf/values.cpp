#include "conf/values.h"

#include <fmt/format.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>

#include "conf/reader.h"
#include "conf/record_type.h"
#include "dataplane/dns/name.h"

namespace shunt::conf {
namespace {

bool is_hex(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/// "3b:00.0" or "0000:3b:00.0", as a pattern: x is a hexadecimal digit, 7 an octal one.
bool is_pci(std::string_view text) {
  const auto like = [text](std::string_view pattern) {
    if (text.size() != pattern.size()) return false;
    for (std::size_t i = 0; i < text.size(); ++i) {
      const bool fits = pattern[i] == 'x'   ? is_hex(text[i])
                        : pattern[i] == '7' ? text[i] >= '0' && text[i] <= '7'
                                            : text[i] == pattern[i];
      if (!fits) return false;
    }
    return true;
  };
  return like("xx:xx.7") || like("xxxx:xx:xx.7");
}

bool is_unspecified(const IpAddress& a) {
  static constexpr std::uint8_t kZero[16] = {};
  return a.is_v4() ? std::memcmp(a.v4_octets(), kZero, 4) == 0 : std::memcmp(a.octets.data(), kZero, 16) == 0;
}

bool is_multicast(const IpAddress& a) {
  return a.is_v4() ? a.v4_octets()[0] >> 4 == 0xe : a.octets[0] == 0xff;
}

bool is_broadcast(const IpAddress& a) {
  static constexpr std::uint8_t kOnes[4] = {0xff, 0xff, 0xff, 0xff};
  return a.is_v4() && std::memcmp(a.v4_octets(), kOnes, 4) == 0;
}

std::string what_is_not_a_host(const IpAddress& a) {
  if (is_unspecified(a)) return "is no host's address";
  if (is_multicast(a)) return "is a multicast address";
  if (is_broadcast(a)) return "is the broadcast address";
  return {};
}

/// The address with the host bits of its prefix all zeros or all ones.
IpAddress with_host_bits(const Prefix& p, bool ones) {
  IpAddress a = p.address;
  for (unsigned bit = p.length; bit < 128; ++bit) {
    const auto mask = static_cast<std::uint8_t>(0x80u >> (bit % 8));
    a.octets[bit / 8] =
        static_cast<std::uint8_t>(ones ? a.octets[bit / 8] | mask : a.octets[bit / 8] & ~mask);
  }
  return a;
}

}  // namespace

std::string check_url_path(std::string_view text) {
  if (!text.starts_with('/')) return "it must begin with a slash";
  if (text.size() > 255) return "it is longer than 255 characters";
  // RFC 3986 section 3.3; what would need an escape has none here.
  constexpr std::string_view kMore = "/-._~!$&'()*+,;=:@";
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!plain && kMore.find(c) == std::string_view::npos)
      return fmt::format("{} can't stand in it", in_quotes(std::string_view(&c, 1)));
  }
  return {};
}

std::string check_not_empty(std::string_view text) {
  return text.empty() ? "it is empty" : "";
}

std::string check_device(std::string_view text) {
  const std::string_view device = device_name(text);
  if (text.size() > 512) return "it is longer than 512 characters";
  if (is_pci(device)) return {};
  const bool is_virtual = device.starts_with("net_");
  if (is_virtual && device.size() > 4 && device.size() < 64 && check_name(device).empty()) return {};
  if (!device.empty() && check_interface(device).empty() && !is_virtual)
    return fmt::format(
        "it is neither a PCI address nor a DPDK virtual device; for a kernel interface write "
        "\"net_af_xdp0,iface={0}\" or \"net_af_packet0,iface={0}\"",
        device);
  return "it is neither a PCI address (\"0000:3b:00.0\") nor a DPDK virtual device "
         "(\"net_af_xdp0,iface=eth1\")";
}

std::string_view device_name(std::string_view device) {
  return device.substr(0, device.find(','));
}

std::string canonical_device(std::string_view device) {
  std::string name(device_name(device));
  if (is_pci(name)) {
    if (name.size() == std::strlen("3b:00.0")) name = "0000:" + name;
    std::transform(name.begin(), name.end(), name.begin(),
                   [](char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; });
  }
  return name + std::string(device.substr(device_name(device).size()));
}

std::string check_interface(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() > 15)
    return fmt::format("it has {} characters, an interface's name has at most 15", text.size());
  if (text == "." || text == "..") return "that can't name an interface";
  return check_name(text);
}

std::string check_namespace(std::string_view text) {
  if (text.empty()) return {};
  if (text == "." || text == "..") return "that can't name a network namespace";
  return check_name(text);
}

std::string check_socket(std::string_view text) {
  if (!text.starts_with('/')) return "it must be an absolute path";
  constexpr std::size_t kMost = sizeof(sockaddr_un::sun_path) - 1;
  if (text.size() > kMost)
    return fmt::format("it has {} octets, a socket's path has at most {}", text.size(), kMost);
  return {};
}

std::string check_probe(std::string_view text) {
  const std::size_t space = text.find_first_of(" \t");
  const std::size_t behind = text.find_first_not_of(" \t", space);
  if (space == 0 || space == std::string_view::npos || behind == std::string_view::npos)
    return "a name and a type are needed";
  const std::string_view name = text.substr(0, space);
  const std::string type(text.substr(behind));
  if (const auto parsed = dns::parse_name(name); !parsed)
    return fmt::format("{} is not a name: {}", in_quotes(name), parsed.error());
  if (read_type(type) == 0) return fmt::format("{} is not a record type", in_quotes(type));
  if (parse_type(type) == 0) return fmt::format("{} can't be asked for here", in_quotes(type));
  return {};
}

std::string check_tls_name(std::string_view text) {
  if (IpAddress::parse(text)) return {};
  if (text.empty()) return "it is empty";
  const auto is_of_a_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.';
  };
  // A wildcard stands in a certificate, and never for the name that is looked for.
  if (text.find('*') != std::string_view::npos) return "the name of one host is needed, not a wildcard";
  if (!std::all_of(text.begin(), text.end(), is_of_a_name))
    return "a host's name has letters, digits, hyphens and dots";
  const auto name = dns::parse_name(text);
  if (!name) return name.error();
  if (name->length <= 1) return "the root is no host";
  return {};
}

Result<Prefix> parse_port_address(std::string_view text) {
  const auto wrong = [text](std::string_view why) {
    return Failure(fmt::format("{} {}", in_quotes(text), why));
  };
  if (text.find('/') == std::string_view::npos) return wrong("has no prefix length, such as /24");
  Result<Prefix> p = Prefix::parse_interface(text);
  if (!p) return p;
  if (const std::string why = what_is_not_a_host(p->address); !why.empty()) return wrong(why);
  if (is_loopback(p->address)) return wrong("is a loopback address");
  const unsigned bits = p->is_v4() ? p->length - 96u : p->length;
  if (bits == 0) return wrong("would make the whole world on-link");
  if (p->is_v4() && bits < 31) {
    if (p->address == with_host_bits(*p, false)) return wrong("is the network's own address, no host's");
    if (p->address == with_host_bits(*p, true)) return wrong("is the network's broadcast address");
  }
  return p;
}

Result<IpAddress> parse_host(std::string_view text) {
  Result<IpAddress> a = IpAddress::parse(text);
  if (!a) return a;
  if (const std::string why = what_is_not_a_host(*a); !why.empty())
    return Failure(fmt::format("{} {}", in_quotes(text), why));
  return a;
}

Result<SocketAddress> parse_target(std::string_view text, std::uint16_t default_port) {
  Result<SocketAddress> a = SocketAddress::parse(text, default_port);
  if (!a) return a;
  if (const std::string why = what_is_not_a_host(a->address); !why.empty())
    return Failure(fmt::format("{} {}", in_quotes(text), why));
  return a;
}

Result<std::pair<IpAddress, std::uint16_t>> parse_listen(std::string_view text) {
  const Result<SocketAddress> a = SocketAddress::parse(text, 0);
  if (!a) return Failure(a.error());
  if (a->port == 0) return Failure(fmt::format("{} has no port", in_quotes(text)));
  return std::pair(a->address, a->port);
}

Result<MacAddress> parse_station(std::string_view text) {
  Result<MacAddress> mac = MacAddress::parse(text);
  if (!mac) return mac;
  if ((mac->octets[0] & 1) != 0)
    return Failure(fmt::format("{} is a group address, no station's", in_quotes(text)));
  if (mac->octets == MacAddress{}.octets)
    return Failure(fmt::format("{} is no station's address", in_quotes(text)));
  return mac;
}

bool is_loopback(const IpAddress& a) {
  static constexpr std::uint8_t kOne[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  return a.is_v4() ? a.v4_octets()[0] == 127 : std::memcmp(a.octets.data(), kOne, 16) == 0;
}

bool is_link_local(const IpAddress& a) {
  if (a.is_v4()) return a.v4_octets()[0] == 169 && a.v4_octets()[1] == 254;
  return a.octets[0] == 0xfe && (a.octets[1] & 0xc0) == 0x80;
}

}  // namespace shunt::conf
