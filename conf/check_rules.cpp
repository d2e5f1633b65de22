// The rule sets of a configuration, built once to find their mistakes, and thrown away.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "conf/check.h"
#include "conf/dead_rules.h"
#include "conf/redundant_rules.h"
#include "conf/root_rules.h"
#include "conf/rule_lines.h"

namespace shunt::conf {
namespace {

/// Why the file can't be read, or an empty string.
std::string unreadable(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0 || access(path.c_str(), R_OK) != 0) return std::strerror(errno);
  if (S_ISDIR(info.st_mode)) return std::strerror(EISDIR);
  if (!S_ISREG(info.st_mode)) return "it is not a regular file, and must be readable more than once";
  return {};
}

/// Takes the rule file out of `set` where it can't be read, or isn't to be.
void settle_file(const Checking& c, const LoadOptions& options, std::size_t index, RuleSet& set) {
  if (!options.rule_files) set.file.clear();
  if (set.file.empty()) return;
  const std::string why = unreadable(set.file);
  if (why.empty()) return;
  c.report.error(c.places.at("rules", index, "file"),
                 fmt::format("{}: can't read {}: {}", title("rules", set.name), in_quotes(set.file), why),
                 "the path is taken from the folder of the configuration file");
  set.file.clear();
}

/// Among at most so many rules those are looked for that have no use: that takes an index of every name.
constexpr std::size_t kMostRulesSearched = 4'000'000;

/// What is allowed and probably not meant.
void check_meaning(const Checking& c, const std::vector<BuiltRuleSet>& built) {
  check_root_rules(c, built);
  std::size_t rules = 0;
  for (const BuiltRuleSet& set : built)
    rules += set.set->size();
  if (rules > kMostRulesSearched) {
    c.report.warning(
        {},
        fmt::format("with {} rules, those that can never match or change nothing are not looked for", rules),
        fmt::format("they are among up to {} rules", kMostRulesSearched));
    return;
  }
  check_dead_rules(c, built);
  check_redundant_rules(c, built);
}

}  // namespace

void check_rules(const Checking& c, const LoadOptions& options) {
  std::unordered_map<std::string_view, std::uint32_t> handles;
  for (const Upstream& u : c.config.upstreams)
    handles.try_emplace(u.name, static_cast<std::uint32_t>(handles.size()));
  const UpstreamResolver resolve = [&handles](std::string_view name) -> std::optional<std::uint32_t> {
    const auto found = handles.find(name);
    return found == handles.end() ? std::nullopt : std::optional(found->second);
  };
  std::vector<BuiltRuleSet> all;
  for (std::size_t i = 0; i < c.config.rule_sets.size(); ++i) {
    RuleSet set = c.config.rule_sets[i];
    if (!c.places.has("rules", i, "list") && !c.places.has("rules", i, "file"))
      c.report.error(set.position, fmt::format("{}: it has no rules", title("rules", set.name)),
                     R"(give list = ["onprem.corp forward corp-dns"], or file = "corp.rules", or both)");
    settle_file(c, options, i, set);
    std::vector<Diagnostic> errors;
    BuiltRuleSet built = build_rule_set(c.config, set, dns::HashKey{}, resolve, errors);
    for (Diagnostic& error : errors)
      if (error.hint.empty()) error.hint = "rules are described in shunt.toml(5), RULE LINES";
    c.report.add_errors(std::move(errors));
    if (options.dead_rules) all.push_back(std::move(built));
  }
  if (options.dead_rules && !c.report.has_errors()) check_meaning(c, all);
}

}  // namespace shunt::conf
