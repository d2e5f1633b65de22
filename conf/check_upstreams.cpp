// Upstreams and their targets.
#include <algorithm>
#include <map>
#include <set>

#include "conf/check.h"
#include "conf/values.h"
#include "dataplane/base/limits.h"

namespace shunt::conf {
namespace {

const Outbound* outbound_of(const Config& config, const std::string& name) {
  const auto found = std::find_if(config.outbounds.begin(), config.outbounds.end(),
                                  [&name](const Outbound& o) { return o.name == name; });
  return found == config.outbounds.end() ? nullptr : &*found;
}

const Inbound* inbound_of(const Config& config, const IpAddress& address) {
  for (const Inbound& inbound : config.inbounds)
    if (std::find(inbound.addresses.begin(), inbound.addresses.end(), address) != inbound.addresses.end())
      return &inbound;
  return nullptr;
}

/// A target on our own addresses: nobody answers there, or we do, again and again.
bool check_loop(const Checking& c, const std::string& label, const SocketAddress& target, Position where) {
  const Inbound* inbound = inbound_of(c.config, target.address);
  if (inbound != nullptr && target.port == kDnsPort) {
    c.report.error(where,
                   fmt::format("{}: {} leads back here: it is inbound endpoint {}'s", label,
                               target.to_string(), in_quotes(inbound->name)),
                   "targets are other servers");
    return false;
  }
  if (inbound != nullptr || port_of(c.config, target.address) >= 0) {
    c.report.error(
        where,
        fmt::format("{}: {} is an address of our own, where nobody answers", label, target.to_string()),
        "targets are other servers");
    return false;
  }
  return true;
}

void check_reach(const Checking& c, const std::string& label, const Outbound& outbound,
                 const IpAddress& target, Position where) {
  if (is_loopback(target)) {
    c.report.error(where,
                   fmt::format("{}: {} is this host itself, no port leads there", label, target.to_string()),
                   "without outbound the upstream is asked through the host's own network");
    return;
  }
  const auto same_family = [&target](const IpAddress& own) { return own.is_v4() == target.is_v4(); };
  if (outbound.addresses.empty()) return;
  if (!std::any_of(outbound.addresses.begin(), outbound.addresses.end(), same_family)) {
    c.report.error(where,
                   fmt::format("{}: {} can't be reached: outbound endpoint {} has no IPv{} address", label,
                               target.to_string(), in_quotes(outbound.name), target.is_v4() ? 4 : 6),
                   "add an address of that family to the outbound endpoint, or take the target out");
    return;
  }
  // Where the kernel finds no neighbours for us, each path needs one that is written down.
  for (const IpAddress& own : outbound.addresses) {
    const int p = port_of(c.config, own);
    if (p < 0 || !same_family(own)) continue;
    const Port& port = c.config.ports[static_cast<std::size_t>(p)];
    if (!port.mirror.empty()) continue;
    const auto known = [&](const auto& neighbour) { return neighbour.first == target; };
    const bool has_gateway = std::any_of(port.gateways.begin(), port.gateways.end(), same_family);
    const bool on_link = std::any_of(port.addresses.begin(), port.addresses.end(), [&](const Prefix& prefix) {
      return prefix.address.is_v4() == target.is_v4() && prefix.contains(target);
    });
    if ((on_link || !has_gateway) && std::none_of(port.neighbours.begin(), port.neighbours.end(), known))
      c.report.warning(
          where,
          fmt::format(
              "{}: {} stays down: port {} has no mirror, and neither a neighbour nor a gateway for it", label,
              target.to_string(), in_quotes(port.name)),
          "add the target or a gateway to the port's neighbours, or give the port a mirror");
  }
}

void check_targets(const Checking& c, std::size_t n) {
  const Upstream& upstream = c.config.upstreams[n];
  const std::string label = title("upstream", upstream.name) + ": targets";
  const Outbound* outbound = outbound_of(c.config, upstream.outbound);
  std::set<SocketAddress> seen;
  for (std::size_t i = 0; i < upstream.targets.size(); ++i) {
    const SocketAddress& target = upstream.targets[i];
    const Position where = c.places.at("upstream", n, "targets", i);
    if (!seen.insert(target).second)
      c.report.error(where, fmt::format("{}: {} is given twice", label, target.to_string()),
                     "give each target once");
    else if (check_loop(c, label, target, where) && outbound != nullptr)
      check_reach(c, label, *outbound, target.address, where);
  }
  if (upstream.targets.size() > kMaxTargetsPerUpstream)
    c.report.error(c.places.at("upstream", n, "targets", kMaxTargetsPerUpstream),
                   fmt::format("{}: there are {}, at most {} are allowed", label, upstream.targets.size(),
                               kMaxTargetsPerUpstream),
                   "take some out");
}

/// What "tls" needs, and what the others have no use for.
void check_protocol(const Checking& c, std::size_t n) {
  const Upstream& upstream = c.config.upstreams[n];
  const std::string label = title("upstream", upstream.name);
  if (upstream.protocol == Protocol::kTls) {
    if (upstream.tls_name.empty() && !c.places.has("upstream", n, "tls_name"))
      c.report.error(c.places.at("upstream", n, "protocol"),
                     fmt::format("{}: protocol \"tls\" needs tls_name", label),
                     "tls_name = \"dns.corp.example\": the name (or address) that the targets' certificates "
                     "must have");
  } else {
    for (const std::string_view key : {"tls_name", "tls_ca"})
      if (c.places.has("upstream", n, key))
        c.report.error(c.places.at("upstream", n, key),
                       fmt::format("{}: {} is for protocol \"tls\" only", label, key),
                       "add protocol = \"tls\", or leave it out");
  }
  const Outbound* outbound = outbound_of(c.config, upstream.outbound);
  if (upstream.protocol == Protocol::kUdp || outbound == nullptr) return;
  for (const IpAddress& own : outbound->addresses) {
    const int p = port_of(c.config, own);
    if (p < 0 || !c.config.ports[static_cast<std::size_t>(p)].mirror.empty()) continue;
    c.report.error(c.places.at("upstream", n, "protocol"),
                   fmt::format("{}: port {} has no mirror, and TCP and TLS need one", label,
                               in_quotes(c.config.ports[static_cast<std::size_t>(p)].name)),
                   "give the port a mirror, or leave outbound out: then the host's own network is used");
    return;
  }
}

/// Targets of all upstreams have a place each in an array of fixed size, equal ones the same.
void check_number_of_targets(const Checking& c) {
  std::set<std::pair<std::string_view, SocketAddress>> targets;
  for (std::size_t n = 0; n < c.config.upstreams.size(); ++n) {
    const Upstream& upstream = c.config.upstreams[n];
    for (const SocketAddress& target : upstream.targets)
      targets.emplace(upstream.outbound, target);
    if (targets.size() <= kMaxTargets) continue;
    c.report.error(upstream.position,
                   fmt::format("{}: the upstreams up to this one have more than {} targets",
                               title("upstream", upstream.name), kMaxTargets),
                   "take some out, or let upstreams share targets");
    return;
  }
}

/// What no other part of the file names; allowed, and probably an oversight.
void check_use(const Checking& c) {
  std::set<std::string_view> outbounds;
  for (const Upstream& upstream : c.config.upstreams)
    outbounds.insert(upstream.outbound);
  for (const Outbound& outbound : c.config.outbounds)
    if (!outbound.name.empty() && !outbounds.contains(outbound.name))
      c.report.warning(outbound.position,
                       fmt::format("{}: no upstream uses it", title("outbound", outbound.name)),
                       fmt::format("name it in an upstream: outbound = {}", in_quotes(outbound.name)));
}

/// What on_all_down needs, and what only it needs.
void check_all_down(const Checking& c, std::size_t n) {
  const Upstream& upstream = c.config.upstreams[n];
  const std::string label = title("upstream", upstream.name);
  const Position where = c.places.at("upstream", n, "on_all_down");
  if (upstream.on_all_down != OnAllDown::kStale && c.places.has("ttl", n, "stale"))
    c.report.warning(c.places.at("ttl", n, "stale"),
                     fmt::format("{}: ttl: stale has no effect: expired answers are not served", label),
                     "add on_all_down = \"stale\", or leave it out");
  if (upstream.on_all_down == OnAllDown::kStale && (c.config.dataplane.cache == 0 || upstream.ttl.stale == 0))
    c.report.warning(where,
                     fmt::format("{}: on_all_down = \"stale\" has no effect: {}", label,
                                 upstream.ttl.stale == 0 ? "ttl says stale = 0" : "the cache is off"),
                     "on_all_down = \"servfail\" says the same");
  if (upstream.on_all_down != OnAllDown::kDefault) return;
  const auto& networks = c.config.networks;
  const bool any = std::any_of(networks.begin(), networks.end(), [&](const Network& network) {
    return !network.default_upstream.empty() && network.default_upstream != upstream.name;
  });
  if (!any)
    c.report.warning(
        where,
        fmt::format("{}: on_all_down = \"default\" has no effect: no network has another upstream "
                    "as its default",
                    label),
        "give a network a default, or leave it out");
}

}  // namespace

void check_upstreams(const Checking& c) {
  const Names outbounds(c.config.outbounds);
  for (std::size_t n = 0; n < c.config.upstreams.size(); ++n) {
    const Upstream& upstream = c.config.upstreams[n];
    const std::string label = title("upstream", upstream.name);
    check_reference(c, outbounds, upstream.outbound, "outbound endpoint", label + ": outbound",
                    c.places.at("upstream", n, "outbound"));
    check_targets(c, n);
    check_protocol(c, n);
    check_all_down(c, n);
    if (upstream.ttl.min > upstream.ttl.max)
      c.report.error(
          c.places.at("ttl", n, c.places.has("ttl", n, "min") ? "min" : "max"),
          fmt::format("{}: ttl: min is {}, more than max, {}", label, upstream.ttl.min, upstream.ttl.max),
          "for example: ttl = { min = 0, max = 86400 }");
  }
  check_number_of_targets(c);
  check_use(c);
}

}  // namespace shunt::conf
