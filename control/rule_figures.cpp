#include "control/rule_figures.h"

#include <algorithm>
#include <map>

#include "dataplane/base/limits.h"
#include "dataplane/base/sampling.h"

namespace shunt::control {

RuleFigures::RuleFigures(Read read) : read_(std::move(read)) {
  for (unsigned number = kMaxFigures - 1; number > 0; --number)
    free_.push_back(static_cast<FigureNumber>(number));
}

RuleFigures::Entry& RuleFigures::entry_of(const RuleIdentity& identity) {
  Entry& entry = entries_[identity.key];
  entry.identity = identity;
  return entry;
}

// The generation's first identities.
void RuleFigures::want_listed(std::size_t identities) {
  const CountableRules& listed = generation_->countable;
  for (const CountableRules::Rule& rule : listed.rules) {
    if (rule.identity >= identities) continue;
    Entry& entry = entry_of(listed.identities[rule.identity]);
    wanted_ += !entry.wanted;
    entry.wanted = true;
    entry.places.push_back(rule.place);
  }
}

// Rules that have figures keep them, as long as they are there.
void RuleFigures::want_survivors() {
  for (auto& [key, entry] : entries_) {
    if (wanted_ == limit_) return;
    if (entry.wanted || entry.number == 0 || entry.identity.has_id) continue;
    entry.places = find_rule(*generation_, entry.identity);
    entry.wanted = !entry.places.empty();
    wanted_ += entry.wanted;
  }
}

RuleFigures::Counted RuleFigures::set_generation(std::shared_ptr<const Generation> generation,
                                                 Clock::time_point now) {
  generation_ = std::move(generation);
  limit_ = generation_->config.rule_figures;
  for (auto& [key, entry] : entries_) {
    entry.wanted = false;
    entry.places.clear();
  }
  wanted_ = 0;
  const CountableRules& listed = generation_->countable;
  sampling_ = limit_ != 0 && (!listed.all || listed.identities.size() > limit_);
  if (!sampling_ && limit_ != 0) {
    want_listed(listed.identities.size());
  } else {
    const auto with_id = static_cast<std::size_t>(std::count_if(
        listed.identities.begin(), listed.identities.end(), [](const RuleIdentity& i) { return i.has_id; }));
    want_listed(std::min(with_id, limit_));
    want_survivors();
  }
  sampled_.clear();
  settle(now);
  forget_some();
  return make(nullptr);
}

FigureCounts RuleFigures::totals(const Entry& entry) const {
  FigureCounts counts = entry.base;
  if (entry.number != 0) {
    counts += read_(entry.number);
    counts -= entry.start;
  }
  return counts;
}

// Gives numbers to those who are wanted and have none, and lays to rest those of who isn't.
void RuleFigures::settle(Clock::time_point now) {
  missing_ = false;
  for (auto& [key, entry] : entries_) {
    if (!entry.wanted) {
      if (entry.number != 0 && entry.rests_until == Clock::time_point{}) entry.rests_until = now + kRest;
      continue;
    }
    entry.rests_until = {};
    if (entry.number != 0) continue;
    if (free_.empty()) {
      missing_ = true;
      continue;
    }
    entry.number = free_.back();
    free_.pop_back();
    entry.start = read_(entry.number);
    entry.whole_round = false;
  }
}

// Frees the numbers that have rested. True where somebody waits for one.
bool RuleFigures::wake_numbers(Clock::time_point now) {
  for (auto& [key, entry] : entries_) {
    if (entry.wanted || entry.number == 0 || now < entry.rests_until) continue;
    entry.base = totals(entry);
    free_.insert(free_.begin(), entry.number);
    entry.number = 0;
    entry.rests_until = {};
  }
  return missing_ && !free_.empty();
}

void RuleFigures::take(const RuleSample& sample) {
  if (!sampling_ || sample.epoch != epoch_) return;
  taken_ += sample.queries;
  // The epoch is this generation's, and so is the set.
  const std::pair key{static_cast<const rules::RuleSet*>(sample.set), sample.rule};
  auto found = sampled_.find(key);
  if (found == sampled_.end()) {
    if (sampled_.size() == kMostSampled || find_set_at(*generation_, sample.set) == nullptr) return;
    found = sampled_.try_emplace(key).first;
  }
  found->second.queries += sample.queries;
  ++found->second.samples;
}

// Those who may have to give up their number, by queries in the round, fewest first.
std::vector<std::pair<std::uint64_t, RuleFigures::Entry*>> RuleFigures::end_round() {
  std::vector<std::pair<std::uint64_t, Entry*>> quiet;
  for (auto& [key, entry] : entries_) {
    if (!entry.wanted || entry.number == 0) continue;
    const std::uint64_t queries = totals(entry).queries();
    if (entry.whole_round && !entry.identity.has_id) quiet.emplace_back(queries - entry.before, &entry);
    entry.before = queries;
    entry.whole_round = true;
  }
  std::sort(quiet.begin(), quiet.end());
  return quiet;
}

// True where numbers changed hands.
bool RuleFigures::judge(Clock::time_point now, std::uint64_t offered) {
  // What arrived stands for what found no room, too.
  const std::uint64_t each = taken_ == 0 ? 0 : std::max(taken_, offered - offered_before_) / taken_;
  std::map<std::string, std::pair<Sampled, RulePlace>> by_identity;
  for (const auto& [place, sampled] : sampled_) {
    const RulePlace at{place.first, place.second};
    auto& found = by_identity[identity_of(*generation_, at).key];
    found.first.queries += sampled.queries;
    found.first.samples += sampled.samples;
    found.second = at;
  }
  std::vector<std::pair<Sampled, RulePlace>> busy;
  for (const auto& [key, found] : by_identity)
    busy.push_back(found);
  std::sort(busy.begin(), busy.end(),
            [](const auto& a, const auto& b) { return a.first.queries > b.first.queries; });

  const auto quiet = end_round();
  auto quietest = quiet.begin();
  bool changed = false;
  std::size_t free = free_.size();
  for (const auto& [sampled, place] : busy) {
    if (free == 0) break;
    if (wanted_ >= limit_) {
      if (quietest == quiet.end()) break;
      if (sampled.samples < kLeastSamples) continue;
      if (sampled.queries * each <= kClearly * quietest->first) break;
      quietest->second->wanted = false;
      quietest->second->places.clear();
      --wanted_;
      ++quietest;
    }
    RuleIdentity identity = identity_of(*generation_, place);
    Entry& entry = entry_of(identity);
    if (entry.wanted) continue;
    entry.places = identity.has_id ? std::vector<RulePlace>{place} : find_rule(*generation_, identity);
    entry.wanted = true;
    ++wanted_;
    --free;
    changed = true;
  }
  if (changed) settle(now);
  return changed;
}

RuleFigures::Counted RuleFigures::tick(Clock::time_point now, std::uint64_t offered,
                                       const std::function<state::Routing()>& next_routing) {
  if (generation_ == nullptr) return nullptr;
  bool changed = wake_numbers(now);
  if (changed) settle(now);
  if (sampling_ && now - round_began_ >= kRound) {
    changed |= judge(now, offered);
    sampled_.clear();
    taken_ = 0;
    offered_before_ = offered;
    round_began_ = now;
    forget_some();
  }
  return changed ? make(next_routing) : nullptr;
}

void RuleFigures::forget_some() {
  for (auto at = entries_.begin(); at != entries_.end() && entries_.size() > kMostRemembered;)
    at = at->second.number == 0 && !at->second.wanted ? entries_.erase(at) : std::next(at);
}

RuleFigures::Counted RuleFigures::make(const std::function<state::Routing()>& next_routing) {
  auto counted = std::make_shared<state::CountedRules>();
  counted->generation = generation_->number();
  counted->epoch = ++epoch_;
  counted->sampling = sampling_;
  std::vector<rules::FigureTable::Row> rows;
  for (const auto& [key, entry] : entries_) {
    if (!entry.wanted || entry.number == 0) continue;
    for (const RulePlace& place : entry.places)
      rows.push_back({place.set, place.rule, entry.number});
  }
  counted->table = rules::FigureTable(rows);
  if (next_routing != nullptr) {
    std::map<state::Routing, state::Routing> fresh;  // networks that share one go on doing so
    for (const state::Network& network : generation_->snapshot->networks) {
      state::Routing& routing = fresh[network.routing];
      if (routing == state::kNoRouting) routing = next_routing();
      counted->routings.push_back(routing);
    }
  }
  return counted;
}

std::vector<RuleMetrics> RuleFigures::metrics() const {
  std::vector<RuleMetrics> all;
  for (const auto& [key, entry] : entries_) {
    if (!entry.wanted || entry.number == 0) continue;
    all.push_back({entry.identity.rule, entry.identity.set, entry.identity.watch, totals(entry)});
  }
  return all;
}

}  // namespace shunt::control
