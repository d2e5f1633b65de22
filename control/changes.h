// What a reload changes: its rules in numbers and by name, and the other parts of the configuration by name.
#pragma once

#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/generation.h"

namespace shunt::control {

/// So many changes of rules are named, at most; the numbers count all.
inline constexpr std::size_t kMostNamedChanges = 1000;

/// A rule that changes. `before` and `after` are its action in words ("forward corp-dns"); one of them is
/// empty where the rule is added or removed.
struct RuleChange {
  std::string set, name, before, after;
};

/// A table that is added ('+') or removed ('-'), or whose keys change ('~'). `name` is empty for tables that
/// have none.
struct TableChange {
  char what = '~';
  std::string kind, name;
  std::vector<std::string> keys;
};

struct Changes {
  std::uint64_t added = 0, removed = 0, changed = 0;  ///< rules
  std::vector<RuleChange> rules;                      ///< in the order of the sets and their lines
  std::vector<TableChange> tables;
};

/// Sets that both generations share are passed over. `named`: tells the rules by name, too.
Changes compare(const Generation& before, const Generation& after, bool named);

/// {"tables": [{"change": "~", "kind": "network", "name": "prod", "keys": ["default"]}, …],
///  "rules": [{"change": "+", "set": "corp", "name": "onprem.corp", "before": "", "after": "forward a"}, …],
///  "rules_added": N, "rules_removed": N, "rules_changed": N}
nlohmann::json to_json(const Changes& changes);

}  // namespace shunt::control
