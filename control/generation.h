// One generation: a configuration, the rule sets built from it, and the snapshot that the workers get.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "conf/config.h"
#include "conf/load.h"
#include "conf/rule_lines.h"
#include "control/countable_rules.h"
#include "control/net/routes.h"
#include "control/registry.h"
#include "control/tcp_server.h"
#include "control/upstream_tls.h"
#include "dataplane/base/result.h"
#include "dataplane/dns/name.h"
#include "dataplane/state/snapshot.h"

namespace shunt::control {

/// Immutable once made. The control plane holds the current one, and the builder's thread makes the next.
struct Generation {
  conf::Config config;
  conf::BuiltRuleSets rule_sets;  ///< parallel to config.rule_sets; other generations may share them
  std::shared_ptr<const rules::RuleSet> builtin;
  /// The apexes of a network's zones as rules, whose argument is an index into config.zones; by those
  /// indices.
  std::map<std::vector<std::uint32_t>, std::shared_ptr<const rules::RuleSet>> zone_sets;
  std::shared_ptr<const state::Snapshot> snapshot;
  std::vector<TcpEndpoint> tcp_endpoints;
  std::vector<std::uint32_t> upstream_handles;               ///< parallel to config.upstreams
  std::vector<std::shared_ptr<const UpstreamTrust>> trusts;  ///< likewise; null where not asked over TLS
  std::vector<RouteRequest> routes;                          ///< parallel to snapshot->paths
  std::uint64_t rules = 0;                                   ///< in all sets
  CountableRules countable;
  std::uint64_t read_as = 0;  ///< the generation as which the file was read: another one's after a rollback

  std::uint64_t number() const { return snapshot->generation; }
  /// Where a rule set of the snapshot came from; null for the built-in one.
  const conf::BuiltRuleSet* find_set(const rules::RuleSet* set) const;
  const conf::RuleSet* source_of(const conf::BuiltRuleSet* set) const;
  /// The zone that answers for `name` in a network of the snapshot; null where none does. `key` is that of
  /// the rule sets.
  const conf::Zone* zone_of(std::uint32_t network, const dns::Name& name, const dns::HashKey& key) const;
};

/// The network of `after` for queries that came under the routing of `before`'s network `index`. Several
/// networks may have shared that; nothing where they don't any more, or one of them has gone.
std::optional<std::uint32_t> find_successor(const Generation& before, std::uint32_t index,
                                            const Generation& after);

/// How a configuration is loaded to become a generation: with this key, with handles from `registry`, and
/// with the rule sets of the generations in `held` (all that are held; null ones are passed over), where they
/// are still right. The arguments must outlive the options.
conf::LoadOptions load_options(const dns::HashKey& key, Registry& registry,
                               std::initializer_list<const Generation*> held = {});

/// Makes the generation `number` of a configuration that was loaded without errors, with load_options. Not on
/// the control plane's thread, once that runs. Errors are what the check could not see: limits over all
/// generations.
Result<std::shared_ptr<const Generation>> make_generation(conf::Config config, conf::BuiltRuleSets rule_sets,
                                                          std::uint64_t number, const dns::HashKey& key,
                                                          Registry& registry);
/// Makes the generation `number` of what an earlier one was made of.
Result<std::shared_ptr<const Generation>> make_again(const Generation& earlier, std::uint64_t number,
                                                     const dns::HashKey& key, Registry& registry);

}  // namespace shunt::control
