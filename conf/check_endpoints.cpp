// Inbound and outbound endpoints.
#include <map>
#include <set>
#include <utility>

#include "conf/check.h"
#include "dataplane/base/limits.h"

namespace shunt::conf {
namespace {

/// Fewer source ports than this for a worker make forged answers easier (RFC 5452 section 9.2).
constexpr std::size_t kFewPortsPerWorker = 4096;

/// All addresses of the ports, for hints.
std::string own_addresses(const Config& config) {
  constexpr int kMostListed = 8;
  std::string list;
  int listed = 0;
  for (const Port& port : config.ports)
    for (const Prefix& own : port.addresses)
      if (++listed <= kMostListed)
        list += fmt::format("{}{}", listed == 1 ? "" : ", ", own.address.to_string());
  if (listed > kMostListed) list += ", ...";
  return listed == 0
             ? "add it to a port's addresses, with its prefix length"
             : fmt::format("the ports have {}; or add it to a port's addresses, with its prefix length",
                           list);
}

void check_ours(const Checking& c, const std::string& label, const IpAddress& address, Position where) {
  if (port_of(c.config, address) < 0)
    c.report.error(where, fmt::format("{}: {} is not an address of any port", label, address.to_string()),
                   own_addresses(c.config));
}

void check_inbounds(const Checking& c, std::set<std::string_view>& used_networks) {
  const Names networks(c.config.networks);
  std::map<IpAddress, std::size_t> owners;
  for (std::size_t n = 0; n < c.config.inbounds.size(); ++n) {
    const Inbound& inbound = c.config.inbounds[n];
    const std::string label = title("inbound", inbound.name) + ": addresses";
    for (std::size_t i = 0; i < inbound.addresses.size(); ++i) {
      const IpAddress& address = inbound.addresses[i];
      const Position where = c.places.at("inbound", n, "addresses", i);
      check_ours(c, label, address, where);
      const auto [other, is_new] = owners.try_emplace(address, n);
      if (is_new) continue;
      c.report.error(where,
                     other->second == n
                         ? fmt::format("{}: {} is given twice", label, address.to_string())
                         : fmt::format("{}: {} is inbound endpoint {}'s already", label, address.to_string(),
                                       in_quotes(c.config.inbounds[other->second].name)),
                     "a query's destination names its endpoint: an address belongs to one, once");
    }
    check_reference(c, networks, inbound.network, "network", title("inbound", inbound.name) + ": network",
                    c.places.at("inbound", n, "network"));
    used_networks.insert(inbound.network);
  }
}

void check_outbound(const Checking& c, std::size_t n) {
  const Outbound& outbound = c.config.outbounds[n];
  const std::string label = title("outbound", outbound.name);
  std::set<IpAddress> seen;
  for (std::size_t i = 0; i < outbound.addresses.size(); ++i) {
    const Position where = c.places.at("outbound", n, "addresses", i);
    check_ours(c, label + ": addresses", outbound.addresses[i], where);
    if (!seen.insert(outbound.addresses[i]).second)
      c.report.error(
          where, fmt::format("{}: addresses: {} is given twice", label, outbound.addresses[i].to_string()),
          "give each address once");
  }
  if (outbound.addresses.size() > kMaxOutboundAddresses)
    c.report.error(c.places.at("outbound", n, "addresses", kMaxOutboundAddresses),
                   fmt::format("{}: addresses: there are {}, at most {} are allowed", label,
                               outbound.addresses.size(), kMaxOutboundAddresses),
                   "spread them over several outbound endpoints");
  const std::size_t ports = std::size_t{outbound.last_port} - outbound.first_port + 1u;
  const std::size_t workers = c.config.dataplane.workers.size();
  if (workers > 0 && !seen.empty() && ports * seen.size() / workers < kFewPortsPerWorker)
    c.report.warning(
        c.places.at("outbound", n, "source_ports"),
        fmt::format("{}: source_ports: {} and {} for {}: fewer than {} each make forged answers easier",
                    label, counted(ports, "port"), counted(seen.size(), "address"),
                    counted(workers, "worker"), kFewPortsPerWorker),
        "widen source_ports, or give several outbound addresses");
}

}  // namespace

void check_endpoints(const Checking& c) {
  std::set<std::string_view> used_networks;
  check_inbounds(c, used_networks);
  for (std::size_t n = 0; n < c.config.outbounds.size(); ++n)
    check_outbound(c, n);
  for (std::size_t n = 0; n < c.config.networks.size(); ++n) {
    const Network& network = c.config.networks[n];
    if (!c.places.has("network", n, "clients") && !used_networks.contains(network.name))
      c.report.error(
          network.position,
          fmt::format("{}: clients is missing, and no inbound endpoint names this network",
                      title("network", network.name)),
          R"(give it clients = ["10.1.0.0/16"], or an inbound endpoint network = "NAME": else no query belongs to it)");
  }
}

}  // namespace shunt::conf
