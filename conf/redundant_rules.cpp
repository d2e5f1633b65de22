#include "conf/redundant_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <utility>

#include "conf/rule_places.h"
#include "conf/zone.h"

namespace shunt::conf {
namespace {

using rules::Cover;
using rules::Rule;
using rules::RuleIndex;

/// Many networks with a large set in common would make the search endless: it ends after so many lookups.
constexpr std::size_t kMostLookups = 64'000'000;

/// As Match::precedence: the longest name first, then "=", "*.", suffix.
std::uint32_t precedence(const Rule& rule) {
  return std::uint32_t{rule.labels} << 2 | static_cast<std::uint32_t>(rule.cover);
}

/// A name that the rule covers and that no rule of its name with a stronger cover does; none where a "*." has
/// no room for a name below.
std::optional<dns::Name> covered_name(std::span<const std::uint8_t> wire, Cover cover) {
  std::vector<std::uint8_t> octets;
  if (cover == Cover::kBelow) octets = {1, 'a'};
  octets.insert(octets.end(), wire.begin(), wire.end());
  dns::Name name;
  if (dns::read_name(octets, name) != octets.size()) return {};
  return name;
}

/// Who does the same: a rule of the user's, a zone, or a built-in rule.
struct Cause {
  std::optional<Place> rule;
  RuleIndex builtin = rules::kNoRule;
  const Zone* zone = nullptr;
};

/// How a rule stands in one network: needed, or never used because an earlier set's is equal or another, or
/// covered by what does the same.
struct Standing {
  enum Kind : std::uint8_t { kNeeded, kBehindEqual, kBehindOther, kCovered } kind = kNeeded;
  Cause cause;
};

/// The redundant rules of one line.
struct RedundantLine {
  std::uint32_t rules = 0;
  RuleIndex first = 0;
  Cause cause;
};

class Search {
 public:
  Search(const Checking& c, const BuiltRuleSets& built)
      : c_(c),
        built_(built),
        places_(c, built),
        builtin_(build_builtin_rules(dns::HashKey{})),
        covering_(built.size()),
        looked_up_(built.size()) {}

  void run() {
    for (std::uint32_t s = 0; s < built_.size(); ++s) {
      const std::map<std::uint32_t, RedundantLine> lines = redundant_lines(s);
      if (lookups_ > kMostLookups) {
        c_.report.warning({},
                          "the networks have too many rules in common to look for all that change nothing",
                          fmt::format("the search ended after {} million lookups", kMostLookups / 1'000'000));
        return;
      }
      warn(s, lines);
    }
  }

 private:
  std::map<std::uint32_t, RedundantLine> redundant_lines(std::uint32_t s) {
    std::map<std::uint32_t, RedundantLine> lines;
    for (const RuleIndex r : places_.set(s).rules()) {
      if (lookups_ > kMostLookups) return {};
      const std::optional<Standing> standing = judge({s, r});
      if (!standing) continue;
      RedundantLine& line = lines[places_.rule({s, r}).line];
      if (line.rules++ == 0) line = {1, r, standing->cause};
    }
    // A prefix or a hosts-file line makes several rules: the line is redundant where all are.
    std::unordered_map<std::uint32_t, std::uint32_t> rules_of;
    if (!lines.empty())
      for (const RuleIndex r : places_.set(s).rules())
        ++rules_of[places_.rule({s, r}).line];
    std::erase_if(lines, [&](const auto& line) { return line.second.rules != rules_of[line.first]; });
    return lines;
  }

  /// Nothing, where some network needs the rule, or all have another in its way (dead_rules.h).
  std::optional<Standing> judge(Place place) {
    if (places_.has_id(place)) return {};
    const std::optional<dns::Name> name =
        covered_name(places_.set(place.set).name(place.rule), places_.rule(place).cover);
    if (!name) return {};
    ++round_;
    std::optional<Standing> told;
    for (const std::uint32_t view : places_.views_of(place.set)) {
      const Standing here = standing(place, *name, places_.views()[view]);
      if (here.kind == Standing::kNeeded) return {};
      if (!told && here.kind != Standing::kBehindOther) told = here;
    }
    return told;
  }

  Standing standing(Place place, const dns::Name& name, const RuleView& view) {
    const std::uint32_t own = precedence(places_.rule(place));
    std::optional<Place> next;
    std::uint32_t next_precedence = 0;
    bool earlier = true;
    for (const std::uint32_t s : view.sets) {
      if (s == place.set) earlier = false;
      for (const RuleIndex r : covering(s, name)) {
        const Place other{s, r};
        const std::uint32_t rank = precedence(places_.rule(other));
        if (rank > own || (s == place.set && r == place.rule)) continue;
        if (rank == own) {  // of the same name and cover: the first set's wins, and stands for all of them
          const bool same = places_.same_effect(place, other);
          if (earlier) return {same ? Standing::kBehindEqual : Standing::kBehindOther, {other}};
          if (!same) return {};
          continue;
        }
        if (next && rank <= next_precedence) break;
        next = other;
        next_precedence = rank;
        break;
      }
    }
    if (frees_a_watch(name, own, next ? next_precedence : 0, view)) return {};
    if (const Zone* zone = zone_between(view, name, own, next, next_precedence); zone != nullptr) {
      const bool same = places_.rule(place).action == rules::Action::kSystem;
      return {same ? Standing::kCovered : Standing::kNeeded, {{}, rules::kNoRule, zone}};
    }
    const RuleIndex builtin =
        view.autodefined ? builtin_between(name, own, next, next_precedence) : rules::kNoRule;
    if (builtin != rules::kNoRule)
      return {does_as_builtin(place, builtin) ? Standing::kCovered : Standing::kNeeded, {{}, builtin}};
    return {next && places_.same_effect(place, *next) ? Standing::kCovered : Standing::kNeeded, {next}};
  }

  /// A watch fires where it would have won: without the rule one may, that comes before what has its turn
  /// then.
  bool frees_a_watch(const dns::Name& name, std::uint32_t own, std::uint32_t next_precedence,
                     const RuleView& view) const {
    return std::ranges::any_of(view.sets, [&](std::uint32_t s) {
      const rules::RuleSet* const watches = built_[s]->watches.get();
      return watches != nullptr && std::ranges::any_of(watches->find_all(name), [&](RuleIndex r) {
               const std::uint32_t rank = precedence(watches->rule(r));
               return rank <= own && rank >= next_precedence;
             });
    });
  }

  /// The zone that has its turn after the rule, and before the next one of the user's and any built-in name.
  const Zone* zone_between(const RuleView& view, const dns::Name& name, std::uint32_t own,
                           const std::optional<Place>& next, std::uint32_t next_precedence) const {
    if (view.zones == nullptr) return nullptr;
    const RuleIndex zone = first_at_most(*view.zones, name, own);
    if (zone == rules::kNoRule) return nullptr;
    const std::uint32_t rank = precedence(view.zones->rule(zone));
    const RuleIndex builtin = view.autodefined ? first_at_most(*builtin_, name, own) : rules::kNoRule;
    if ((next && rank <= next_precedence) ||
        (builtin != rules::kNoRule && precedence(builtin_->rule(builtin)) > rank))
      return nullptr;
    return c_.config.zones[view.zones->rule(zone).argument].zone.get();
  }

  /// The best rule for `name` whose precedence is `most` at most.
  static RuleIndex first_at_most(const rules::RuleSet& set, const dns::Name& name, std::uint32_t most) {
    for (const RuleIndex r : set.find_all(name))
      if (precedence(set.rule(r)) <= most) return r;
    return rules::kNoRule;
  }

  /// The built-in rule that has its turn after the rule and before the next one of the user's.
  RuleIndex builtin_between(const dns::Name& name, std::uint32_t own, const std::optional<Place>& next,
                            std::uint32_t next_precedence) const {
    const RuleIndex r = first_at_most(*builtin_, name, own);
    if (r == rules::kNoRule) return r;
    return !next || precedence(builtin_->rule(r)) > next_precedence ? r : rules::kNoRule;
  }

  bool does_as_builtin(Place place, RuleIndex builtin) const {
    const rules::Action action = places_.rule(place).action;
    return action == rules::Action::kSystem ||
           (action == builtin_->rule(builtin).action && action != rules::Action::kAnswer);
  }

  /// find_all, once for all networks that a rule is judged in.
  const std::vector<RuleIndex>& covering(std::uint32_t s, const dns::Name& name) {
    if (looked_up_[s] != round_) {
      looked_up_[s] = round_;
      covering_[s] = places_.set(s).find_all(name);
    }
    ++lookups_;
    return covering_[s];
  }

  void warn(std::uint32_t s, const std::map<std::uint32_t, RedundantLine>& lines) const {
    const RuleSet& source = c_.config.rule_sets[s];
    const bool list = !source.list_action.empty();
    std::vector<Diagnostic> warnings;
    for (const auto& [number, line] : lines) {
      if (list && lines.size() > 1) {
        warnings.push_back(one_for_all(s, line, lines.size()));
        break;
      }
      if (warnings.size() == kMostRedundantTold) {
        warnings.push_back({c_.report.path(),
                            source.position,
                            fmt::format("{}: {} more that change nothing", title("rules", source.name),
                                        counted(lines.size() - kMostRedundantTold, "rule")),
                            fmt::format("the first {} are told one by one", kMostRedundantTold),
                            {}});
        break;
      }
      const Place place{s, line.first};
      warnings.push_back(places_.diagnostic(place, places_.text(place) + " changes nothing", reason(line)));
    }
    places_.warn(s, std::move(warnings));
  }

  Diagnostic one_for_all(std::uint32_t s, const RedundantLine& line, std::size_t count) const {
    const Place place{s, line.first};
    return places_.diagnostic(
        place, fmt::format("{} lines change nothing, this one for example: {}", count, places_.text(place)),
        reason(line));
  }

  std::string reason(const RedundantLine& line) const {
    if (line.cause.zone != nullptr)
      return fmt::format("the zone {} does the same without it",
                         dns::to_text(line.cause.zone->apex().octets()));
    const std::string other =
        line.cause.rule
            ? places_.placed(*line.cause.rule)
            : "the built-in rule " +
                  in_quotes(rule_text(*builtin_, line.cause.builtin, [](std::uint32_t) { return ""; }));
    return other + " does the same without it";
  }

  const Checking& c_;
  const BuiltRuleSets& built_;
  const RulePlaces places_;
  const std::unique_ptr<const rules::RuleSet> builtin_;
  std::vector<std::vector<RuleIndex>> covering_;  ///< of each set, for the rule in hand
  std::vector<std::size_t> looked_up_;            ///< the round in which
  std::size_t round_ = 0, lookups_ = 0;
};

}  // namespace

void check_redundant_rules(const Checking& c, const BuiltRuleSets& built) {
  Search(c, built).run();
}

}  // namespace shunt::conf
