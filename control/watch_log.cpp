#include "control/watch_log.h"

#include <fmt/format.h>

#include "conf/rule_answer.h"
#include "control/rule_words.h"
#include "dataplane/dns/name.h"

namespace shunt::control {

void WatchLog::set_generation(std::shared_ptr<const Generation> generation, Clock::time_point now) {
  before_ = std::move(generation_);
  generation_ = std::move(generation);
  changed_ = now;
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
  if (before_ != nullptr && now - changed_ >= kKeepBefore) before_.reset();
  if (now - second_began_ < std::chrono::seconds(1)) return;
  if (left_out_ != 0) write_(fmt::format("watch: {} more queries in that second, left out", left_out_));
  second_began_ = now;
  written_ = 0;
  left_out_ = 0;
}

std::string WatchLog::line_for(const WatchedQuery& query) const {
  const std::string asked = fmt::format("watch: {} asks {} {}", query.client.address.to_string(),
                                        dns::to_text(query.name), conf::type_text(query.type));
  for (const Generation* generation : {generation_.get(), before_.get()}) {
    if (generation == nullptr || generation->number() != query.generation) continue;
    const auto& networks = generation->snapshot->networks;
    if (query.network >= networks.size()) break;
    const state::Network& network = networks[query.network];
    const rules::RuleSet* const set = network.rules.watches_of({.rule = query.rule, .set = query.set});
    if (set == nullptr) break;
    const RuleWords words = describe_rule(*generation, *set, query.rule);
    const std::string id = words.id.empty() ? "" : " id=" + words.id;
    return fmt::format("{} (network {}): {}{} ({}, {})", asked, network.name, words.text, id, words.set,
                       words.where);
  }
  return fmt::format("{}, by a rule of generation {}, which is gone", asked, query.generation);
}

}  // namespace shunt::control
