// Rules for "." that take more than was probably meant.
#pragma once

#include <vector>

#include "conf/check.h"
#include "conf/rule_lines.h"

namespace shunt::conf {

/// Warns of each `forward` for "." that wins in a network none of whose rules is a `system` below it: every
/// name goes to that upstream then, those that only the default upstream knows among them, and without
/// built-in rules also private reverse names. `built` has the sets of config.rule_sets, in that order.
void check_root_rules(const Checking& c, const BuiltRuleSets& built);

}  // namespace shunt::conf
