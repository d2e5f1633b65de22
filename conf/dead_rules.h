// Rules that can never match: in every network that uses their set, others of the same name win.
#pragma once

#include <vector>

#include "conf/check.h"
#include "conf/rule_lines.h"

namespace shunt::conf {

/// Warns of each line none of whose rules can ever match, unless a winner does the same: then one of them is
/// redundant (redundant_rules.h). `built` has the sets of config.rule_sets, in that order. Holds every name
/// in an index. Slow: for `check`, not for a reload.
void check_dead_rules(const Checking& c, const BuiltRuleSets& built);

}  // namespace shunt::conf
