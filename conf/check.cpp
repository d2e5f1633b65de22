#include "conf/check.h"

#include <algorithm>
#include <bit>
#include <set>

#include "conf/reader.h"
#include "conf/values.h"
#include "dataplane/base/limits.h"

namespace shunt::conf {
namespace {

template <typename T>
void check_names(const Checking& c, std::string_view kind, const std::vector<T>& items, std::size_t most) {
  std::unordered_map<std::string_view, std::size_t> first;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].name.empty()) continue;
    const auto [other, is_new] = first.try_emplace(items[i].name, i);
    if (is_new) continue;
    c.report.error(c.places.at(kind, i, "name"),
                   fmt::format("[[{}]]: the name {} is taken", kind, in_quotes(items[i].name)),
                   fmt::format("the other one stands in line {}; each {} needs a name of its own",
                               c.places.at(kind, other->second, "name").line, kind));
  }
  if (items.size() > most)
    c.report.error(items[most].position,
                   fmt::format("there are {} [[{}]], at most {} are allowed", items.size(), kind, most),
                   "take some out");
}

/// What no configuration can do without.
void check_presence(const Checking& c) {
  const auto missing = [&c](bool is_missing, std::string_view kind, std::string_view example) {
    if (is_missing)
      c.report.error(
          {},
          fmt::format("there is no [[{}]]: a port, an inbound endpoint, an upstream and a network make a "
                      "configuration",
                      kind),
          std::string(example));
  };
  missing(!c.places.has("", 0, "port"), "port",
          R"(for example: [[port]] name = "lan" device = "0000:3b:00.0" addresses = ["10.53.0.53/24"])");
  missing(!c.places.has("", 0, "inbound"), "inbound",
          R"(for example: [[inbound]] name = "clients" addresses = ["10.53.0.53"] allow = ["10.0.0.0/8"])");
  missing(!c.places.has("", 0, "upstream"), "upstream",
          R"(for example: [[upstream]] name = "internet" targets = ["192.0.2.53"])");
  missing(!c.places.has("", 0, "network"), "network",
          R"(for example: [[network]] name = "prod" clients = ["10.1.0.0/16"] default = "internet")");
}

void check_memory(const Checking& c) {
  const Dataplane& d = c.config.dataplane;
  const std::uint64_t least = (least_memory(c.config) + (1u << 20) - 1) >> 20;
  if (d.memory >> 20 >= least) return;
  c.report.error(c.places.at("dataplane", 0, c.places.has("dataplane", 0, "memory") ? "memory" : "cache"),
                 fmt::format("[dataplane]: memory is {} MiB, but {} MiB of cache and {} with {} pending "
                             "queries and {} take {} MiB",
                             d.memory >> 20, d.cache >> 20, counted(d.workers.size(), "worker"), d.pending,
                             counted(c.config.ports.size(), "port"), least),
                 fmt::format("write memory = \"{}MiB\", or take less cache or fewer pending queries", least));
}

}  // namespace

std::uint64_t least_memory(const Config& config) {
  constexpr std::uint64_t kMebibyte = 1 << 20, kPerPending = 768, kPackets = 10 * kMebibyte;
  const Dataplane& d = config.dataplane;
  const std::uint64_t worker = kMebibyte + d.pending * kPerPending + config.ports.size() * kPackets;
  return d.cache + 42 * kMebibyte + d.workers.size() * worker;
}

int port_of(const Config& config, const IpAddress& address) {
  for (std::size_t p = 0; p < config.ports.size(); ++p)
    for (const Prefix& own : config.ports[p].addresses)
      if (own.address == address) return static_cast<int>(p);
  return -1;
}

void check_reference(const Checking& c, const Names& names, std::string_view name, std::string_view what,
                     const std::string& label, Position where) {
  if (name.empty() || !check_name(name).empty() || names.contains(name)) return;
  c.report.error(where, fmt::format("{}: there is no {} {}", label, what, in_quotes(name)),
                 hint_for(name, names.list(), fmt::format("{}s", what)));
}

void check_dataplane(const Checking& c) {
  const Dataplane& d = c.config.dataplane;
  std::set<unsigned> seen;
  for (std::size_t i = 0; i < d.workers.size(); ++i)
    if (!seen.insert(d.workers[i]).second)
      c.report.error(c.places.at("dataplane", 0, "workers", i),
                     fmt::format("[dataplane]: workers: core {} is named twice", d.workers[i]),
                     "one worker runs on each core: name each core once");
  if (d.workers.size() > kMaxWorkers)
    c.report.error(c.places.at("dataplane", 0, "workers"),
                   fmt::format("[dataplane]: workers: {} cores are named, at most {} are allowed",
                               d.workers.size(), kMaxWorkers),
                   "name fewer cores");
  if (seen.contains(d.control_core))
    c.report.warning(
        c.places.at("dataplane", 0,
                    c.places.has("dataplane", 0, "control_core") ? "control_core" : "workers"),
        fmt::format("[dataplane]: core {} is the control plane's, and a worker's", d.control_core),
        "a worker never leaves its core to others: choose a control_core that is not in workers");
  if (!std::has_single_bit(d.pending))
    c.report.error(c.places.at("dataplane", 0, "pending"),
                   fmt::format("[dataplane]: pending is {}, it must be a power of two", d.pending),
                   fmt::format("the next one is {}", std::bit_ceil(d.pending)));
  check_memory(c);
}

void check(const Checking& c, const LoadOptions& options, Loaded& loaded) {
  const Config& config = c.config;
  check_presence(c);
  check_names(c, "port", config.ports, kMaxPorts);
  check_names(c, "inbound", config.inbounds, kMaxEndpoints);
  check_names(c, "outbound", config.outbounds, kMaxEndpoints);
  check_names(c, "upstream", config.upstreams, kMaxUpstreams);
  check_names(c, "rules", config.rule_sets, kMaxNetworks);
  check_names(c, "network", config.networks, kMaxNetworks);
  check_dataplane(c);
  check_ports(c);
  check_endpoints(c);
  check_upstreams(c);
  check_networks(c);
  check_zones(c);
  check_rules(c, options, loaded);
}

}  // namespace shunt::conf
