// Figures of single rules in the forms that people and their tools read.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dataplane/base/figures.h"

namespace shunt::control {

/// Labels come from the configuration alone.
struct RuleMetrics {
  std::string rule;  ///< its id=, or its name
  std::string set;
  bool watch = false;
  FigureCounts counts;  ///< since it was counted first
};

/// shunt_rule_…{rule="…",set="…"}: queries, answers by rcode, cache hits, drops, timeouts, and how long
/// answers were waited for. Rules that nobody asked for yet are left out.
void add_rules_text(std::string& text, const std::vector<RuleMetrics>& rules);

/// The rows of the `rules` command, the busiest first: [{"rule", "set", "watch", "queries", "cache_hits",
/// "answers": {"noerror", …}, "dropped", "timeouts", "p50_ms", "p99_ms"}]. Quantiles are upper bounds of
/// histogram buckets, null where nothing waited.
nlohmann::json rules_rows(std::vector<RuleMetrics> rules);

}  // namespace shunt::control
