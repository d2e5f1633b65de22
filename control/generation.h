// One generation: a configuration, the rule sets built from it, and the snapshot that the workers get.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "conf/config.h"
#include "conf/load.h"
#include "conf/rule_lines.h"
#include "control/net/routes.h"
#include "control/registry.h"
#include "control/tcp_server.h"
#include "dataplane/base/result.h"
#include "dataplane/dns/name.h"
#include "dataplane/state/snapshot.h"

namespace shunt::control {

/// Immutable once made. The control plane holds the current one, and the builder's thread makes the next.
struct Generation {
  conf::Config config;
  std::vector<std::shared_ptr<const conf::BuiltRuleSet>> rule_sets;  ///< parallel to config.rule_sets
  std::shared_ptr<const rules::RuleSet> builtin;
  /// The apexes of a network's zones as rules, whose argument is an index into config.zones; by those
  /// indices.
  std::map<std::vector<std::uint32_t>, std::shared_ptr<const rules::RuleSet>> zone_sets;
  std::shared_ptr<const state::Snapshot> snapshot;
  std::vector<TcpEndpoint> tcp_endpoints;
  std::vector<RouteRequest> routes;  ///< parallel to snapshot->paths
  std::uint64_t rules = 0;           ///< in all sets

  std::uint64_t number() const { return snapshot->generation; }
  /// Where a rule set of the snapshot came from; null for the built-in one.
  const conf::BuiltRuleSet* find_set(const rules::RuleSet* set) const;
  const conf::RuleSet* source_of(const conf::BuiltRuleSet* set) const;
  /// The zone that answers for `name` in a network of the snapshot; null where none does. `key` is that of
  /// the rule sets.
  const conf::Zone* zone_of(std::uint32_t network, const dns::Name& name, const dns::HashKey& key) const;
};

/// Makes the generation `number` of a checked configuration. Slow: not on the control plane's thread, once
/// that runs. Errors are what the check could not see (limits, memory), or rule files that changed since.
Result<std::shared_ptr<const Generation>> make_generation(conf::Config config, std::uint64_t number,
                                                          const dns::HashKey& key, Registry& registry);

/// What a reload changes, in rules: "+12 −3 ~1".
struct RuleChanges {
  std::uint64_t added = 0, removed = 0, changed = 0;
};
RuleChanges compare_rules(const Generation& before, const Generation& after);

}  // namespace shunt::control
