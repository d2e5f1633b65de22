// Rules that can never match: in every network that uses their set, others of the same name win.
#pragma once

#include <vector>

#include "conf/check.h"
#include "conf/rule_lines.h"

namespace shunt::conf {

/// Looked for among at most so many rules: the search holds every name in an index.
inline constexpr std::size_t kMostRulesSearched = 4'000'000;

/// Warns of each line none of whose rules can ever match, unless the winner does the same. `built` has the
/// sets of config.rule_sets, in that order. Slow: for `check`, not for a reload.
void check_dead_rules(const Checking& c, const BuiltRuleSets& built);

}  // namespace shunt::conf
