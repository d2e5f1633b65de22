// What a rule set means, written as plainly as possible: a list, and every rule tried against the name. The
// trie has to agree.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/dns/name.h"
#include "dataplane/rules/rule.h"

namespace shunt::rules::test {

struct PlainRule {
  std::string wire;  ///< lower case
  unsigned labels;
  Cover cover;
  std::uint32_t line;
};

/// Is `suffix` (a wire name) at a label boundary at the end of `name`? Above it, or the name itself.
inline bool is_suffix(const std::string& suffix, const dns::Name& name) {
  for (unsigned label = 0; label <= name.labels; ++label) {
    const std::size_t start = name.offset[label];
    if (name.length - start != suffix.size()) continue;
    return std::equal(suffix.begin(), suffix.end(), name.wire.begin() + static_cast<std::ptrdiff_t>(start),
                      [](char a, std::uint8_t b) { return static_cast<std::uint8_t>(a) == b; });
  }
  return false;
}

inline bool covers(const PlainRule& rule, const dns::Name& name) {
  if (!is_suffix(rule.wire, name)) return false;
  switch (rule.cover) {
    case Cover::kSuffix:
      return true;
    case Cover::kBelow:
      return rule.wire.size() < name.length;
    case Cover::kExact:
      return rule.wire.size() == name.length;
  }
  return false;
}

/// The rules that cover `name`, best first.
inline std::vector<PlainRule> all_covering(const std::vector<PlainRule>& rules, const dns::Name& name) {
  std::vector<PlainRule> found;
  for (const PlainRule& rule : rules)
    if (covers(rule, name)) found.push_back(rule);
  std::sort(found.begin(), found.end(), [](const PlainRule& a, const PlainRule& b) {
    if (a.labels != b.labels) return a.labels > b.labels;
    return a.cover > b.cover;
  });
  return found;
}

}  // namespace shunt::rules::test
