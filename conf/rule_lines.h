// Rule lines, "NAME ACTION [ARGUMENT …]", straight into a rule set. Used by the loader (to check) and by the reload
// (to build); the grammar is in one place.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.h"
#include "conf/load.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/trie.h"

namespace shunt::conf {

/// Resolves an upstream's name to its handle; empty where there is no such upstream.
using UpstreamResolver = std::function<std::optional<std::uint32_t>(std::string_view name)>;

/// A rule set that was built, and what is needed to tell a person about its rules.
struct BuiltRuleSet {
  std::string name;
  std::unique_ptr<const rules::RuleSet> set;
  std::uint32_t list_lines = 0;   ///< Rule::line below this is an index into the configuration's `list`; above, line - list_lines is the file's line number (from 1)

  /// Where a rule was written: "shunt.toml:31" or "corp.rules:17".
  std::string describe_line(const Config& config, const RuleSet& source, std::uint32_t line) const;
};

/// Builds `source`. Mistakes go to `errors` (at most `max_errors` of them, then a line that tells how many more);
/// the set is then not to be used.
BuiltRuleSet build_rule_set(const Config& config, const RuleSet& source, const dns::HashKey& key,
                            const UpstreamResolver& resolver, std::vector<Diagnostic>& errors,
                            std::size_t max_errors = 50);

/// A rule in words, as it would be written: "*.onprem.corp forward corp-dns". `upstream_name` gives a handle's name.
std::string rule_text(const rules::RuleSet& set, rules::RuleIndex rule,
                      const std::function<std::string(std::uint32_t handle)>& upstream_name);

/// The built-in rules (RFC 6761, RFC 6303): localhost, and reverse zones of private, loopback, link-local and documentation
/// ranges. Shared by all networks that have `autodefined`.
std::unique_ptr<const rules::RuleSet> build_builtin_rules(const dns::HashKey& key);

}  // namespace shunt::conf
