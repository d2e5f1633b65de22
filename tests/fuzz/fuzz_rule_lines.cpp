// Rule lines from anywhere: no text may do harm, and what was taken reads back as the same rules.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/rule_lines.h"

namespace {

using namespace shunt::conf;

const shunt::dns::HashKey kKey{};

Config make_config() {
  Config config;
  config.path = "fuzz.toml";
  Upstream upstream;
  upstream.name = "up";
  config.upstreams.push_back(upstream);
  return config;
}

BuiltRuleSet build(const Config& config, const RuleSet& source, std::vector<Diagnostic>& errors) {
  return build_rule_set(
      config, source, kKey,
      [](std::string_view name) { return name == "up" ? std::optional<std::uint32_t>(7) : std::nullopt; },
      errors);
}

using Set = shunt::rules::RuleSet;

std::string text_of(const Set& set, std::uint32_t rule) {
  return rule_text(set, rule, [](std::uint32_t) { return "up"; });
}

[[noreturn]] void fail(const char* what, const std::string& text) {
  std::fprintf(stderr, "%s: %s\n", what, text.c_str());
  std::abort();
}

/// The lines that `text`, a rule in words, was written as: the records of an answer are lines of their own.
std::vector<std::string> lines_of(const Set& set, std::uint32_t rule, const std::string& text) {
  if (set.rule(rule).action != shunt::rules::Action::kAnswer) return {text};
  const auto& groups = set.answer(set.rule(rule).argument).groups;
  if (groups.size() != 1 || groups[0].count != 1) return {};  // where one ends can't be told from text alone
  return {text};
}

}  // namespace

// ldns 1.8 loses two octets of some RDATA that it can't read ("CERT 0 issue"): not ours to free.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:ldns_rdf_new_frm_data";
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Config config = make_config();
  // The first line's first octet chooses a list_action.
  static constexpr const char* kListActions[] = {"", "block nxdomain", "forward up", "answer A 192.0.2.1"};
  if (size == 0) return 0;
  RuleSet source;
  source.name = "fuzz";
  source.list_action = kListActions[data[0] % 4];
  std::string_view rest(reinterpret_cast<const char*>(data + 1), size - 1);
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    source.list.emplace_back(rest.substr(0, end));
    rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  }
  std::vector<Diagnostic> errors;
  const BuiltRuleSet built = build(config, source, errors);
  if (!built.set) fail("no set", "");

  RuleSet again;
  again.name = "again";
  std::vector<std::string> expected;
  for (const Set* set : {built.set.get(), built.watches.get()}) {
    if (set == nullptr) continue;
    for (const shunt::rules::RuleIndex i : set->rules()) {
      const std::string text = text_of(*set, i);
      for (std::string& line : lines_of(*set, i, text)) {
        again.list.push_back(std::move(line));
        expected.push_back(text);
      }
    }
  }
  errors.clear();
  const BuiltRuleSet second = build(config, again, errors);
  if (!errors.empty()) fail("does not read back", to_text(errors) + again.list[errors[0].position.line]);
  if (second.rules() != expected.size()) fail("rules got lost", "");
  auto text = expected.begin();
  for (const Set* set : {second.set.get(), second.watches.get()}) {
    if (set == nullptr) continue;
    for (const shunt::rules::RuleIndex i : set->rules()) {
      if (text_of(*set, i) != *text) fail("reads back as another rule", *text);
      ++text;
    }
  }
  return 0;
}
