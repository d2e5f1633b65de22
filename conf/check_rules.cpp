// The rule sets of a configuration: built, or taken from an earlier one where nothing has changed.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
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
  if (!S_ISREG(info.st_mode)) return "it is not a regular file";
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

class SetsBuilder {
 public:
  SetsBuilder(const Checking& c, const LoadOptions& options, Loaded& loaded)
      : c_(c), options_(options), loaded_(loaded) {
    std::unordered_set<const BuiltRuleSet*> held;
    for (const KnownRuleSet& known : options.known)
      if (held.insert(known.built.get()).second) held_ += known.built->memory_octets();
  }

  void build() {
    find_handles();
    for (std::size_t i = 0; i < c_.config.rule_sets.size(); ++i)
      add(i);
    warn_of_reload();
  }

 private:
  void find_handles() {
    for (const Upstream& u : c_.config.upstreams) {
      if (handles_.contains(u.name)) continue;
      Result<std::uint32_t> handle = static_cast<std::uint32_t>(handles_.size());
      if (options_.handle_of) handle = options_.handle_of(u.name);
      if (handle) {
        handles_.emplace(u.name, *handle);
      } else {
        c_.report.error(u.position, fmt::format("{}: {}", title("upstream", u.name), handle.error()), "");
      }
    }
  }

  std::shared_ptr<const BuiltRuleSet> find_known(const RuleSet& set) const {
    for (const KnownRuleSet& known : options_.known)
      if (known.built->name == set.name &&
          is_unchanged(set, known, [this](const std::string& name) { return handles_.contains(name); }))
        return known.built;
    return nullptr;
  }

  void add(std::size_t index) {
    RuleSet set = c_.config.rule_sets[index];
    if (!c_.places.has("rules", index, "list") && !c_.places.has("rules", index, "file"))
      c_.report.error(set.position, fmt::format("{}: it has no rules", title("rules", set.name)),
                      R"(give list = ["onprem.corp forward corp-dns"], or file = "corp.rules", or both)");
    settle_file(c_, options_, index, set);
    if (auto known = find_known(set)) {
      loaded_.rule_sets.push_back(std::move(known));
      return;
    }
    ++loaded_.sets_built;
    loaded_.rule_sets.push_back(std::make_shared<const BuiltRuleSet>(build_anew(set)));
  }

  BuiltRuleSet build_anew(const RuleSet& set) {
    const UpstreamResolver resolve = [this](std::string_view name) -> std::optional<std::uint32_t> {
      const auto found = handles_.find(std::string(name));
      return found == handles_.end() ? std::nullopt : std::optional(found->second);
    };
    std::vector<Diagnostic> errors;
    BuiltRuleSet built = build_rule_set(c_.config, set, options_.key, resolve, errors, kShownMistakes, held_);
    for (Diagnostic& error : errors)
      if (error.hint.empty()) error.hint = "rules are described in shunt.toml(5), RULE LINES";
    c_.report.add_errors(std::move(errors));
    if (built.set != nullptr) {
      held_ += built.memory_octets();
      octets_ += built.memory_octets();
    }
    return built;
  }

  /// What fits now may be more than a reload can replace. Told at the start, and to a person who checks.
  void warn_of_reload() const {
    const std::uint64_t allowed = c_.config.dataplane.rules_memory;
    constexpr unsigned kGenerations = 3;
    if (!options_.known.empty() || octets_ * kGenerations <= allowed) return;
    c_.report.warning(
        c_.places.at("dataplane", 0, "rules_memory"),
        fmt::format(
            "the rules take {} MiB: when all of them change, rules_memory = {} MiB does not hold those "
            "of the three generations that there are during a reload",
            octets_ >> 20, allowed >> 20),
        fmt::format("write rules_memory = \"{}MiB\"", (octets_ * kGenerations >> 20) + 1));
  }

  static constexpr std::size_t kShownMistakes = 50;

  const Checking& c_;
  const LoadOptions& options_;
  Loaded& loaded_;
  std::unordered_map<std::string, std::uint32_t> handles_;
  std::uint64_t held_ = 0;    ///< octets of all sets there are
  std::uint64_t octets_ = 0;  ///< of those that were built now
};

}  // namespace

void check_meaning(const Checking& c, const BuiltRuleSets& built) {
  check_root_rules(c, built);
  std::size_t rules = 0;
  for (const auto& set : built)
    rules += set->rules();
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

void check_rules(const Checking& c, const LoadOptions& options, Loaded& loaded) {
  SetsBuilder(c, options, loaded).build();
}

}  // namespace shunt::conf
