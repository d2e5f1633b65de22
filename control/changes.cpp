#include "control/changes.h"

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "conf/rule_names.h"
#include "conf/zone.h"
#include "dataplane/rules/compare.h"

namespace shunt::control {
namespace {

// --- rules
// ------------------------------------------------------------------------------------------------------------

std::string upstream_name(const Generation& generation, std::uint32_t handle) {
  const auto& upstreams = generation.snapshot->upstreams;
  return handle < upstreams.size() ? upstreams[handle].name : "";
}

class RuleComparison {
 public:
  RuleComparison(const Generation& before, const Generation& after, bool named, Changes& changes)
      : before_(before), after_(after), named_(named), changes_(changes) {}

  void run() {
    std::map<std::string, const conf::BuiltRuleSet*> old_sets;
    for (const auto& set : before_.rule_sets)
      old_sets[set->name] = set.get();
    for (const auto& set : after_.rule_sets) {
      const auto old = old_sets.find(set->name);
      if (old == old_sets.end()) {
        add_whole(*set, after_, changes_.added);
        continue;
      }
      if (old->second != set.get()) compare_sets(*old->second, *set);
      old_sets.erase(old);
    }
    for (const auto& [name, set] : old_sets)
      add_whole(*set, before_, changes_.removed);
  }

 private:
  bool has_room() const { return named_ && changes_.rules.size() < kMostNamedChanges; }

  // A set that is new, or gone.
  void add_whole(const conf::BuiltRuleSet& built, const Generation& of, std::uint64_t& count) {
    add_whole(built.name, *built.set, of, count);
    if (built.watches != nullptr) add_whole(built.name, *built.watches, of, count);
  }
  void add_whole(const std::string& name, const rules::RuleSet& set, const Generation& of,
                 std::uint64_t& count) {
    count += set.size();
    for (const rules::RuleIndex rule : set.rules()) {
      if (!has_room()) return;
      RuleChange change{name, name_of(set, rule), "", ""};
      (&of == &after_ ? change.after : change.before) = action_of(of, set, rule);
      changes_.rules.push_back(std::move(change));
    }
  }

  void compare_sets(const conf::BuiltRuleSet& before, const conf::BuiltRuleSet& after) {
    compare_sets(after.name, *before.set, *after.set);
    if (before.watches != nullptr && after.watches != nullptr) {
      compare_sets(after.name, *before.watches, *after.watches);
    } else if (before.watches != nullptr) {
      add_whole(before.name, *before.watches, before_, changes_.removed);
    } else if (after.watches != nullptr) {
      add_whole(after.name, *after.watches, after_, changes_.added);
    }
  }
  void compare_sets(const std::string& name, const rules::RuleSet& before, const rules::RuleSet& after) {
    using Pair = std::pair<rules::RuleIndex, rules::RuleIndex>;
    std::vector<Pair> pairs;
    rules::DifferenceSink sink;
    if (has_room()) {
      sink = [&](rules::RuleIndex old, rules::RuleIndex fresh) {
        if (pairs.size() < kMostNamedChanges) pairs.emplace_back(old, fresh);
      };
    }
    const rules::Differences found = rules::compare(before, after, sink);
    changes_.added += found.added;
    changes_.removed += found.removed;
    changes_.changed += found.changed;
    // In the order of the new lines; those that are gone behind.
    std::ranges::sort(pairs, {}, [](const Pair& p) { return std::pair(p.second, p.first); });
    for (const auto& [old, fresh] : pairs) {
      if (!has_room()) return;
      changes_.rules.push_back({name, fresh != rules::kNoRule ? name_of(after, fresh) : name_of(before, old),
                                old != rules::kNoRule ? action_of(before_, before, old) : "",
                                fresh != rules::kNoRule ? action_of(after_, after, fresh) : ""});
    }
  }

  static std::string name_of(const rules::RuleSet& set, rules::RuleIndex rule) {
    return conf::rule_name_text(set.name(rule), set.rule(rule).cover);
  }
  // The rule in words, without its name.
  static std::string action_of(const Generation& of, const rules::RuleSet& set, rules::RuleIndex rule) {
    const std::string text =
        conf::rule_text(set, rule, [&of](std::uint32_t handle) { return upstream_name(of, handle); });
    return text.substr(std::min(text.size(), name_of(set, rule).size() + 1));
  }

  const Generation& before_;
  const Generation& after_;
  const bool named_;
  Changes& changes_;
};

// --- tables
// -----------------------------------------------------------------------------------------------------------

// The keys of a table whose values differ. Each pair is a member and its key in the file.
template <typename T, typename... Keys>
std::vector<std::string> differing(const T& a, const T& b, const Keys&... keys) {
  std::vector<std::string> found;
  const auto look = [&](const auto& key) {
    if (!(a.*(key.first) == b.*(key.first))) found.emplace_back(key.second);
  };
  (look(keys), ...);
  return found;
}

std::vector<std::string> differences(const conf::Limits& a, const conf::Limits& b) {
  using L = conf::Limits;
  return differing(a, b, std::pair(&L::queries_per_client, "queries_per_client"),
                   std::pair(&L::queries_per_upstream, "queries_per_upstream"),
                   std::pair(&L::queries_per_target, "queries_per_target"),
                   std::pair(&L::tcp_connections, "tcp_connections"),
                   std::pair(&L::tcp_connections_per_client, "tcp_connections_per_client"),
                   std::pair(&L::tcp_queries_per_connection, "tcp_queries_per_connection"),
                   std::pair(&L::tcp_idle_ms, "tcp_idle_ms"), std::pair(&L::drain_ms, "drain_ms"));
}
std::vector<std::string> differences(const conf::Port& a, const conf::Port& b) {
  using P = conf::Port;
  return differing(a, b, std::pair(&P::addresses, "addresses"), std::pair(&P::gateways, "gateways"),
                   std::pair(&P::neighbours, "neighbours"));
}
std::vector<std::string> differences(const conf::Inbound& a, const conf::Inbound& b) {
  using I = conf::Inbound;
  return differing(a, b, std::pair(&I::addresses, "addresses"), std::pair(&I::allow, "allow"),
                   std::pair(&I::network, "network"), std::pair(&I::tls, "tls"));
}
std::vector<std::string> differences(const conf::Outbound& a, const conf::Outbound& b) {
  using O = conf::Outbound;
  auto found = differing(a, b, std::pair(&O::addresses, "addresses"));
  if (a.first_port != b.first_port || a.last_port != b.last_port) found.emplace_back("source_ports");
  return found;
}
std::vector<std::string> differences(const conf::Upstream& a, const conf::Upstream& b) {
  using U = conf::Upstream;
  return differing(a, b, std::pair(&U::outbound, "outbound"), std::pair(&U::targets, "targets"),
                   std::pair(&U::protocol, "protocol"), std::pair(&U::tls_name, "tls_name"),
                   std::pair(&U::tls_trust, "tls_ca"), std::pair(&U::policy, "policy"),
                   std::pair(&U::on_all_down, "on_all_down"), std::pair(&U::timeout_ms, "timeout_ms"),
                   std::pair(&U::probe, "probe"), std::pair(&U::health, "health"), std::pair(&U::ttl, "ttl"),
                   std::pair(&U::prefetch, "prefetch"));
}
// Their rules are told one by one.
std::vector<std::string> differences(const conf::RuleSet& /*a*/, const conf::RuleSet& /*b*/) {
  return {};
}
std::vector<std::string> differences(const conf::Network& a, const conf::Network& b) {
  using N = conf::Network;
  return differing(a, b, std::pair(&N::clients, "clients"), std::pair(&N::rules, "rules"),
                   std::pair(&N::default_upstream, "default"), std::pair(&N::autodefined, "autodefined"));
}

// A zone file with all networks that have it, in however many tables. Several files may have one apex, for
// different networks.
struct NamedZone {
  std::string name;
  std::set<std::string> networks;
  std::uint64_t digest;
};
std::vector<NamedZone> named_zones(const conf::Config& config) {
  std::vector<NamedZone> named;
  for (const conf::ZoneFile& table : config.zones) {
    const std::string name = dns::to_text(table.zone->apex().octets()) + " (" + table.file + ")";
    auto at = std::ranges::find(named, name, &NamedZone::name);
    if (at == named.end()) at = named.insert(at, {name, {}, table.zone->digest()});
    at->networks.insert(table.networks.begin(), table.networks.end());
  }
  return named;
}
std::vector<std::string> differences(const NamedZone& a, const NamedZone& b) {
  return differing(a, b, std::pair(&NamedZone::networks, "networks"),
                   std::pair(&NamedZone::digest, "records"));
}

template <typename T>
void compare_tables(const std::string& kind, const std::vector<T>& before, const std::vector<T>& after,
                    std::vector<TableChange>& into) {
  const auto find = [](const std::vector<T>& in, const std::string& name) {
    return std::find_if(in.begin(), in.end(), [&](const T& t) { return t.name == name; });
  };
  for (const T& table : after) {
    const auto old = find(before, table.name);
    if (old == before.end()) {
      into.push_back({'+', kind, table.name, {}});
    } else if (auto keys = differences(*old, table); !keys.empty()) {
      into.push_back({'~', kind, table.name, std::move(keys)});
    }
  }
  for (const T& table : before) {
    if (find(after, table.name) == after.end()) into.push_back({'-', kind, table.name, {}});
  }
}

void compare_configs(const conf::Config& before, const conf::Config& after, std::vector<TableChange>& into) {
  if (auto keys = differences(before.limits, after.limits); !keys.empty())
    into.push_back({'~', "limits", "", std::move(keys)});
  std::vector<std::string> metrics;
  if (before.metrics != after.metrics) metrics.emplace_back("listen");
  if (before.rule_figures != after.rule_figures) metrics.emplace_back("rules");
  if (!metrics.empty()) into.push_back({'~', "metrics", "", std::move(metrics)});
  std::vector<std::string> log;
  if (before.log_level != after.log_level) log.emplace_back("level");
  if (before.query_log.format != after.query_log.format) log.emplace_back("queries");
  if (before.query_log.to != after.query_log.to) log.emplace_back("queries_to");
  if (!log.empty()) into.push_back({'~', "log", "", std::move(log)});
  compare_tables("port", before.ports, after.ports, into);
  compare_tables("inbound", before.inbounds, after.inbounds, into);
  compare_tables("outbound", before.outbounds, after.outbounds, into);
  compare_tables("upstream", before.upstreams, after.upstreams, into);
  compare_tables("rules", before.rule_sets, after.rule_sets, into);
  compare_tables("network", before.networks, after.networks, into);
  compare_tables("zone", named_zones(before), named_zones(after), into);
}

}  // namespace

Changes compare(const Generation& before, const Generation& after, bool named) {
  Changes changes;
  RuleComparison(before, after, named, changes).run();
  compare_configs(before.config, after.config, changes.tables);
  return changes;
}

nlohmann::json to_json(const Changes& changes) {
  nlohmann::json tables = nlohmann::json::array(), rules = nlohmann::json::array();
  for (const TableChange& t : changes.tables)
    tables.push_back(
        {{"change", std::string(1, t.what)}, {"kind", t.kind}, {"name", t.name}, {"keys", t.keys}});
  for (const RuleChange& r : changes.rules) {
    rules.push_back({{"change", r.before.empty()  ? "+"
                                : r.after.empty() ? "-"
                                                  : "~"},
                     {"set", r.set},
                     {"name", r.name},
                     {"before", r.before},
                     {"after", r.after}});
  }
  return {{"tables", std::move(tables)},
          {"rules", std::move(rules)},
          {"rules_added", changes.added},
          {"rules_removed", changes.removed},
          {"rules_changed", changes.changed}};
}

}  // namespace shunt::control
