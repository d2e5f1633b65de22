// Which rules have figures of their own, and what these say across reloads. All rules do while they are at
// most [metrics] rules; above that those with an id=, then the busiest: workers tell of queries drawn by
// chance that went to a rule without figures, and one that is clearly busier than the least busy rule with
// figures takes its place.
//
// A number that a rule loses rests until no query in flight can still count for it, and is settled then. A
// rule's totals go on where they stopped when it comes back, for as long as the process lives and there are
// not very many of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "control/countable_rules.h"
#include "control/generation.h"
#include "control/rule_metrics.h"
#include "dataplane/base/figures.h"
#include "dataplane/state/snapshot.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class RuleFigures {
 public:
  using Clock = std::chrono::steady_clock;
  using Counted = std::shared_ptr<const state::CountedRules>;
  /// A number's figures, of all workers together.
  using Read = std::function<FigureCounts(FigureNumber)>;

  /// How often the busiest are looked for, and how long a number rests: longer than any wait (kMaxWaitMs).
  static constexpr std::chrono::seconds kRound{3}, kRest{6};
  /// What a rule without figures must have in samples, and how much busier it must be, to take another's.
  static constexpr std::uint64_t kLeastSamples = 8, kClearly = 2;
  static constexpr std::size_t kMostSampled = 4096;      ///< different rules in a round
  static constexpr std::size_t kMostRemembered = 16384;  ///< rules that have, or had, figures

  explicit RuleFigures(Read read);

  /// What is to be published with the generation's snapshot.
  Counted set_generation(std::shared_ptr<const Generation> generation, Clock::time_point now);
  void take(const RuleSample& sample);
  /// Every second or more often. `offered`: SampleRing::offered() of all workers.
  /// What it returns, if anything, is to be published: with routings of its own, from `next_routing`.
  Counted tick(Clock::time_point now, std::uint64_t offered,
               const std::function<state::Routing()>& next_routing);

  /// Of all rules that have figures now.
  std::vector<RuleMetrics> metrics() const;
  /// Do all rules have them?
  bool all() const { return !sampling_; }

 private:
  struct Entry {
    RuleIdentity identity;
    FigureNumber number = 0;
    bool wanted = false;            ///< has figures, or would if a number were free
    FigureCounts base, start;       ///< before this number, and what the number stood at
    std::vector<RulePlace> places;  ///< in the current generation
    std::uint64_t before = 0;       ///< queries at the last round's end
    bool whole_round = false;       ///< had its number when that ended
    Clock::time_point rests_until{};
  };

  Entry& entry_of(const RuleIdentity& identity);
  void want_listed(std::size_t identities);
  void want_survivors();
  void settle(Clock::time_point now);
  bool wake_numbers(Clock::time_point now);
  bool judge(Clock::time_point now, std::uint64_t offered);
  std::vector<std::pair<std::uint64_t, Entry*>> end_round();
  FigureCounts totals(const Entry& entry) const;
  void forget_some();
  Counted make(const std::function<state::Routing()>& next_routing);

  Read read_;
  std::shared_ptr<const Generation> generation_;
  std::map<std::string, Entry> entries_;
  std::vector<FigureNumber> free_;
  std::size_t limit_ = 0;
  std::size_t wanted_ = 0;
  bool missing_ = false;  ///< one that is wanted found no number
  bool sampling_ = false;
  std::uint32_t epoch_ = 0;
  struct Sampled {
    std::uint64_t queries = 0;  ///< that the samples stand for
    std::uint64_t samples = 0;
  };
  std::map<std::pair<const rules::RuleSet*, rules::RuleIndex>, Sampled> sampled_;  ///< in this round
  std::uint64_t taken_ = 0, offered_before_ = 0;                                   ///< in queries
  Clock::time_point round_began_{};
};

}  // namespace shunt::control
