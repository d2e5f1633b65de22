#include "control/watch_log.h"

#include <fmt/format.h>

#include "conf/rule_answer.h"
#include "control/rule_words.h"
#include "dataplane/dns/name.h"

namespace shunt::control {

void WatchLog::set_generation(std::shared_ptr<const Generation> generation, Clock::time_point now) {
  generations_.set(std::move(generation), now);
}

void WatchLog::take(const WatchedQuery& query, Clock::time_point now) {
  tick(now);
  if (written_ == kLinesPerSecond) {
    ++left_out_;
    return;
  }
  ++written_;
  write_(line_for(query));
}

void WatchLog::tick(Clock::time_point now) {
  generations_.retire(now);
  if (now - second_began_ < std::chrono::seconds(1)) return;
  if (left_out_ != 0) write_(fmt::format("watch: {} more queries in that second, left out", left_out_));
  second_began_ = now;
  written_ = 0;
  left_out_ = 0;
}

std::string WatchLog::line_for(const WatchedQuery& query) const {
  const std::string asked = fmt::format("watch: {} asks {} {}", query.client.address.to_string(),
                                        dns::to_text(query.name), conf::type_text(query.type));
  std::string gone = fmt::format("{}, by a rule of generation {}, which is gone", asked, query.generation);
  const Generation* const generation = generations_.find(query.generation);
  if (generation == nullptr || query.network >= generation->snapshot->networks.size()) return gone;
  const state::Network& network = generation->snapshot->networks[query.network];
  const rules::RuleSet* const set = network.rules.watches_of({.rule = query.rule, .set = query.set});
  if (set == nullptr) return gone;
  const RuleWords words = describe_rule(*generation, *set, query.rule);
  const std::string id = words.id.empty() ? "" : " id=" + words.id;
  return fmt::format("{} (network {}): {}{} ({}, {})", asked, network.name, words.text, id, words.set,
                     words.where);
}

}  // namespace shunt::control
