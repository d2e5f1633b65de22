// The rules of a network: its user's rule sets in order, the apexes of its zones, the built-in names. What is
// chosen among them is decided here, for the workers and for `explain` alike.
//
// The longest name wins; for one name `=` before `*.` before the plain suffix; then the set that comes first
// here: a user's rule before a zone before a built-in name.
//
// A set's `watch` rules are a trie of their own beside it: a watch fires where it would have won, had it been
// among the others, and changes nothing about who wins. Who has none pays nothing.
//
// Owns no set. Threads: filled by one thread, then shared freely. Needs no DPDK.
#pragma once

#include <array>
#include <cassert>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "dataplane/base/limits.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/rule.h"
#include "dataplane/rules/trie.h"

namespace shunt::rules {

class Association {
 public:
  /// Match::set of what is no user's rule; those of the user's sets count from 0.
  static constexpr std::uint8_t kZones = kMaxRuleSetsPerNetwork, kBuiltin = kZones + 1;
  static constexpr std::uint8_t kPositions = kBuiltin + 1;

  /// The user's next set, and its watches, or null where it has none: kMaxRuleSetsPerNetwork at most.
  void add(const RuleSet& set, const RuleSet* watches = nullptr) {
    assert(users_ < kMaxRuleSetsPerNetwork);
    watches_[users_] = watches;
    watching_ |= watches != nullptr;
    sets_[users_++] = &set;
  }
  /// Implicit rules at the apexes of the network's zones; null: it has none.
  void set_zones(const RuleSet* set) { sets_[kZones] = set; }
  /// Null: switched off.
  void set_builtin(const RuleSet* set) { sets_[kBuiltin] = set; }

  /// The best match for each of `count` <= kBurst names: names[i], and hashes[d * kBurst + i] for their
  /// suffixes; skips null names. best[i] has to be an empty Match.
  void find_burst(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                  Match* best) const;
  /// The same for one name: hashes[d * stride] is the hash of its last d labels.
  Match find(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride = 1) const {
    return find_from(0, name, hashes, stride);
  }
  /// What a `system` rule leaves a name to: zones and built-in names. Nothing found: the network's default.
  Match find_system(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride = 1) const {
    return find_from(kZones, name, hashes, stride);
  }
  /// Every rule that covers `name`, best first: for `explain`.
  std::vector<Match> find_all(const dns::Name& name) const;

  bool has_watches() const { return watching_; }
  /// The watch that fires for each of a burst's names: the best one that would have won over `best`, which
  /// find_burst() found. watch[i] has to be an empty Match.
  void find_watches(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                    const Match* best, Match* watch) const;
  /// Every watch that covers `name`, best first: for `explain`.
  std::vector<Match> find_all_watches(const dns::Name& name) const;
  /// The set that a watch is from; null where none was found.
  const RuleSet* watches_of(const Match& watch) const {
    return watch.found() ? watches_[watch.set] : nullptr;
  }

  /// The set that a match is from; null where it found nothing.
  const RuleSet* set_of(const Match& match) const { return match.found() ? sets_[match.set] : nullptr; }
  static bool is_users(const Match& match) { return match.set < kZones; }

  friend auto operator<=>(const Association&, const Association&) = default;

 private:
  Match find_from(std::uint8_t position, const dns::Name& name, const std::uint64_t* hashes,
                  std::size_t stride) const;

  std::array<const RuleSet*, kPositions> sets_{};                 ///< by position; null: none there
  std::uint8_t users_ = 0;                                        ///< how many of the first are the user's
  bool watching_ = false;                                         ///< one of them has watches
  std::array<const RuleSet*, kMaxRuleSetsPerNetwork> watches_{};  ///< beside the user's sets
};

}  // namespace shunt::rules
