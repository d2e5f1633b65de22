// The rules of a generation that can have figures of their own, and who they are across generations.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/rules/trie.h"

namespace shunt::control {

struct Generation;

/// What stays of a rule when its set is built anew: its id= or, without one, its set's name and its own.
/// Rules of one identity, such as those of a prefix with an id=, count together.
struct RuleIdentity {
  std::string key;   ///< equal for equal identities
  std::string rule;  ///< the id=, or NAME as it would be written: "*.onprem.corp", "onprem.corp watch"
  std::string set;   ///< the rule set's name, or "built-in"
  bool has_id = false;
  bool watch = false;
  std::vector<std::uint8_t> name;  ///< wire format
  rules::Cover cover = rules::Cover::kSuffix;
};

struct RulePlace {
  const rules::RuleSet* set;
  rules::RuleIndex rule;
};

struct CountableRules {
  struct Rule {
    RulePlace place;
    std::uint32_t identity;  ///< index
  };
  std::vector<RuleIdentity> identities;  ///< those with an id= first
  std::vector<Rule> rules;
  bool all = true;  ///< false: there are too many to be listed; rules with an id= alone are
};

/// At most kMaxCountedRules identities. Looks at all rules: not on the control plane's thread.
CountableRules list_countable(const Generation& generation);

/// `set` is one of the generation's.
RuleIdentity identity_of(const Generation& generation, RulePlace place);

/// Where a rule without id= is in the generation; empty where it isn't there any more.
std::vector<RulePlace> find_rule(const Generation& generation, const RuleIdentity& identity);

/// Is this the address of one of the generation's sets? It need not be valid. Null: no.
const rules::RuleSet* find_set_at(const Generation& generation, const void* address);

}  // namespace shunt::control
