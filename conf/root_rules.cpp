#include "conf/root_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "conf/rule_places.h"

namespace shunt::conf {
namespace {

using rules::Action;
using rules::Cover;
using rules::Rule;
using rules::RuleIndex;

/// What a set has to do with the root.
struct RootRules {
  RuleIndex rule = rules::kNoRule;  ///< takes all names
  bool keeps = false;               ///< some `system` takes names out of that
};

RootRules root_rules(const rules::RuleSet& set) {
  RootRules found;
  for (const RuleIndex r : set.rules()) {
    const Rule& rule = set.rule(r);
    if (rule.labels > 0) {
      found.keeps |= rule.action == Action::kSystem;
    } else if (rule.cover != Cover::kExact &&
               (found.rule == rules::kNoRule || rule.cover > set.rule(found.rule).cover)) {
      found.rule = r;
    }
  }
  return found;
}

/// The rule for all names that wins among a network's sets, where nothing is kept from it.
std::optional<Place> unlimited(const RulePlaces& places, const std::vector<RootRules>& roots,
                               const RuleView& view) {
  if (view.zones != nullptr) return {};
  std::optional<Place> best;
  for (const std::uint32_t s : view.sets) {
    if (roots[s].keeps) return {};
    const Place place{s, roots[s].rule};
    if (place.rule == rules::kNoRule) continue;
    if (!best || places.rule(place).cover > places.rule(*best).cover) best = place;
  }
  return best && places.rule(*best).action == Action::kForward ? best : std::nullopt;
}

std::string hint(const Network& network) {
  const char* const kept =
      network.autodefined ? "apart from localhost and private reverse names"
                          : "localhost and private reverse names, too: autodefined = true keeps them here";
  return fmt::format("{}; rules such as \"compute.internal system\" leave names to {}", kept,
                     network.default_upstream.empty() ? "the network's default, once it has one"
                                                      : in_quotes(network.default_upstream));
}

}  // namespace

void check_root_rules(const Checking& c, const BuiltRuleSets& built) {
  const RulePlaces places(c, built);
  std::vector<RootRules> roots;
  for (const auto& set : built)
    roots.push_back(root_rules(*set->set));
  // One warning for each rule, which names one network for all.
  std::map<std::uint32_t, std::pair<Place, std::uint32_t>> taken;
  std::map<std::uint32_t, std::size_t> networks;
  for (const RuleView& view : places.views()) {
    const std::optional<Place> place = unlimited(places, roots, view);
    if (!place) continue;
    taken.try_emplace(place->set, *place, view.networks.front());
    networks[place->set] += view.networks.size();
  }
  for (const auto& [set, found] : taken) {
    const auto& [place, number] = found;
    const Network& network = c.config.networks[number];
    const std::size_t more = networks[set] - 1;
    places.warn(
        set, {places.diagnostic(
                 place,
                 fmt::format("{} takes every name of network {}{}, none is kept from it", places.text(place),
                             in_quotes(network.name), more == 0 ? "" : " and of " + counted(more, "other")),
                 hint(network))});
  }
}

}  // namespace shunt::conf
