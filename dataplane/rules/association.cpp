#include "dataplane/rules/association.h"

#include <algorithm>
#include <span>

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

namespace {

std::vector<Match> all_of(std::span<const RuleSet* const> sets, const dns::Name& name) {
  std::vector<Match> all;
  for (std::size_t position = 0; position < sets.size(); ++position) {
    if (sets[position] == nullptr) continue;
    for (const RuleIndex i : sets[position]->find_all(name)) {
      const Rule& rule = sets[position]->rule(i);
      all.push_back({.rule = i,
                     .labels = rule.labels,
                     .cover = rule.cover,
                     .set = static_cast<std::uint8_t>(position)});
    }
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Match& a, const Match& b) { return a.precedence() > b.precedence(); });
  return all;
}

}  // namespace

std::vector<Match> Association::find_all(const dns::Name& name) const {
  return all_of(sets_, name);
}

std::vector<Match> Association::find_all_watches(const dns::Name& name) const {
  return all_of(watches_, name);
}

void Association::find_watches(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                               const Match* best, Match* watch) const {
  for (std::uint8_t position = 0; position < users_; ++position) {
    if (watches_[position] == nullptr) continue;
    watches_[position]->find_burst(count, names, hashes, position, watch);
  }
  // Where the best of the watches doesn't fire, no other does.
  for (unsigned i = 0; i < count; ++i) {
    const std::uint32_t rank = watch[i].precedence(), other = best[i].precedence();
    const bool fires = rank > other || (rank == other && watch[i].set <= best[i].set);
    if (!fires) watch[i] = {};
  }
}

}  // namespace shunt::rules
