// Rule lines, "NAME ACTION [ARGUMENT …]", straight into a rule set. Used by the loader (to check) and by the
// reload (to build); the grammar is in one place (rule_parser.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conf/config.h"
#include "conf/file_stamp.h"
#include "conf/line_file.h"
#include "conf/load.h"
#include "conf/rule_parser.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/trie.h"

namespace shunt::conf {

/// A rule set that was built, and what is needed to tell a person about its rules.
struct BuiltRuleSet {
  std::string name;
  std::unique_ptr<const rules::RuleSet> set;      ///< all rules but `watch`
  std::unique_ptr<const rules::RuleSet> watches;  ///< the `watch` rules; null where there are none
  /// Rule::line below this is an index into the configuration's `list`; above, line - list_lines is the
  /// file's line number (from 1).
  std::uint32_t list_lines = 0;
  /// The lines that have an id=, in order.
  std::vector<std::pair<std::uint32_t, std::string>> ids;
  /// The upstreams that its rules name.
  std::vector<std::string> upstreams;
  /// Of the file; nothing where it may have changed since it was read.
  std::optional<FileStamp> file_stamp;

  /// Where a rule was written: "shunt.toml:31" or "corp.rules:17".
  std::string describe_line(const Config& config, const RuleSet& source, std::uint32_t line) const;
  /// The id= of a line, or "".
  std::string_view id_of(std::uint32_t line) const;
  /// Of both.
  std::size_t rules() const { return set->size() + (watches != nullptr ? watches->size() : 0); }
  std::size_t memory_octets() const {
    return set->memory_octets() + (watches != nullptr ? watches->memory_octets() : 0);
  }
};

/// May `known` stand for `source`? Only where its list, list_action and file are the same, the file was not
/// written since, and there still are all the upstreams that its rules name.
bool is_unchanged(const RuleSet& source, const KnownRuleSet& known,
                  const std::function<bool(const std::string& name)>& has_upstream);

/// Builds `source`. Mistakes go to `errors` (at most `max_errors` of them, then a line that tells how many
/// more); the set is then not to be used. A file is read in pieces, so it takes no memory to speak of; that
/// is also true of one with a single endless line. More rules than `rules_memory` holds beside `held` octets
/// of others are a mistake, too.
///
/// In a set with list_action a line may be a bare NAME, or a line of a hosts file, whose names count alone
/// ("=") and whose address doesn't count; what hosts files say about the host itself (is_hosts_file_own_name)
/// is skipped. There, a rule that is there already with the same action is no mistake.
BuiltRuleSet build_rule_set(const Config& config, const RuleSet& source, const dns::HashKey& key,
                            const UpstreamResolver& resolver, std::vector<Diagnostic>& errors,
                            std::size_t max_errors = 50, std::uint64_t held = 0);

/// A rule in words, as it would be written: "*.onprem.corp forward corp-dns". `upstream_name` gives a
/// handle's name. The records of an answer, which are lines of their own, are separated by " + ".
std::string rule_text(const rules::RuleSet& set, rules::RuleIndex rule,
                      const std::function<std::string(std::uint32_t handle)>& upstream_name);

/// The built-in rules (RFC 6761, RFC 6303, RFC 7793): localhost, localdomain, and reverse zones of private,
/// shared, loopback, link-local and documentation ranges. Shared by all networks that have `autodefined`. All
/// are suffixes, so that a user's rule of the same name wins whatever it covers. Rule::line has no meaning.
std::unique_ptr<const rules::RuleSet> build_builtin_rules(const dns::HashKey& key);

}  // namespace shunt::conf
