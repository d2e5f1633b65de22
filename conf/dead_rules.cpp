#include "conf/dead_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

namespace shunt::conf {
namespace {

using rules::Cover;
using rules::Rule;
using rules::RuleIndex;

/// A rule among all sets.
struct Place {
  std::uint32_t set;
  RuleIndex rule;
};

/// What is in a rule's way: one rule of the same cover, or "=" and "*." together.
struct Winner {
  Place first;
  std::optional<Place> second;
};

/// The dead rules of one line.
struct DeadLine {
  std::uint32_t rules = 0;
  RuleIndex first = 0;
  Winner winner;
};

class Search {
 public:
  Search(const Checking& c, const BuiltRuleSets& built)
      : c_(c), built_(built), networks_of_(built.size()), dead_(built.size()) {
    std::unordered_map<std::string_view, std::uint32_t> numbers;
    for (const RuleSet& set : c.config.rule_sets)
      numbers.try_emplace(set.name, static_cast<std::uint32_t>(numbers.size()));
    for (const Network& network : c.config.networks) {
      std::vector<std::uint32_t> sets;
      for (const std::string& name : network.rules)
        if (const auto found = numbers.find(name); found != numbers.end()) sets.push_back(found->second);
      for (const std::uint32_t set : sets)
        networks_of_[set].push_back(networks_.size());
      networks_.push_back(std::move(sets));
    }
  }

  void run() {
    std::unordered_map<std::string_view, std::vector<Place>> names;
    for (std::uint32_t s = 0; s < built_.size(); ++s)
      for (const RuleIndex r : built_[s]->set->rules())
        names[name_of({s, r})].push_back({s, r});
    for (const auto& [name, places] : names)
      if (places.size() > 1) judge(places);
    for (std::uint32_t s = 0; s < built_.size(); ++s)
      warn(s);
  }

 private:
  const Rule& rule(Place p) const { return built_[p.set]->set->rule(p.rule); }
  std::string_view name_of(Place p) const {
    const auto wire = built_[p.set]->set->name(p.rule);
    return {reinterpret_cast<const char*>(wire.data()), wire.size()};
  }

  bool same_effect(Place a, Place b) const {
    const Rule &x = rule(a), &y = rule(b);
    if (x.action != y.action || x.action == rules::Action::kAnswer) return false;
    return x.action != rules::Action::kForward || x.argument == y.argument;
  }

  /// Of the rules of one name, those that win over `loser` wherever it would match in this network.
  std::optional<Winner> find_winner(const std::vector<std::uint32_t>& order, Place loser,
                                    const std::vector<Place>& places) const {
    std::optional<Place> exact, below;
    const auto position = std::find(order.begin(), order.end(), loser.set);
    for (const Place other : places) {
      const auto at = std::find(order.begin(), order.end(), other.set);
      if (at == order.end()) continue;
      const Cover cover = rule(other).cover;
      if (at < position && cover == rule(loser).cover) return Winner{other, {}};
      if (cover == Cover::kExact) exact = other;
      if (cover == Cover::kBelow) below = other;
    }
    if (rule(loser).cover == Cover::kSuffix && exact && below) return Winner{*exact, below};
    return {};
  }

  void judge(const std::vector<Place>& places) {
    for (const Place place : places) {
      std::optional<Winner> winner;
      for (const std::size_t network : networks_of_[place.set]) {
        winner = find_winner(networks_[network], place, places);
        if (!winner) break;
      }
      if (!winner) continue;
      if (same_effect(place, winner->first) && (!winner->second || same_effect(place, *winner->second)))
        continue;
      DeadLine& line = dead_[place.set][rule(place).line];
      if (line.rules++ == 0) {
        line.first = place.rule;
        line.winner = *winner;
      }
    }
  }

  /// A prefix or a hosts-file line makes several rules: the line is dead where all are.
  void warn(std::uint32_t s) const {
    if (dead_[s].empty()) return;
    std::unordered_map<std::uint32_t, std::uint32_t> rules_of;
    for (const RuleIndex r : built_[s]->set->rules())
      ++rules_of[rule({s, r}).line];
    std::vector<Diagnostic> warnings;
    for (const auto& [line, dead] : dead_[s])
      if (dead.rules == rules_of[line]) warnings.push_back(describe(s, line, dead));
    c_.report.add_warnings(std::move(warnings));
  }

  Diagnostic describe(std::uint32_t s, std::uint32_t line, const DeadLine& dead) const {
    const RuleSet& source = c_.config.rule_sets[s];
    const bool in_list = line < built_[s]->list_lines;
    const Position where = in_list ? source.list_positions[line] : Position{line - built_[s]->list_lines, 1};
    const auto placed = [this](Place p) {
      return fmt::format("{} ({})", text(p),
                         built_[p.set]->describe_line(c_.config, c_.config.rule_sets[p.set], rule(p).line));
    };
    const std::string winners = dead.winner.second ? fmt::format("{} and {} come", placed(dead.winner.first),
                                                                 placed(*dead.winner.second))
                                                   : fmt::format("{} comes", placed(dead.winner.first));
    return {in_list ? c_.report.path() : source.file,
            where,
            fmt::format("{}: {} can never match", title("rules", source.name), text({s, dead.first})),
            fmt::format("{} first in every network that uses the set", winners),
            {}};
  }

  /// The rule as it would be written, in quotes.
  std::string text(Place p) const {
    return in_quotes(rule_text(*built_[p.set]->set, p.rule,
                               [this](std::uint32_t handle) { return c_.config.upstreams[handle].name; }));
  }

  const Checking& c_;
  const BuiltRuleSets& built_;
  std::vector<std::vector<std::uint32_t>> networks_;     ///< the sets of each, in order
  std::vector<std::vector<std::size_t>> networks_of_;    ///< of each set
  std::vector<std::map<std::uint32_t, DeadLine>> dead_;  ///< of each set, by line
};

}  // namespace

void check_dead_rules(const Checking& c, const BuiltRuleSets& built) {
  std::size_t rules = 0;
  for (const auto& set : built)
    rules += set->set->size();
  if (rules > kMostRulesSearched) {
    c.report.warning({}, fmt::format("with {} rules, those that can never match are not looked for", rules),
                     fmt::format("they are among up to {} rules", kMostRulesSearched));
    return;
  }
  Search(c, built).run();
}

}  // namespace shunt::conf
