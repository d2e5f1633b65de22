#include "conf/rule_places.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "conf/line_file.h"
#include "conf/zone.h"
#include "dataplane/rules/trie_builder.h"

namespace shunt::conf {
namespace {

bool same_records(const rules::Answer& a, const rules::Answer& b) {
  return std::equal(a.groups.begin(), a.groups.end(), b.groups.begin(), b.groups.end(),
                    [](const rules::AnswerGroup& x, const rules::AnswerGroup& y) {
                      return x.type == y.type && x.wire == y.wire;
                    });
}

/// What stands at `path` in the lines of `sorted`, and where in them it begins. A file that is gone meanwhile
/// leaves them empty.
void add_source_lines(const std::string& path, std::vector<Diagnostic>& sorted) {
  constexpr std::size_t kShown = 4096;
  LineFile file;
  if (!file.open(path).empty()) return;
  std::uint32_t number = 0;
  for (Diagnostic& d : sorted) {
    if (d.file != path) continue;
    std::optional<LineFile::Line> line;
    while (number < d.position.line && (line = file.next()))
      ++number;
    if (!line) return;
    d.source_line = line->text.substr(0, kShown);
    d.position.column = 1 + static_cast<std::uint32_t>(std::min(line->text.find_first_not_of(" \t"), kShown));
  }
}

/// Which of the zones are a network's.
std::vector<std::uint32_t> zones_of(const Config& config, const std::string& network) {
  std::vector<std::uint32_t> zones;
  for (std::uint32_t z = 0; z < config.zones.size(); ++z)
    if (config.zones[z].zone != nullptr && std::ranges::count(config.zones[z].networks, network) != 0)
      zones.push_back(z);
  return zones;
}

std::shared_ptr<const rules::RuleSet> apexes_of(const Config& config,
                                                const std::vector<std::uint32_t>& zones) {
  if (zones.empty()) return nullptr;
  rules::RuleSetBuilder builder(dns::HashKey{});
  for (const std::uint32_t z : zones)
    builder.add(config.zones[z].zone->apex(), rules::Cover::kSuffix, rules::Action::kZone, z, 0);
  return builder.build();
}

}  // namespace

RulePlaces::RulePlaces(const Checking& c, const BuiltRuleSets& built)
    : c_(c), built_(built), views_of_(built.size()) {
  std::unordered_map<std::string_view, std::uint32_t> numbers;
  for (const RuleSet& set : c.config.rule_sets)
    numbers.try_emplace(set.name, static_cast<std::uint32_t>(numbers.size()));
  using Numbers = std::vector<std::uint32_t>;
  std::map<std::tuple<Numbers, bool, Numbers>, std::size_t> known;
  for (std::uint32_t n = 0; n < c.config.networks.size(); ++n) {
    const Network& network = c.config.networks[n];
    std::vector<std::uint32_t> sets;
    for (const std::string& name : network.rules)
      if (const auto found = numbers.find(name); found != numbers.end()) sets.push_back(found->second);
    const Numbers zones = zones_of(c.config, network.name);
    const auto [view, is_new] = known.try_emplace({sets, network.autodefined, zones}, views_.size());
    if (is_new) {
      for (const std::uint32_t set : sets)
        views_of_[set].push_back(static_cast<std::uint32_t>(views_.size()));
      views_.push_back({std::move(sets), network.autodefined, apexes_of(c.config, zones), {}});
    }
    views_[view->second].networks.push_back(n);
  }
}

std::string_view RulePlaces::name(Place p) const {
  const auto wire = set_of(p).name(p.rule);
  return {reinterpret_cast<const char*>(wire.data()), wire.size()};
}

bool RulePlaces::same_effect(Place a, Place b) const {
  const rules::Rule &x = rule(a), &y = rule(b);
  if (x.action != y.action) return false;
  if (x.action == rules::Action::kAnswer)
    return same_records(set_of(a).answer(x.argument), set_of(b).answer(y.argument));
  return x.action != rules::Action::kForward || x.argument == y.argument;
}

std::string RulePlaces::text(Place p) const {
  return in_quotes(rule_text(set_of(p), p.rule,
                             [this](std::uint32_t handle) { return c_.config.upstreams[handle].name; }));
}

std::string RulePlaces::placed(Place p) const {
  return fmt::format("{} ({})", text(p),
                     built_[p.set]->describe_line(c_.config, c_.config.rule_sets[p.set], rule(p).line));
}

Diagnostic RulePlaces::diagnostic(Place p, std::string message, std::string hint) const {
  const RuleSet& source = c_.config.rule_sets[p.set];
  const std::uint32_t line = rule(p).line, list_lines = built_[p.set]->list_lines;
  const bool in_list = line < list_lines;
  return {in_list ? c_.report.path() : source.file,
          in_list ? source.list_positions[line] : Position{line - list_lines, 1},
          fmt::format("{}: {}", title("rules", source.name), message),
          std::move(hint),
          {}};
}

void RulePlaces::warn(std::uint32_t set, std::vector<Diagnostic> warnings) const {
  const std::string& path = c_.config.rule_sets[set].file;
  if (std::ranges::any_of(warnings, [&](const Diagnostic& d) { return d.file == path; }))
    add_source_lines(path, warnings);
  c_.report.add_warnings(std::move(warnings));
}

}  // namespace shunt::conf
