// Reads shunt.toml: syntax, types, unknown keys, ranges; then everything that holds between its parts. All
// mistakes of a file are found in one pass (but TOML's own syntax: there the first one ends the reading).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.h"
#include "dataplane/base/result.h"
#include "dataplane/dns/name.h"

namespace shunt::conf {

/// One mistake, with all that a person needs to mend it.
struct Diagnostic {
  std::string file;
  Position position;
  std::string message;      ///< what is wrong, and what would be right
  std::string hint;         ///< the nearest known key or name; may be empty
  std::string source_line;  ///< the line it stands on; may be empty
};

/// "FILE:LINE:COLUMN: error: MESSAGE", the line, a caret under the column, and the hint.
std::string to_text(const Diagnostic& diagnostic, std::string_view severity = "error");
std::string to_text(const std::vector<Diagnostic>& diagnostics, std::string_view severity = "error");

struct BuiltRuleSet;  // conf/rule_lines.h
using BuiltRuleSets = std::vector<std::shared_ptr<const BuiltRuleSet>>;

struct Loaded {
  std::optional<Config> config;  ///< present where `errors` is empty
  BuiltRuleSets rule_sets;       ///< parallel to config->rule_sets, where there is a config
  std::size_t sets_built = 0;    ///< of those; the others were known already
  std::vector<Diagnostic> errors;
  std::vector<Diagnostic>
      warnings;  ///< what is allowed and probably not meant; there with and without errors
};

/// A rule set of an earlier configuration, as it was written and as it was built. It is taken again where
/// nothing that it was made of has changed.
struct KnownRuleSet {
  const RuleSet* source;
  std::shared_ptr<const BuiltRuleSet> built;
};

struct LoadOptions {
  /// Whether the rule files, zone files and certificates that a configuration names are read and checked too.
  /// A configuration from a source that is not trusted with the file system (a fuzzer) leaves them alone.
  bool rule_files = true;
  /// Warn of rules that can never match, that change nothing, or that take all names. Takes longer than all
  /// the rest: for a person who checks, not for a reload.
  bool dead_rules = false;
  /// The hash key that rule sets are built with.
  dns::HashKey key;
  /// The handle of an upstream's name, which rules hold; or why it can have none. Absent: its place among the
  /// file's upstreams.
  std::function<Result<std::uint32_t>(const std::string& name)> handle_of;
  /// Built with the same key and the same handles. All are held in memory while the file is loaded, and count
  /// as part of what `rules_memory` allows.
  std::vector<KnownRuleSet> known;
};

/// A configuration file is at most this large: rules by the million live in files of their own.
inline constexpr std::size_t kMaxConfigOctets = 16u << 20;
/// So many mistakes of one file are told; the rest is counted.
inline constexpr std::size_t kMaxDiagnostics = 1000;

/// Loads and checks the file at `path`, builds its rule sets and reads its zones. Reads files, so not for a
/// thread that must not wait.
Loaded load_file(const std::string& path, const LoadOptions& options = {});
/// The same for text that is already here; `path` names it in diagnostics and is the base of relative file
/// names.
Loaded load_text(std::string_view text, const std::string& path, const LoadOptions& options = {});

/// What `memory` must at least hold, in octets: the cache, 42 MiB, and for each worker 1 MiB, 768 octets for
/// each pending query and 10 MiB for each port's packets, 17 MiB without huge pages. The check refuses less;
/// dataplane/eal.h divides it.
std::uint64_t least_memory(const Config& config);

}  // namespace shunt::conf
