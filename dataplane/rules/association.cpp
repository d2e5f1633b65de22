#include "dataplane/rules/association.h"

#include <algorithm>

namespace shunt::rules {

// In both lookups a later set's match has to be better to be taken: so the earlier set wins for one name.

void Association::find_burst(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                             Match* best) const {
  const auto look = [&](std::uint8_t position) {
    sets_[position]->find_burst(count, names, hashes, position, best);
  };
  for (std::uint8_t position = 0; position < users_; ++position)
    look(position);
  for (const std::uint8_t position : {kZones, kBuiltin})
    if (sets_[position] != nullptr) look(position);
}

Match Association::find_from(std::uint8_t position, const dns::Name& name, const std::uint64_t* hashes,
                             std::size_t stride) const {
  Match best;
  for (; position < kPositions; ++position) {
    if (sets_[position] == nullptr) continue;
    Match match = sets_[position]->find(name, hashes, stride);
    if (match.precedence() <= best.precedence()) continue;
    match.set = position;
    best = match;
  }
  return best;
}

std::vector<Match> Association::find_all(const dns::Name& name) const {
  std::vector<Match> all;
  for (std::uint8_t position = 0; position < kPositions; ++position) {
    const RuleSet* const set = sets_[position];
    if (set == nullptr) continue;
    for (const RuleIndex i : set->find_all(name)) {
      const Rule& rule = set->rule(i);
      all.push_back({.rule = i, .labels = rule.labels, .cover = rule.cover, .set = position});
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Match& a, const Match& b) { return a.precedence() > b.precedence(); });
  return all;
}

}  // namespace shunt::rules
