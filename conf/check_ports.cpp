// Ports: devices, addresses, gateways, neighbours, mirrors.
#include <map>
#include <set>

#include "conf/check.h"
#include "conf/values.h"
#include "dataplane/base/limits.h"

namespace shunt::conf {
namespace {

/// Whether a station with `address` is a neighbour on the port's own wire.
bool is_on_link(const Port& port, const IpAddress& address) {
  if (is_link_local(address) && !address.is_v4()) return true;
  for (const Prefix& own : port.addresses)
    if (own.address.is_v4() == address.is_v4() && own.contains(address)) return true;
  return false;
}

bool has_neighbour(const Port& port, const IpAddress& address) {
  for (const auto& [known, mac] : port.neighbours)
    if (known == address) return true;
  return false;
}

void check_devices(const Checking& c) {
  std::map<std::string, std::size_t> devices, mirrors;
  for (std::size_t p = 0; p < c.config.ports.size(); ++p) {
    const Port& port = c.config.ports[p];
    if (!port.device.empty()) {
      const auto [other, is_new] = devices.try_emplace(std::string(device_name(port.device)), p);
      if (!is_new)
        c.report.error(
            c.places.at("port", p, "device"),
            fmt::format("{}: device {} is port {}'s already", title("port", port.name),
                        in_quotes(other->first), in_quotes(c.config.ports[other->second].name)),
            "one port takes a device whole: put all addresses into one [[port]], or number virtual devices "
            "apart (net_memif0, net_memif1)");
    }
    if (port.mirror.empty()) continue;
    const auto [other, is_new] = mirrors.try_emplace(port.mirror, p);
    if (!is_new)
      c.report.error(c.places.at("port", p, "mirror"),
                     fmt::format("{}: mirror {} is port {}'s already", title("port", port.name),
                                 in_quotes(port.mirror), in_quotes(c.config.ports[other->second].name)),
                     "give each port a mirror of its own: mirror = \"shunt-lan\"; without the key it is "
                     "\"shunt-\" and the port's "
                     "name, cut to 15 characters");
  }
}

void check_addresses(const Checking& c) {
  std::map<IpAddress, std::size_t> owners;
  for (std::size_t p = 0; p < c.config.ports.size(); ++p) {
    const Port& port = c.config.ports[p];
    for (std::size_t i = 0; i < port.addresses.size(); ++i) {
      const IpAddress& address = port.addresses[i].address;
      const auto [other, is_new] = owners.try_emplace(address, p);
      if (is_new) continue;
      const bool same = other->second == p;
      c.report.error(
          c.places.at("port", p, "addresses", i),
          fmt::format("{}: addresses: {} is {}", title("port", port.name), address.to_string(),
                      same ? "given twice"
                           : fmt::format("port {}'s already", in_quotes(c.config.ports[other->second].name))),
          "an address belongs to one port, once");
    }
  }
}

void check_gateways(const Checking& c, std::size_t p) {
  const Port& port = c.config.ports[p];
  const std::string label = title("port", port.name) + ": gateways";
  bool seen[2] = {};
  for (std::size_t i = 0; i < port.gateways.size(); ++i) {
    const IpAddress& gateway = port.gateways[i];
    const Position where = c.places.at("port", p, "gateways", i);
    if (seen[gateway.is_v4() ? 1 : 0])
      c.report.error(where,
                     fmt::format("{}: {} is a second gateway for IPv{}", label, gateway.to_string(),
                                 gateway.is_v4() ? 4 : 6),
                     "a port has one default route per family; further routes can be set on its mirror");
    seen[gateway.is_v4() ? 1 : 0] = true;
    if (port_of(c.config, gateway) >= 0) {
      c.report.error(where, fmt::format("{}: {} is an address of our own", label, gateway.to_string()),
                     "the gateway is the router that the port's network has");
    } else if (!port.addresses.empty() && !is_on_link(port, gateway)) {
      c.report.error(
          where, fmt::format("{}: {} is in none of the port's networks", label, gateway.to_string()),
          "a gateway lies within the prefix of one of the port's addresses; is a prefix length wrong?");
    }
    if (port.mirror.empty() && !has_neighbour(port, gateway))
      c.report.error(
          where,
          fmt::format("{}: {} has no entry in neighbours, and a port without a mirror finds no one by itself",
                      label, gateway.to_string()),
          fmt::format("add neighbours = {{ \"{}\" = \"02:00:5e:00:00:01\" }} with the gateway's MAC, or give "
                      "the port a mirror",
                      gateway.to_string()));
  }
}

void check_neighbours(const Checking& c, std::size_t p) {
  const Port& port = c.config.ports[p];
  const std::string label = title("port", port.name) + ": neighbours";
  std::set<IpAddress> seen;
  for (std::size_t i = 0; i < port.neighbours.size(); ++i) {
    const IpAddress& address = port.neighbours[i].first;
    const Position where = c.places.at("port", p, "neighbours", i);
    if (!seen.insert(address).second) {
      c.report.error(where, fmt::format("{}: {} is given twice", label, address.to_string()),
                     "one address, one MAC");
    } else if (port_of(c.config, address) >= 0) {
      c.report.error(where, fmt::format("{}: {} is an address of our own", label, address.to_string()),
                     "neighbours are others on the port's network");
    } else if (!port.addresses.empty() && !is_on_link(port, address)) {
      c.report.error(
          where, fmt::format("{}: {} is in none of the port's networks", label, address.to_string()),
          "only who is on the port's own network is a neighbour: give the gateway that leads there");
    }
  }
}

}  // namespace

void check_ports(const Checking& c) {
  check_devices(c);
  check_addresses(c);
  for (std::size_t p = 0; p < c.config.ports.size(); ++p) {
    check_gateways(c, p);
    check_neighbours(c, p);
  }
}

}  // namespace shunt::conf
