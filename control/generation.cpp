#include "control/generation.h"

#include <algorithm>
#include <array>
#include <map>

#include "conf/zone.h"
#include "dataplane/rules/trie_builder.h"

namespace shunt::control {
namespace {

state::Policy policy_of(conf::Policy policy) {
  switch (policy) {
    case conf::Policy::kRandom:
      return state::Policy::kRandom;
    case conf::Policy::kOrdered:
      return state::Policy::kOrdered;
    case conf::Policy::kFastest:
      return state::Policy::kFastest;
  }
  return state::Policy::kRandom;
}

state::OnAllDown all_down_of(conf::OnAllDown on_all_down) {
  switch (on_all_down) {
    case conf::OnAllDown::kServfail:
      return state::OnAllDown::kServfail;
    case conf::OnAllDown::kStale:
      return state::OnAllDown::kStale;
    case conf::OnAllDown::kDefault:
      return state::OnAllDown::kDefault;
  }
  return state::OnAllDown::kServfail;
}

// Which of the zones are a network's.
std::vector<std::uint32_t> zone_indices(const conf::Config& config, const std::string& network) {
  std::vector<std::uint32_t> indices;
  for (std::uint32_t i = 0; i < config.zones.size(); ++i) {
    const auto& networks = config.zones[i].networks;
    if (std::find(networks.begin(), networks.end(), network) != networks.end()) indices.push_back(i);
  }
  return indices;
}

// Assembles a snapshot, part by part, in the order in which they refer to each other.
class SnapshotMaker {
 public:
  SnapshotMaker(Generation& generation, std::uint64_t number, Registry& registry)
      : generation_(generation), config_(generation.config), registry_(registry) {
    snapshot_ = std::make_shared<state::Snapshot>();
    snapshot_->generation = number;
    snapshot_->queries_per_client = config_.limits.queries_per_client;
    snapshot_->queries_per_upstream = config_.limits.queries_per_upstream;
    snapshot_->queries_per_target = config_.limits.queries_per_target;
  }

  Result<std::shared_ptr<const state::Snapshot>> make() {
    if (auto added = add_endpoints(); !added) return Failure(added.error());
    add_local_addresses();
    if (auto added = add_upstreams(); !added) return Failure(added.error());
    add_networks();
    return std::shared_ptr<const state::Snapshot>(snapshot_);
  }

 private:
  Result<void> add_endpoints() {
    std::map<std::string, std::uint32_t> network_index;
    for (std::uint32_t i = 0; i < config_.networks.size(); ++i)
      network_index[config_.networks[i].name] = i;
    for (const conf::Inbound& inbound : config_.inbounds) {
      std::vector<std::pair<Prefix, std::uint32_t>> allow;
      for (const Prefix& prefix : inbound.allow)
        allow.emplace_back(prefix, 1);
      state::Endpoint endpoint;
      endpoint.allow = net::PrefixTable(allow);
      if (!inbound.network.empty()) endpoint.network = network_index.at(inbound.network);
      endpoint.name = inbound.name;
      const auto index = static_cast<std::uint16_t>(snapshot_->endpoints.size());
      snapshot_->endpoints.push_back(std::move(endpoint));
      if (auto added = add_listeners(inbound, index); !added) return added;
    }
    return {};
  }

  Result<void> add_listeners(const conf::Inbound& inbound, std::uint16_t index) {
    std::shared_ptr<const TlsContext> tls;
    if (inbound.tls) {
      auto context = registry_.tls(*inbound.tls);
      if (!context) return Failure(context.error());
      tls = std::move(*context);
    }
    for (const IpAddress& address : inbound.addresses) {
      if (!is_mirrored(address)) continue;
      auto& listeners = generation_.tcp_endpoints;
      listeners.push_back({{address, kDnsPort}, index});
      if (tls == nullptr) continue;
      listeners.push_back({{address, kDnsOverTlsPort}, index, StreamKind::kTls, tls});
      listeners.push_back({{address, kDnsOverHttpsPort}, index, StreamKind::kHttps, tls});
    }
    return {};
  }

  // TCP is the kernel's, and it has only what the mirrors have.
  bool is_mirrored(const IpAddress& address) const {
    for (const conf::Port& port : config_.ports) {
      for (const Prefix& prefix : port.addresses) {
        if (prefix.address == address) return !port.mirror.empty();
      }
    }
    return false;
  }

  void add_local_addresses() {
    for (const conf::Port& port : config_.ports) {
      std::vector<net::LocalAddress> local;
      for (const Prefix& prefix : port.addresses)
        local.push_back(describe(prefix.address));
      snapshot_->local.emplace_back(local);
      snapshot_->vlans.push_back(port.vlan);
    }
  }

  net::LocalAddress describe(const IpAddress& address) const {
    net::LocalAddress local{.address = address};
    for (std::size_t i = 0; i < config_.inbounds.size(); ++i) {
      const auto& addresses = config_.inbounds[i].addresses;
      if (std::find(addresses.begin(), addresses.end(), address) != addresses.end()) {
        local.endpoint = static_cast<std::uint16_t>(i);
        local.encrypted = config_.inbounds[i].tls.has_value();
      }
    }
    for (const conf::Outbound& outbound : config_.outbounds) {
      const auto& addresses = outbound.addresses;
      local.outbound |= std::find(addresses.begin(), addresses.end(), address) != addresses.end();
    }
    return local;
  }

  Result<void> add_upstreams() {
    for (const conf::Upstream& from : config_.upstreams) {
      auto handle = registry_.handle(from.name);
      if (!handle) return Failure(handle.error());
      if (snapshot_->upstreams.size() <= *handle) snapshot_->upstreams.resize(*handle + 1);
      if (auto added = add_upstream(from, *handle); !added) return added;
      generation_.upstream_handles.push_back(*handle);
      if (auto added = add_trust(from); !added) return added;
    }
    return {};
  }

  Result<void> add_trust(const conf::Upstream& from) {
    std::shared_ptr<const UpstreamTrust> trust;
    if (from.protocol == conf::Protocol::kTls) {
      auto created = UpstreamTrust::create(from.tls_trust);
      if (!created) return Failure("upstream \"" + from.name + "\": " + created.error());
      trust = std::move(*created);
    }
    generation_.trusts.push_back(std::move(trust));
    return {};
  }

  Result<void> add_upstream(const conf::Upstream& from, std::uint32_t handle) {
    const auto outbound = std::find_if(config_.outbounds.begin(), config_.outbounds.end(),
                                       [&](const conf::Outbound& o) { return o.name == from.outbound; });
    state::Upstream& to = snapshot_->upstreams[handle];
    const std::vector<IpAddress> sources =
        from.outbound.empty() ? std::vector<IpAddress>{} : outbound->addresses;
    to.handle = handle;
    to.origin = registry_.origin(from, sources);
    to.exists = true;
    to.through_host = from.outbound.empty();
    to.over_streams = from.protocol != conf::Protocol::kUdp;
    to.by_control = to.through_host || to.over_streams;
    to.policy = policy_of(from.policy);
    to.on_all_down = all_down_of(from.on_all_down);
    if (!to.through_host) {
      to.first_port = outbound->first_port;
      to.last_port = outbound->last_port;
    }
    to.timeout_ms = from.timeout_ms;
    to.min_ttl = from.ttl.min;
    to.max_ttl = from.ttl.max;
    to.failure_ttl = from.ttl.failure;
    to.stale_ttl = from.ttl.stale;
    to.prefetch = from.prefetch;
    to.name = from.name;
    for (const SocketAddress& address : from.targets) {
      auto id = registry_.target(snapshot_->generation, from.name, address);
      if (!id) return Failure(id.error());
      to.targets.push_back(make_target(address, *id, sources));
    }
    return {};
  }

  state::Target make_target(const SocketAddress& address, std::uint32_t id,
                            const std::vector<IpAddress>& sources) {
    state::Target target;
    target.address = address;
    target.id = id;
    target.first_path = static_cast<std::uint32_t>(snapshot_->paths.size());
    for (const IpAddress& source : sources) {
      if (source.is_v4() != address.address.is_v4()) continue;
      snapshot_->paths.push_back({source, address});
      generation_.routes.push_back({source, address.address});
      ++target.paths;
    }
    return target;
  }

  const rules::RuleSet* zones_of(const std::string& network) const {
    const auto found = generation_.zone_sets.find(zone_indices(config_, network));
    return found == generation_.zone_sets.end() ? nullptr : found->second.get();
  }

  void add_networks() {
    std::map<std::string, std::shared_ptr<const conf::BuiltRuleSet>> by_name;
    for (const auto& set : generation_.rule_sets) {
      by_name[set->name] = set;
      snapshot_->keep.push_back(set);
    }
    snapshot_->keep.push_back(generation_.builtin);
    for (const auto& [zones, set] : generation_.zone_sets)
      snapshot_->keep.push_back(set);
    std::vector<std::pair<Prefix, std::uint32_t>> clients;
    // Networks whose names all lead to the same origins share the answers that are known to be right for one.
    std::map<std::pair<rules::Association, std::uint32_t>, state::Routing> routings;
    for (const conf::Network& from : config_.networks) {
      const auto index = static_cast<std::uint32_t>(snapshot_->networks.size());
      for (const Prefix& prefix : from.clients)
        clients.emplace_back(prefix, index);
      state::Network to;
      for (const std::string& name : from.rules)
        to.rules.add(*by_name.at(name)->set, by_name.at(name)->watches.get());
      to.rules.set_zones(zones_of(from.name));
      if (from.autodefined) to.rules.set_builtin(generation_.builtin.get());
      if (!from.default_upstream.empty()) to.default_upstream = *registry_.handle(from.default_upstream);
      auto& routing = routings[{to.rules, to.default_upstream}];
      if (routing == state::kNoRouting) routing = registry_.next_routing();
      to.routing = routing;
      to.name = from.name;
      snapshot_->networks.push_back(std::move(to));
    }
    snapshot_->clients = net::PrefixTable(clients);
  }

  Generation& generation_;
  const conf::Config& config_;
  Registry& registry_;
  std::shared_ptr<state::Snapshot> snapshot_;
};

}  // namespace

const conf::BuiltRuleSet* Generation::find_set(const rules::RuleSet* set) const {
  for (const auto& built : rule_sets) {
    if (built->set.get() == set || (set != nullptr && built->watches.get() == set)) return built.get();
  }
  return nullptr;
}

const conf::RuleSet* Generation::source_of(const conf::BuiltRuleSet* set) const {
  for (std::size_t i = 0; i < rule_sets.size(); ++i) {
    if (rule_sets[i].get() == set) return &config.rule_sets[i];
  }
  return nullptr;
}

conf::LoadOptions load_options(const dns::HashKey& key, Registry& registry,
                               std::initializer_list<const Generation*> held) {
  conf::LoadOptions options;
  options.key = key;
  options.handle_of = [&registry](const std::string& name) { return registry.handle(name); };
  for (const Generation* generation : held) {
    if (generation == nullptr) continue;
    for (std::size_t i = 0; i < generation->rule_sets.size(); ++i)
      options.known.push_back({&generation->config.rule_sets[i], generation->rule_sets[i]});
  }
  return options;
}

const conf::Zone* Generation::zone_of(std::uint32_t network, const dns::Name& name,
                                      const dns::HashKey& key) const {
  const rules::Association& network_rules = snapshot->networks[network].rules;
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
  dns::hash_suffixes(key, name, hashes.data());
  rules::Match match = network_rules.find(name, hashes.data());
  const rules::RuleSet* set = network_rules.set_of(match);
  if (set != nullptr && set->rule(match.rule).action == rules::Action::kSystem) {
    match = network_rules.find_system(name, hashes.data());
    set = network_rules.set_of(match);
  }
  if (set == nullptr || set->rule(match.rule).action != rules::Action::kZone) return nullptr;
  return config.zones[set->rule(match.rule).argument].zone.get();
}

std::optional<std::uint32_t> find_successor(const Generation& before, std::uint32_t index,
                                            const Generation& after) {
  const auto& old = before.snapshot->networks;
  const auto& fresh = after.snapshot->networks;
  std::optional<std::uint32_t> successor;
  for (const state::Network& network : old) {
    if (network.routing != old[index].routing) continue;
    const auto found = std::ranges::find(fresh, network.name, &state::Network::name);
    if (found == fresh.end() || (successor && fresh[*successor].routing != found->routing)) return {};
    successor = static_cast<std::uint32_t>(found - fresh.begin());
  }
  return successor;
}

namespace {

// Zone apexes take part in the match as implicit rules; networks with the same zones share them.
void build_zone_rules(Generation& generation, const dns::HashKey& key) {
  const conf::Config& config = generation.config;
  for (const conf::Network& network : config.networks) {
    std::vector<std::uint32_t> indices = zone_indices(config, network.name);
    if (indices.empty() || generation.zone_sets.contains(indices)) continue;
    rules::RuleSetBuilder builder(key);
    for (const std::uint32_t i : indices)
      builder.add(config.zones[i].zone->apex(), rules::Cover::kSuffix, rules::Action::kZone, i, 0);
    generation.zone_sets.emplace(std::move(indices), builder.build());
  }
}

Result<std::shared_ptr<const Generation>> finish(std::shared_ptr<Generation> generation, std::uint64_t number,
                                                 const dns::HashKey& key, Registry& registry) {
  for (const auto& set : generation->rule_sets)
    generation->rules += set->rules();
  generation->builtin = conf::build_builtin_rules(key);
  build_zone_rules(*generation, key);
  auto snapshot = SnapshotMaker(*generation, number, registry).make();
  if (!snapshot) return Failure(snapshot.error());
  generation->snapshot = *snapshot;
  generation->countable = list_countable(*generation);
  return std::shared_ptr<const Generation>(std::move(generation));
}

}  // namespace

Result<std::shared_ptr<const Generation>> make_generation(conf::Config config, conf::BuiltRuleSets rule_sets,
                                                          std::uint64_t number, const dns::HashKey& key,
                                                          Registry& registry) {
  auto generation = std::make_shared<Generation>();
  generation->config = std::move(config);
  generation->rule_sets = std::move(rule_sets);
  generation->read_as = number;
  return finish(std::move(generation), number, key, registry);
}

Result<std::shared_ptr<const Generation>> make_again(const Generation& earlier, std::uint64_t number,
                                                     const dns::HashKey& key, Registry& registry) {
  auto generation = std::make_shared<Generation>();
  generation->config = earlier.config;
  generation->rule_sets = earlier.rule_sets;
  generation->read_as = earlier.read_as;
  return finish(std::move(generation), number, key, registry);
}

}  // namespace shunt::control
