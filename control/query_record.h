// One query of the log with all that its formats tell of it, put together off the fast path: whose network it
// came from, and which rule it went by, are looked up again in the generation that answered it.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "control/counters.h"
#include "control/recent_generations.h"
#include "control/rule_words.h"
#include "dataplane/base/address.h"
#include "dataplane/dns/name.h"
#include "dataplane/state/query_log.h"

namespace shunt::control {

struct QuestionText {
  dns::Name name;
  std::uint16_t type = 0, klass = 0;
};

/// Times are microseconds since 1970. What it points at is whoever's made it.
struct QueryRecord {
  std::int64_t asked_us = 0, ended_us = 0;
  SocketAddress client, server;
  std::optional<StreamKind> stream;  ///< none: UDP
  state::QueryEnd end = state::QueryEnd::kDropped;
  QueryDrop drop{};                       ///< why, for kDropped
  std::span<const std::uint8_t> message;  ///< the answer; of a query that was dropped, the query
  std::optional<QuestionText> question;   ///< none: it can't be read
  std::string_view network;               ///< "": none, or its generation has gone
  RuleWords rule;                         ///< that won; its text is "" likewise, or where none matched
};

/// "cache", "rule", "upstream", "default", "zone", "error", "dropped"
std::string_view name_of(state::QueryEnd end);

/// Finds network and rule. Belongs to the log's thread.
class QueryPlaces {
 public:
  explicit QueryPlaces(const dns::HashKey& key);

  RecentGenerations generations;
  /// Fills in the question, the network and the rule, for a query that the generation `number` answered;
  /// number 0: the current one.
  void find(QueryRecord& record, std::uint64_t number);

 private:
  dns::HashKey key_;
  std::vector<std::uint64_t> hashes_;
};

}  // namespace shunt::control
