// What the searches through built rule sets have in common: rules by place, what networks make of the sets,
// and rules in words.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "conf/check.h"
#include "conf/rule_lines.h"

namespace shunt::conf {

/// A rule among all sets of a configuration.
struct Place {
  std::uint32_t set = 0;
  rules::RuleIndex rule = rules::kNoRule;
  bool watch = false;  ///< of the set's `watch` rules
};

/// The sets that a network associates, in order, and its zones. Networks that are alike in this have one
/// view.
struct RuleView {
  std::vector<std::uint32_t> sets;
  bool autodefined = true;
  std::shared_ptr<const rules::RuleSet> zones;  ///< their apexes; null: it has none
  std::vector<std::uint32_t> networks;          ///< those that have it, at least one
};

/// The rule sets of a configuration, built; `built` has those of config.rule_sets, in that order, with the
/// index of an upstream as its handle. Refers to both arguments.
class RulePlaces {
 public:
  RulePlaces(const Checking& c, const BuiltRuleSets& built);

  const std::vector<RuleView>& views() const { return views_; }
  /// The views with `set` among their sets.
  const std::vector<std::uint32_t>& views_of(std::uint32_t set) const { return views_of_[set]; }

  /// All rules of a set but `watch`.
  const rules::RuleSet& set(std::uint32_t s) const { return *built_[s]->set; }
  const rules::RuleSet& set_of(Place p) const {
    return p.watch ? *built_[p.set]->watches : *built_[p.set]->set;
  }
  const rules::Rule& rule(Place p) const { return set_of(p).rule(p.rule); }
  /// Calls `each` with every rule of a set, its watches among them.
  template <typename Each>
  void for_each(std::uint32_t set, Each each) const {
    for (const rules::RuleIndex r : built_[set]->set->rules())
      each(Place{set, r, false});
    if (built_[set]->watches == nullptr) return;
    for (const rules::RuleIndex r : built_[set]->watches->rules())
      each(Place{set, r, true});
  }
  /// Its name in wire format.
  std::string_view name(Place p) const;
  bool has_id(Place p) const { return !built_[p.set]->id_of(rule(p).line).empty(); }
  /// Do both answer a query alike?
  bool same_effect(Place a, Place b) const;

  /// The rule as it would be written, in quotes.
  std::string text(Place p) const;
  /// The same with where it was written: `"a.example system" (corp.rules:17)`.
  std::string placed(Place p) const;
  /// A diagnostic at the rule's line.
  Diagnostic diagnostic(Place p, std::string message, std::string hint) const;
  /// Hands over warnings of one set, in the order of their lines; those that lie in its file get their source
  /// lines from there.
  void warn(std::uint32_t set, std::vector<Diagnostic> warnings) const;

 private:
  const Checking& c_;
  const BuiltRuleSets& built_;
  std::vector<RuleView> views_;
  std::vector<std::vector<std::uint32_t>> views_of_;  ///< of each set
};

}  // namespace shunt::conf
