// What single values of the configuration mean, beyond their type, and what is wrong with them in words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::conf {

// Checks for Reader::text: what is wrong, or an empty string.

/// A PCI address, or a DPDK virtual device with its arguments.
std::string check_device(std::string_view text);
/// A name for a kernel interface (IFNAMSIZ: 15 characters), or empty for none.
std::string check_interface(std::string_view text);
/// A name for a network namespace, or empty for the host's own.
std::string check_namespace(std::string_view text);
/// The path of a UNIX socket: absolute, and short enough for sockaddr_un.
std::string check_socket(std::string_view text);
/// "NAME TYPE", a question for a health check.
std::string check_probe(std::string_view text);
/// The path of a URL, without a query: "/dns-query".
std::string check_url_path(std::string_view text);
/// The name of a host as certificates have it, or an address.
std::string check_tls_name(std::string_view text);
std::string check_not_empty(std::string_view text);

// Parsers for Reader::value and Reader::list: their errors are sentences that name the text.

/// An address that a port can have, with its prefix length: "10.53.0.53/24".
Result<Prefix> parse_port_address(std::string_view text);
/// An address that one host can have: neither unspecified nor multicast nor IPv4 broadcast.
Result<IpAddress> parse_host(std::string_view text);
/// A target, `default_port` where none is given.
Result<SocketAddress> parse_target(std::string_view text, std::uint16_t default_port);
/// An address and port to listen on: the port must be there.
Result<std::pair<IpAddress, std::uint16_t>> parse_listen(std::string_view text);
/// The address of one station: not broadcast, not multicast, not zero.
Result<MacAddress> parse_station(std::string_view text);

bool is_loopback(const IpAddress& address);
/// 169.254.0.0/16 and fe80::/10.
bool is_link_local(const IpAddress& address);
/// The device without its arguments.
std::string_view device_name(std::string_view device);
/// As DPDK names it: a PCI address with its domain, in small letters.
std::string canonical_device(std::string_view device);

}  // namespace shunt::conf
