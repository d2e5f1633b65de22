#include "control/rule_words.h"

#include <fmt/format.h>

#include "conf/zone.h"

namespace shunt::control {

RuleWords describe_rule(const Generation& generation, const rules::RuleSet& set, rules::RuleIndex rule) {
  RuleWords words;
  words.text = conf::rule_text(set, rule, [&](std::uint32_t handle) {
    const state::Upstream* upstream = generation.snapshot->upstream(handle);
    return upstream == nullptr ? std::string() : upstream->name;
  });
  if (set.rule(rule).action == rules::Action::kZone) {
    const conf::Zone& zone = *generation.config.zones[set.rule(rule).argument].zone;
    words.set = "zone";
    words.where = fmt::format("{}:{}", zone.file(), zone.soa_line());
    return words;
  }
  const conf::BuiltRuleSet* built = generation.find_set(&set);
  if (built == nullptr) {
    words.set = words.where = "built-in";
    return words;
  }
  const std::uint32_t line = set.rule(rule).line;
  words.set = built->name;
  words.where = built->describe_line(generation.config, *generation.source_of(built), line);
  words.id = built->id_of(line);
  return words;
}

}  // namespace shunt::control
