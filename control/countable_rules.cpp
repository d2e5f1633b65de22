#include "control/countable_rules.h"

#include <algorithm>
#include <unordered_map>

#include "conf/rule_names.h"
#include "control/generation.h"
#include "dataplane/base/limits.h"

namespace shunt::control {
namespace {

// Calls `use` with every set of the generation, until it returns false.
template <typename Use>
void for_each_set(const Generation& generation, Use use) {
  for (const auto& built : generation.rule_sets) {
    if (!use(built->set.get())) return;
    if (built->watches != nullptr && !use(built->watches.get())) return;
  }
  if (generation.builtin != nullptr) use(generation.builtin.get());
}

class Lister {
 public:
  explicit Lister(const Generation& generation) : generation_(generation) {}

  CountableRules list() {
    for (const auto& built : generation_.rule_sets) {
      if (built->ids.empty()) continue;
      add_rules_of(*built->set, true);
      if (built->watches != nullptr) add_rules_of(*built->watches, true);
    }
    const std::size_t all =
        generation_.rules + (generation_.builtin != nullptr ? generation_.builtin->size() : 0);
    listed_.all = all <= kMaxCountedRules;
    if (!listed_.all) return std::move(listed_);
    for_each_set(generation_, [this](const rules::RuleSet* set) {
      add_rules_of(*set, false);
      return true;
    });
    return std::move(listed_);
  }

 private:
  void add_rules_of(const rules::RuleSet& set, bool with_id) {
    const conf::BuiltRuleSet* const built = generation_.find_set(&set);
    for (const rules::RuleIndex i : set.rules()) {
      const bool has_id = built != nullptr && !built->id_of(set.rule(i).line).empty();
      if (has_id == with_id) add({&set, i});
    }
  }
  void add(RulePlace place) {
    RuleIdentity identity = identity_of(generation_, place);
    auto known = numbers_.find(identity.key);
    if (known == numbers_.end()) {
      if (listed_.identities.size() == kMaxCountedRules) return;
      known = numbers_.emplace(identity.key, static_cast<std::uint32_t>(listed_.identities.size())).first;
      listed_.identities.push_back(std::move(identity));
    }
    listed_.rules.push_back({place, known->second});
  }

  const Generation& generation_;
  CountableRules listed_;
  std::unordered_map<std::string, std::uint32_t> numbers_;
};

}  // namespace

CountableRules list_countable(const Generation& generation) {
  return Lister(generation).list();
}

RuleIdentity identity_of(const Generation& generation, RulePlace place) {
  const rules::Rule& rule = place.set->rule(place.rule);
  const conf::BuiltRuleSet* const built = generation.find_set(place.set);
  const auto name = place.set->name(place.rule);
  RuleIdentity identity;
  identity.set = built != nullptr ? built->name : "built-in";
  identity.watch = rule.action == rules::Action::kWatch;
  identity.name.assign(name.begin(), name.end());
  identity.cover = rule.cover;
  if (built != nullptr) identity.rule = built->id_of(rule.line);
  identity.has_id = !identity.rule.empty();
  if (identity.has_id) {
    identity.key = "id " + identity.rule;
  } else {
    identity.rule = conf::rule_name_text(name, rule.cover) + (identity.watch ? " watch" : "");
    // Neither has a newline in it.
    identity.key = identity.set + "\n" + identity.rule;
  }
  return identity;
}

std::vector<RulePlace> find_rule(const Generation& generation, const RuleIdentity& identity) {
  dns::Name name;
  if (dns::read_name(identity.name, name) == 0) return {};
  std::vector<RulePlace> found;
  for_each_set(generation, [&](const rules::RuleSet* set) {
    const conf::BuiltRuleSet* const built = generation.find_set(set);
    if (identity.set != (built != nullptr ? built->name : "built-in")) return true;
    for (const rules::RuleIndex i : set->find_all(name)) {
      if (identity_of(generation, {set, i}).key == identity.key) found.push_back({set, i});
    }
    return found.empty();
  });
  return found;
}

const rules::RuleSet* find_set_at(const Generation& generation, const void* address) {
  const rules::RuleSet* found = nullptr;
  for_each_set(generation, [&](const rules::RuleSet* set) {
    if (set == address) found = set;
    return found == nullptr;
  });
  return found;
}

}  // namespace shunt::control
