#include "control/explain.h"

#include <fmt/format.h>
#include <ldns/ldns.h>

#include <algorithm>
#include <cassert>

#include "conf/zone.h"

namespace shunt::control {
namespace {

using nlohmann::json;
using rules::Action;

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
  std::string text(const rules::RuleSet& set, rules::RuleIndex rule) const {
    return conf::rule_text(set, rule, [&](std::uint32_t handle) { return upstream_name(handle); });
  }

  const conf::Zone& zone_of(const rules::RuleSet& set, rules::RuleIndex rule) const {
    return *generation_.config.zones[set.rule(rule).argument].zone;
  }

  json describe(const rules::RuleSet& set, rules::RuleIndex rule) const {
    json described{{"text", text(set, rule)}};
    if (set.rule(rule).action == Action::kZone) {
      const conf::Zone& zone = zone_of(set, rule);
      described["set"] = "zone";
      described["where"] = fmt::format("{}:{}", zone.file(), zone.soa_line());
      return described;
    }
    if (const conf::BuiltRuleSet* built = generation_.find_set(&set)) {
      described["set"] = built->name;
      described["where"] =
          built->describe_line(generation_.config, *generation_.source_of(built), set.rule(rule).line);
      const std::string_view id = built->id_of(set.rule(rule).line);
      if (!id.empty()) described["id"] = id;
    } else {
      described["set"] = "built-in";
      described["where"] = "built-in";
    }
    return described;
  }

  void add_losers(const rules::Association& rules, const dns::Name& name, const rules::Match& winner) {
    for (const rules::Match& match : rules.find_all(name)) {
      if (match == winner) continue;
      json loser = describe(*rules.set_of(match), match.rule);
      loser["why"] = why_lost(match, winner);
      result["others"].push_back(std::move(loser));
    }
  }

  static std::string why_lost(const rules::Match& loser, const rules::Match& winner) {
    if (loser.labels < winner.labels) return "its name is shorter";
    if (loser.cover < winner.cover) return "`=` wins over `*.`, and `*.` over the plain suffix";
    if (rules::Association::is_users(loser)) return "its rule set comes later";
    return "a user's rule wins over a zone, and a zone over a built-in name";
  }

  void decide(const dns::Name& name, const state::Network& network) {
    result["network"] = network.name;
    const Lookup lookup(network.rules, name, key_);
    const rules::Match first = lookup.winner();
    rules::Match match = first;
    const rules::RuleSet* set = network.rules.set_of(match);
    if (set != nullptr) result["rule"] = describe(*set, match.rule);
    if (set != nullptr && set->rule(match.rule).action == Action::kSystem) {
      match = lookup.system();
      set = network.rules.set_of(match);
      result["then"] = set == nullptr ? "the network's default upstream" : text(*set, match.rule);
    }
    if (first.found()) add_losers(network.rules, name, first);
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
      case Action::kSystem:
        return;  // resolved before
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
  if (ldns_get_rr_type_by_name(request.type.c_str()) == 0)
    return Failure("\"" + request.type + "\" is no record type");
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
