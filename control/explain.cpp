#include "control/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cassert>

#include "conf/record_type.h"
#include "control/rule_words.h"

namespace shunt::control {
namespace {

using nlohmann::json;
using rules::Action;
using rules::Association;

// A network's lookups for one name: the dataplane's own.
class Lookup {
 public:
  Lookup(const rules::Association& rules, const dns::Name& name, const dns::HashKey& key)
      : rules_(rules), name_(name), hashes_((dns::kMaxLabels + 1) * kBurst) {
    dns::hash_suffixes(key, name, hashes_.data(), kBurst);
  }

  /// As a worker finds it, in a burst.
  rules::Match winner() const {
    const dns::Name* const name = &name_;
    rules::Match best;
    rules_.find_burst(1, &name, hashes_.data(), &best);
    assert(best == rules_.find(name_, hashes_.data(), kBurst));
    return best;
  }
  /// The watch that fires beside `winner`.
  rules::Match watch(const rules::Match& winner) const {
    const dns::Name* const name = &name_;
    rules::Match watch;
    rules_.find_watches(1, &name, hashes_.data(), &winner, &watch);
    return watch;
  }
  rules::Match system() const { return rules_.find_system(name_, hashes_.data(), kBurst); }

 private:
  const rules::Association& rules_;
  const dns::Name& name_;
  std::vector<std::uint64_t> hashes_;
};

class Explanation {
 public:
  Explanation(const Generation& generation, const dns::HashKey& key, const std::vector<PathState>& states,
              const state::TargetHealth* health)
      : generation_(generation),
        snapshot_(*generation.snapshot),
        key_(key),
        states_(states),
        health_(health) {}

  json result;

  void run(const dns::Name& name, const IpAddress& client, const state::Endpoint& endpoint) {
    result["endpoint"] = endpoint.name;
    result["allowed"] = endpoint.allow.contains(client);
    result["rule"] = nullptr;
    result["then"] = nullptr;
    result["watch"] = nullptr;
    result["others"] = json::array();
    result["upstream"] = nullptr;
    result["network"] = nullptr;
    if (const auto prefix = endpoint.allow.find_prefix(client)) result["allowed_by"] = prefix->to_string();
    if (!endpoint.allow.contains(client)) {
      result["outcome"] = "dropped: the client is outside the endpoint's allow list, and gets no answer";
      return;
    }
    std::uint32_t network = endpoint.network;
    if (network == net::PrefixTable::kNone) network = snapshot_.clients.find(client);
    if (network == net::PrefixTable::kNone) {
      result["outcome"] = "refused (extended error 18): the client is in no network";
      return;
    }
    if (endpoint.network == net::PrefixTable::kNone) {
      result["network_by"] = snapshot_.clients.find_prefix(client)->to_string();
    }
    decide(name, snapshot_.networks[network]);
  }

 private:
  std::string upstream_name(std::uint32_t handle) const {
    const state::Upstream* upstream = snapshot_.upstream(handle);
    return upstream == nullptr ? "" : upstream->name;
  }
  json describe(const rules::RuleSet& set, rules::RuleIndex rule) const {
    const RuleWords words = describe_rule(generation_, set, rule);
    json described{{"text", words.text}, {"set", words.set}, {"where", words.where}};
    if (!words.id.empty()) described["id"] = words.id;
    return described;
  }

  void add_loser(const rules::RuleSet& set, const rules::Match& loser, std::string why) {
    json described = describe(set, loser.rule);
    described["why"] = std::move(why);
    result["others"].push_back(std::move(described));
  }

  /// `system` is what a `system` rule that won left the name to; nothing is found in it otherwise.
  void add_losers(const rules::Association& rules, const dns::Name& name, const rules::Match& winner,
                  const rules::Match& system) {
    const bool by_system = rules.set_of(winner)->rule(winner.rule).action == Action::kSystem;
    for (const rules::Match& match : rules.find_all(name)) {
      if (match == winner || match == system) continue;
      std::string why = why_lost(match, winner);
      if (by_system && Association::is_users(match)) {
        why += "; and `system` passes over all users' rules";
      } else if (by_system) {
        why = why_lost(match, system);  // those take part in the second step
      }
      add_loser(*rules.set_of(match), match, std::move(why));
    }
  }

  static std::string why_lost(const rules::Match& loser, const rules::Match& winner) {
    if (loser.labels < winner.labels) return "its name is shorter";
    if (loser.cover < winner.cover) return "`=` wins over `*.`, and `*.` over the plain suffix";
    if (Association::is_users(loser)) return "its rule set comes later";
    if (Association::is_users(winner)) return "a user's rule wins over zones and built-in names";
    return "a zone wins over a built-in name";
  }

  /// The watch that fires, and those that don't.
  void add_watches(const Lookup& lookup, const rules::Association& rules, const dns::Name& name,
                   const rules::Match& winner) {
    const rules::Match fires = lookup.watch(winner);
    if (fires.found()) result["watch"] = describe(*rules.watches_of(fires), fires.rule);
    for (const rules::Match& watch : rules.find_all_watches(name)) {
      if (watch == fires) continue;
      const std::string why = fires.found() ? "another watch fires: " + why_lost(watch, fires)
                                            : "it would not have won: " + why_lost(watch, winner);
      add_loser(*rules.watches_of(watch), watch, why);
    }
  }

  void decide(const dns::Name& name, const state::Network& network) {
    result["network"] = network.name;
    const Lookup lookup(network.rules, name, key_);
    const rules::Match first = lookup.winner();
    rules::Match match = first, system;
    const rules::RuleSet* set = network.rules.set_of(match);
    if (set != nullptr) result["rule"] = describe(*set, match.rule);
    if (set != nullptr && set->rule(match.rule).action == Action::kSystem) {
      match = system = lookup.system();
      set = network.rules.set_of(match);
      if (set != nullptr) result["then"] = describe(*set, match.rule);
    }
    if (first.found()) add_losers(network.rules, name, first, system);
    add_watches(lookup, network.rules, name, first);
    if (set == nullptr) return go_to_default(network);
    act(*set, match);
  }

  void act(const rules::RuleSet& set, const rules::Match& match) {
    const rules::Rule& rule = set.rule(match.rule);
    switch (rule.action) {
      case Action::kForward: {
        const state::Upstream* upstream = snapshot_.upstream(rule.argument);
        result["outcome"] = "forward to " + upstream_name(rule.argument);
        if (upstream != nullptr) describe_upstream(*upstream);
        return;
      }
      case Action::kZone:
        result["outcome"] = "answered from the zone " + dns::to_text(set.name(match.rule));
        return;
      case Action::kAnswer:
        result["outcome"] = "answered at once by the rule";
        return;
      case Action::kBlockNxdomain:
        result["outcome"] = "blocked: NXDOMAIN";
        return;
      case Action::kBlockNodata:
        result["outcome"] = "blocked: no data";
        return;
      case Action::kBlockRefused:
        result["outcome"] = "blocked: REFUSED";
        return;
      case Action::kBlockDrop:
        result["outcome"] = "blocked: dropped without an answer";
        return;
      case Action::kSystem:  // resolved before
      case Action::kWatch:   // wins nothing
        return;
    }
  }

  void go_to_default(const state::Network& network) {
    const state::Upstream* upstream = snapshot_.upstream(network.default_upstream);
    if (upstream == nullptr) {
      result["outcome"] =
          "refused (extended error 22): no rule matches, and the network has no default upstream";
      return;
    }
    result["outcome"] =
        "no rule decides: default upstream " + upstream->name + ", asked by the control plane";
    describe_upstream(*upstream);
  }

  void describe_upstream(const state::Upstream& upstream) {
    json targets = json::array();
    for (const state::Target& target : upstream.targets) {
      json t{{"address", target.address.to_string()}};
      if (health_ != nullptr) t["up"] = health_[target.id].up.load(std::memory_order_relaxed) != 0;
      if (upstream.through_host) {
        t["path"] = "through the host's own network";
      } else {
        describe_paths(target, t);
      }
      targets.push_back(std::move(t));
    }
    result["upstream"] = {{"name", upstream.name}, {"targets", std::move(targets)}};
    describe_protocol(upstream, result["upstream"]);
  }

  void describe_protocol(const state::Upstream& upstream, json& into) const {
    const auto& all = generation_.config.upstreams;
    const auto source = std::find_if(all.begin(), all.end(),
                                     [&](const conf::Upstream& u) { return u.name == upstream.name; });
    if (source == all.end()) return;
    static constexpr std::array<const char*, 3> kNames{"udp", "tcp", "tls"};
    into["protocol"] = kNames[static_cast<std::size_t>(source->protocol)];
    if (!source->tls_name.empty()) into["tls_name"] = source->tls_name;
  }

  void describe_paths(const state::Target& target, json& t) const {
    std::string all;
    for (std::uint32_t i = target.first_path; i < target.first_path + target.paths; ++i) {
      if (!all.empty()) all += "; ";
      all += "from " + snapshot_.paths[i].source.to_string();
      if (i >= states_.size()) continue;
      const PathState& state = states_[i];
      all += state.usable ? fmt::format(" via port {}, next hop {}",
                                        generation_.config.ports[state.port].name, state.next_hop.to_string())
                          : " (no way: " + state.why_not + ")";
    }
    t["path"] = all;
  }

  const Generation& generation_;
  const state::Snapshot& snapshot_;
  const dns::HashKey& key_;
  const std::vector<PathState>& states_;
  const state::TargetHealth* health_;
};

Result<const state::Endpoint*> choose_endpoint(const state::Snapshot& snapshot, const std::string& name,
                                               const IpAddress& client) {
  if (snapshot.endpoints.empty()) return Failure("there is no inbound endpoint");
  if (name.empty()) {
    for (const state::Endpoint& e : snapshot.endpoints) {
      if (e.allow.contains(client)) return &e;
    }
    return &snapshot.endpoints.front();
  }
  for (const state::Endpoint& e : snapshot.endpoints) {
    if (e.name == name) return &e;
  }
  return Failure("there is no inbound endpoint \"" + name + "\"");
}

}  // namespace

Result<json> explain(const Generation& generation, const dns::HashKey& key,
                     const std::vector<PathState>& states, const state::TargetHealth* health,
                     const ExplainRequest& request) {
  const auto name = dns::parse_name(request.name);
  if (!name) return Failure("\"" + request.name + "\" is no domain name: " + name.error());
  if (conf::read_type(request.type) == 0) return Failure("\"" + request.type + "\" is no record type");
  const auto client = IpAddress::parse(request.client);
  if (!client) return Failure("the client must be an address: " + client.error());
  const auto endpoint = choose_endpoint(*generation.snapshot, request.endpoint, *client);
  if (!endpoint) return Failure(endpoint.error());
  Explanation explanation(generation, key, states, health);
  explanation.result = {{"name", dns::to_text(name->octets())},
                        {"type", request.type},
                        {"client", client->to_string()},
                        {"generation", generation.number()}};
  explanation.run(*name, *client, **endpoint);
  return std::move(explanation.result);
}

}  // namespace shunt::control
