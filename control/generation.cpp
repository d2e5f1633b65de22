#include "control/generation.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

namespace shunt::control {
namespace {

// Assembles a snapshot, part by part, in the order in which they refer to each other.
class SnapshotMaker {
 public:
  SnapshotMaker(Generation& generation, std::uint64_t number, Registry& registry)
      : generation_(generation), config_(generation.config), registry_(registry) {
    snapshot_ = std::make_shared<state::Snapshot>();
    snapshot_->generation = number;
    snapshot_->queries_per_client = config_.limits.queries_per_client;
    snapshot_->queries_per_upstream = config_.limits.queries_per_upstream;
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
    }
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
    to.policy = from.policy == conf::Policy::kOrdered ? state::Policy::kOrdered : state::Policy::kRandom;
    if (!to.through_host) {
      to.first_port = outbound->first_port;
      to.last_port = outbound->last_port;
    }
    to.timeout_ms = from.timeout_ms;
    to.min_ttl = from.ttl.min;
    to.max_ttl = from.ttl.max;
    to.failure_ttl = from.ttl.failure;
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

  void add_networks() {
    std::map<std::string, std::shared_ptr<const conf::BuiltRuleSet>> by_name;
    for (const auto& set : generation_.rule_sets) {
      by_name[set->name] = set;
      snapshot_->keep.push_back(set);
    }
    snapshot_->keep.push_back(generation_.builtin);
    std::vector<std::pair<Prefix, std::uint32_t>> clients;
    // Networks whose names all lead to the same origins share the answers that are known to be right for one.
    using Routes = std::tuple<decltype(state::Network::sets), const rules::RuleSet*, std::uint32_t>;
    std::map<Routes, state::Routing> routings;
    for (const conf::Network& from : config_.networks) {
      const auto index = static_cast<std::uint32_t>(snapshot_->networks.size());
      for (const Prefix& prefix : from.clients)
        clients.emplace_back(prefix, index);
      state::Network to;
      for (const std::string& name : from.rules)
        to.sets[to.set_count++] = by_name.at(name)->set.get();
      if (from.autodefined) to.builtin = generation_.builtin.get();
      if (!from.default_upstream.empty()) to.default_upstream = *registry_.handle(from.default_upstream);
      auto& routing = routings[{to.sets, to.builtin, to.default_upstream}];
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

Result<void> build_rules(Generation& generation, const dns::HashKey& key, Registry& registry) {
  const conf::Config& config = generation.config;
  const conf::UpstreamResolver resolver = [&](std::string_view name) -> std::optional<std::uint32_t> {
    const auto found = std::find_if(config.upstreams.begin(), config.upstreams.end(),
                                    [&](const conf::Upstream& u) { return u.name == name; });
    if (found == config.upstreams.end()) return std::nullopt;
    const auto handle = registry.handle(found->name);
    return handle ? std::optional(*handle) : std::nullopt;
  };
  std::vector<conf::Diagnostic> errors;
  for (const conf::RuleSet& source : config.rule_sets) {
    auto built =
        std::make_shared<conf::BuiltRuleSet>(conf::build_rule_set(config, source, key, resolver, errors));
    if (built->set != nullptr) generation.rules += built->set->size();
    generation.rule_sets.push_back(std::move(built));
  }
  if (!errors.empty()) return Failure(conf::to_text(errors));
  std::uint64_t octets = 0;
  for (const auto& set : generation.rule_sets)
    octets += set->set->memory_octets();
  // Old and new are held at once while a reload is under way.
  if (octets * 2 > config.dataplane.rules_memory) {
    return Failure("the rules take " + std::to_string(octets >> 20) +
                   " MiB, and a reload holds them twice: more than rules_memory = " +
                   std::to_string(config.dataplane.rules_memory >> 20) + " MiB");
  }
  generation.builtin = conf::build_builtin_rules(key);
  return {};
}

using RuleHashes = std::unordered_map<std::uint64_t, std::uint64_t>;

std::uint64_t hash_octets(std::span<const std::uint8_t> octets, std::uint64_t hash) {
  for (const std::uint8_t octet : octets)
    hash = (hash ^ octet) * 0x100000001b3;
  return hash;
}

// A rule's identity (set, name, what it covers) and what it says, as hashes.
RuleHashes hash_rules(const Generation& generation) {
  RuleHashes hashes;
  hashes.reserve(generation.rules);
  for (const auto& built : generation.rule_sets) {
    const std::uint64_t set_hash = std::hash<std::string>{}(built->name);
    for (const rules::RuleIndex i : built->set->rules()) {
      const rules::Rule& rule = built->set->rule(i);
      const std::uint64_t who =
          hash_octets(built->set->name(i), set_hash ^ static_cast<std::uint64_t>(rule.cover));
      std::uint64_t what = static_cast<std::uint64_t>(rule.action);
      if (rule.action == rules::Action::kForward) what ^= std::uint64_t{rule.argument} << 8;
      if (rule.action == rules::Action::kAnswer) {
        for (const auto& group : built->set->answer(rule.argument).groups)
          what = hash_octets(group.wire, what);
      }
      hashes[who] = what;
    }
  }
  return hashes;
}

}  // namespace

const conf::BuiltRuleSet* Generation::find_set(const rules::RuleSet* set) const {
  for (const auto& built : rule_sets) {
    if (built->set.get() == set) return built.get();
  }
  return nullptr;
}

const conf::RuleSet* Generation::source_of(const conf::BuiltRuleSet* set) const {
  for (std::size_t i = 0; i < rule_sets.size(); ++i) {
    if (rule_sets[i].get() == set) return &config.rule_sets[i];
  }
  return nullptr;
}

Result<std::shared_ptr<const Generation>> make_generation(conf::Config config, std::uint64_t number,
                                                          const dns::HashKey& key, Registry& registry) {
  auto generation = std::make_shared<Generation>();
  generation->config = std::move(config);
  if (auto built = build_rules(*generation, key, registry); !built) return Failure(built.error());
  auto snapshot = SnapshotMaker(*generation, number, registry).make();
  if (!snapshot) return Failure(snapshot.error());
  generation->snapshot = *snapshot;
  return std::shared_ptr<const Generation>(std::move(generation));
}

RuleChanges compare_rules(const Generation& before, const Generation& after) {
  const RuleHashes old_rules = hash_rules(before), new_rules = hash_rules(after);
  RuleChanges changes;
  for (const auto& [who, what] : new_rules) {
    const auto old = old_rules.find(who);
    if (old == old_rules.end()) {
      ++changes.added;
    } else if (old->second != what) {
      ++changes.changed;
    }
  }
  for (const auto& [who, what] : old_rules)
    changes.removed += !new_rules.contains(who);
  return changes;
}

}  // namespace shunt::control
