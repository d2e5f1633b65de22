// A rule in words: what explain, the log and the metrics call it.
#pragma once

#include <string>

#include "control/generation.h"
#include "dataplane/rules/rule.h"
#include "dataplane/rules/trie.h"

namespace shunt::control {

struct RuleWords {
  std::string text;   ///< as it would be written: "*.onprem.corp forward corp-dns"
  std::string set;    ///< the name of its rule set, or "built-in"
  std::string where;  ///< "shunt.toml:31", "corp.rules:17", or "built-in"
  std::string id;     ///< its id=, or ""
};

/// `set` is one of the generation's rule sets, the watches of one, or its built-in rules.
RuleWords describe_rule(const Generation& generation, const rules::RuleSet& set, rules::RuleIndex rule);

}  // namespace shunt::control
