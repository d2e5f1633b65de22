#include "conf/dead_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "conf/rule_places.h"

namespace shunt::conf {
namespace {

using rules::Cover;
using rules::Rule;
using rules::RuleIndex;

/// What is in a rule's way: one rule of the same cover, or "=" and "*." together.
struct Winner {
  Place first;
  std::optional<Place> second;
};

/// The dead rules of one line.
struct DeadLine {
  std::uint32_t rules = 0;
  Place first{};
  Winner winner{};
};

class Search {
 public:
  Search(const Checking& c, const BuiltRuleSets& built)
      : built_(built), places_(c, built), dead_(built.size()) {}

  void run() {
    std::unordered_map<std::string_view, std::vector<Place>> names;
    for (std::uint32_t s = 0; s < built_.size(); ++s)
      places_.for_each(s, [&](Place place) { names[places_.name(place)].push_back(place); });
    for (const auto& [name, places] : names)
      if (places.size() > 1) judge(places);
    for (std::uint32_t s = 0; s < built_.size(); ++s)
      warn(s);
  }

 private:
  const Rule& rule(Place p) const { return places_.rule(p); }

  /// Of the rules of one name, those that win over `loser` wherever it would match in this network. A watch
  /// wins over other watches only.
  std::optional<Winner> find_winner(const std::vector<std::uint32_t>& order, Place loser,
                                    const std::vector<Place>& places) const {
    std::optional<Place> exact, below;
    const auto position = std::find(order.begin(), order.end(), loser.set);
    for (const Place other : places) {
      const auto at = std::find(order.begin(), order.end(), other.set);
      if (at == order.end() || (other.watch && !loser.watch)) continue;
      const Cover cover = rule(other).cover;
      if (at < position && cover == rule(loser).cover) return Winner{other, {}};
      if (cover == Cover::kExact) exact = other;
      if (cover == Cover::kBelow) below = other;
    }
    if (rule(loser).cover == Cover::kSuffix && exact && below) return Winner{*exact, below};
    return {};
  }

  /// Then one of them is redundant, not this one dead (redundant_rules.h).
  bool does_the_same(Place place, const Winner& winner) const {
    return places_.same_effect(place, winner.first) ||
           (winner.second && places_.same_effect(place, *winner.second));
  }

  void judge(const std::vector<Place>& places) {
    for (const Place place : places) {
      std::optional<Winner> winner;
      for (const std::uint32_t view : places_.views_of(place.set)) {
        winner = find_winner(places_.views()[view].sets, place, places);
        if (winner && does_the_same(place, *winner)) winner.reset();
        if (!winner) break;
      }
      if (!winner) continue;
      DeadLine& line = dead_[place.set][rule(place).line];
      if (line.rules++ == 0) {
        line.first = place;
        line.winner = *winner;
      }
    }
  }

  /// A prefix or a hosts-file line makes several rules: the line is dead where all are.
  void warn(std::uint32_t s) const {
    if (dead_[s].empty()) return;
    std::unordered_map<std::uint32_t, std::uint32_t> rules_of;
    places_.for_each(s, [&](Place place) { ++rules_of[rule(place).line]; });
    std::vector<Diagnostic> warnings;
    for (const auto& [line, dead] : dead_[s])
      if (dead.rules == rules_of[line]) warnings.push_back(describe(dead));
    places_.warn(s, std::move(warnings));
  }

  Diagnostic describe(const DeadLine& dead) const {
    const std::string winners = dead.winner.second
                                    ? fmt::format("{} and {} come", places_.placed(dead.winner.first),
                                                  places_.placed(*dead.winner.second))
                                    : fmt::format("{} comes", places_.placed(dead.winner.first));
    const Place place = dead.first;
    return places_.diagnostic(place, places_.text(place) + " can never match",
                              winners + " first in every network that uses the set");
  }

  const BuiltRuleSets& built_;
  const RulePlaces places_;
  std::vector<std::map<std::uint32_t, DeadLine>> dead_;  ///< of each set, by line
};

}  // namespace

void check_dead_rules(const Checking& c, const BuiltRuleSets& built) {
  Search(c, built).run();
}

}  // namespace shunt::conf
