// The rule sets of a configuration, built once to find their mistakes, and thrown away.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "conf/check.h"
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

}  // namespace

void check_rules(const Checking& c, RuleFiles rule_files) {
  const auto& [config, places, report] = c;
  std::unordered_map<std::string_view, std::uint32_t> handles;
  for (const Upstream& u : config.upstreams)
    handles.try_emplace(u.name, static_cast<std::uint32_t>(handles.size()));
  const UpstreamResolver resolve = [&handles](std::string_view name) -> std::optional<std::uint32_t> {
    const auto found = handles.find(name);
    return found == handles.end() ? std::nullopt : std::optional(found->second);
  };
  for (std::size_t i = 0; i < config.rule_sets.size(); ++i) {
    RuleSet set = config.rule_sets[i];
    const bool has_list = places.has("rules", i, "list"), has_file = places.has("rules", i, "file");
    if (!has_list && !has_file)
      report.error(set.position, fmt::format("[[rules]] {}: it has no rules", in_quotes(set.name)),
                   R"(give list = ["onprem.corp forward corp-dns"], or file = "corp.rules", or both)");
    if (rule_files == RuleFiles::kIgnore) {
      set.file.clear();
    } else if (!set.file.empty()) {
      if (const std::string why = unreadable(set.file); !why.empty()) {
        report.error(
            places.at("rules", i, "file"),
            fmt::format("[[rules]] {}: can't read {}: {}", in_quotes(set.name), in_quotes(set.file), why),
            "the path is taken from the folder of the configuration file");
        set.file.clear();
      }
    }
    if (set.list.empty() && set.file.empty()) continue;
    std::vector<Diagnostic> errors;
    build_rule_set(config, set, dns::HashKey{}, resolve, errors);
    for (Diagnostic& error : errors)
      if (error.hint.empty()) error.hint = "rules are described in shunt.toml(5), RULE LINES";
    report.add_errors(std::move(errors));
  }
}

}  // namespace shunt::conf
