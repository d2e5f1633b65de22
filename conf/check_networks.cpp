// Networks: whose queries, which rules.
#include <algorithm>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "conf/check.h"
#include "dataplane/base/limits.h"

namespace shunt::conf {
namespace {

/// A prefix and where it was written.
struct Clients {
  Prefix prefix;
  std::size_t network;
  std::size_t element;
};

/// Prefixes of one network that lie within another's: the first of them, what is around it, and how many.
struct Overlap {
  Clients outer, inner;
  std::size_t prefixes = 0;
};
/// By network, the inner first.
using Overlaps = std::map<std::pair<std::size_t, std::size_t>, Overlap>;

void check_pair(const Checking& c, const Clients& outer, const Clients& inner, Overlaps& overlaps) {
  const Network& a = c.config.networks[outer.network];
  const Network& b = c.config.networks[inner.network];
  const Position where = c.places.at("network", inner.network, "clients", inner.element);
  const std::uint32_t other_line = c.places.at("network", outer.network, "clients", outer.element).line;
  const std::string label = title("network", b.name) + ": clients";
  if (outer.prefix == inner.prefix && outer.network == inner.network)
    c.report.error(where, fmt::format("{}: {} is given twice", label, inner.prefix.to_string()),
                   "give each prefix once");
  else if (outer.prefix == inner.prefix)
    c.report.error(
        where,
        fmt::format("{}: {} is network {}'s already, in line {}", label, inner.prefix.to_string(),
                    in_quotes(a.name), other_line),
        "a client belongs to one network: take the prefix out of one of them, or make one of them longer");
  else if (outer.network != inner.network)
    ++overlaps.try_emplace({inner.network, outer.network}, Overlap{outer, inner}).first->second.prefixes;
}

/// Meant, as a rule: told once for two networks.
void warn(const Checking& c, const Overlap& overlap) {
  const auto& [outer, inner, prefixes] = overlap;
  const Network& a = c.config.networks[outer.network];
  const Network& b = c.config.networks[inner.network];
  const std::size_t more = prefixes - 1;
  c.report.warning(
      c.places.at("network", inner.network, "clients", inner.element),
      fmt::format("{}: clients: {} lies within {} of network {}, in line {}{}", title("network", b.name),
                  inner.prefix.to_string(), outer.prefix.to_string(), in_quotes(a.name),
                  c.places.at("network", outer.network, "clients", outer.element).line,
                  more == 0 ? "" : fmt::format(", and {} of its prefixes more", more)),
      fmt::format("the longest prefix wins: those clients belong to {}", in_quotes(b.name)));
}

/// Equal and nested prefixes of one family ("::/0" has no IPv4 address), in one sweep: sorted, an outer
/// prefix comes before all that lie within it.
void check_clients(const Checking& c, bool v4, Overlaps& overlaps) {
  std::vector<Clients> all;
  for (std::size_t n = 0; n < c.config.networks.size(); ++n) {
    const std::vector<Prefix>& clients = c.config.networks[n].clients;
    for (std::size_t i = 0; i < clients.size(); ++i)
      if (clients[i].is_v4() == v4) all.push_back({clients[i], n, i});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Clients& a, const Clients& b) { return a.prefix < b.prefix; });
  std::vector<const Clients*> around;
  for (const Clients& clients : all) {
    while (!around.empty() && !around.back()->prefix.contains(clients.prefix.address))
      around.pop_back();
    if (!around.empty()) check_pair(c, *around.back(), clients, overlaps);
    around.push_back(&clients);
  }
}

void check_rule_sets(const Checking& c, const Names& sets, std::size_t n, std::set<std::string_view>& used) {
  const Network& network = c.config.networks[n];
  const std::string label = title("network", network.name) + ": rules";
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < network.rules.size(); ++i) {
    const Position where = c.places.at("network", n, "rules", i);
    check_reference(c, sets, network.rules[i], "rule set", label, where);
    if (!seen.insert(network.rules[i]).second)
      c.report.error(where, fmt::format("{}: {} is named twice", label, in_quotes(network.rules[i])),
                     "name each rule set once");
  }
  if (network.rules.size() > kMaxRuleSetsPerNetwork)
    c.report.error(c.places.at("network", n, "rules", kMaxRuleSetsPerNetwork),
                   fmt::format("{}: there are {} rule sets, at most {} are allowed", label,
                               network.rules.size(), kMaxRuleSetsPerNetwork),
                   "join some of them");
  used.insert(network.rules.begin(), network.rules.end());
}

}  // namespace

void check_networks(const Checking& c) {
  const Names upstreams(c.config.upstreams), sets(c.config.rule_sets);
  std::set<std::string_view> used;
  for (std::size_t n = 0; n < c.config.networks.size(); ++n) {
    const Network& network = c.config.networks[n];
    check_rule_sets(c, sets, n, used);
    check_reference(c, upstreams, network.default_upstream, "upstream",
                    title("network", network.name) + ": default", c.places.at("network", n, "default"));
  }
  Overlaps overlaps;
  check_clients(c, true, overlaps);
  check_clients(c, false, overlaps);
  for (const auto& [networks, overlap] : overlaps)
    warn(c, overlap);
  for (const RuleSet& set : c.config.rule_sets)
    if (!set.name.empty() && !used.contains(set.name))
      c.report.warning(set.position, fmt::format("{}: no network uses it", title("rules", set.name)),
                       fmt::format("name it in a network: rules = [{}]", in_quotes(set.name)));
}

}  // namespace shunt::conf
