// Rules that change nothing: without them the same would happen to every query.
#pragma once

#include <vector>

#include "conf/check.h"
#include "conf/rule_lines.h"

namespace shunt::conf {

/// Of a set, so many are told one by one; of a set with list_action, whose likes repeat themselves, one
/// stands for all.
inline constexpr std::size_t kMostRedundantTold = 20;

/// Warns of each line whose rules could all be taken out, in every network that uses the set: because an
/// earlier set has an equal rule for the same name, or because what covers the name next, a built-in rule
/// perhaps, does the same. All that are told may go together. Rules with an id=
/// are kept for the sake of their figures, and not told. `built` has the sets of config.rule_sets, in that
/// order. Slow: for `check`, not for a reload.
void check_redundant_rules(const Checking& c, const BuiltRuleSets& built);

}  // namespace shunt::conf
