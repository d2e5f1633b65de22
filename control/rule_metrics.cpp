#include "control/rule_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "control/metrics.h"
#include "control/metrics_text.h"

namespace shunt::control {
namespace {

using nlohmann::json;

constexpr std::array<std::string_view, 5> kRcodeNames{"noerror", "nxdomain", "servfail", "refused", "other"};

// Answers by what they are called, cached ones included.
std::array<std::uint64_t, kRcodeNames.size()> answers_of(const FigureCounts& counts) {
  std::array<std::uint64_t, kRcodeNames.size()> sums{};
  constexpr std::array<std::size_t, kFigureRcodes> kName{0, 4, 2, 1, 4, 3, 4, 4};  // by RCODE
  for (std::size_t rcode = 0; rcode < kFigureRcodes; ++rcode)
    sums[kName[rcode]] += counts.hits[rcode] + counts.answers[rcode];
  return sums;
}

// One metric of all rules that were asked for. `value` takes the counts.
template <typename Value>
void by_rule(Out out, const std::vector<RuleMetrics>& rules, std::string_view name, std::string_view help,
             Value value) {
  head(out, name, "counter", help);
  for (const RuleMetrics& rule : rules) {
    fmt::format_to(out, "{}{{rule=\"{}\",set=\"{}\"}} {}\n", name, escape_label(rule.rule),
                   escape_label(rule.set), value(rule.counts));
  }
}

// The bound below which `share` of the values lie, in milliseconds.
json quantile_ms(const Durations& values, double share) {
  const std::uint64_t count = values.count();
  if (count == 0) return nullptr;
  std::uint64_t below = 0;
  for (std::size_t i = 0; i < Durations::kBounds.size(); ++i) {
    below += values.buckets[i];
    if (static_cast<double>(below) >= share * static_cast<double>(count)) return Durations::kBounds[i] / 1e3;
  }
  return Durations::kBounds.back() / 1e3;  // above all bounds: no more is known
}

}  // namespace

void add_rules_text(std::string& text, const std::vector<RuleMetrics>& all) {
  std::vector<RuleMetrics> rules, answering;
  for (const RuleMetrics& rule : all) {
    if (rule.counts.queries() == 0 && rule.counts.timeouts == 0) continue;
    rules.push_back(rule);
    if (!rule.watch) answering.push_back(rule);
  }
  if (rules.empty()) return;
  const Out out = std::back_inserter(text);
  by_rule(out, rules, "shunt_rule_queries_total", "queries that the rule won and that are over",
          [](const FigureCounts& c) { return c.queries(); });
  head(out, "shunt_rule_answers_total", "counter", "answers to the rule's queries, cached ones included");
  for (const RuleMetrics& rule : answering) {
    const auto answers = answers_of(rule.counts);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      fmt::format_to(out, "shunt_rule_answers_total{{rule=\"{}\",set=\"{}\",rcode=\"{}\"}} {}\n",
                     escape_label(rule.rule), escape_label(rule.set), kRcodeNames[i], answers[i]);
    }
  }
  by_rule(out, answering, "shunt_rule_cache_hits_total",
          "the rule's queries that were answered from the cache",
          [](const FigureCounts& c) { return c.from_cache(); });
  by_rule(out, answering, "shunt_rule_dropped_total", "the rule's queries that were dropped",
          [](const FigureCounts& c) { return c.dropped; });
  by_rule(out, answering, "shunt_rule_timeouts_total", "tries for the rule's queries that no answer ended",
          [](const FigureCounts& c) { return c.timeouts; });
  head(out, "shunt_rule_duration_seconds", "histogram",
       "time from a query's arrival to its answer, for the rule's queries that waited");
  for (const RuleMetrics& rule : answering) {
    if (rule.counts.waits.count() == 0) continue;
    histogram_rows(out, "shunt_rule_duration_seconds",
                   fmt::format("rule=\"{}\",set=\"{}\"", escape_label(rule.rule), escape_label(rule.set)),
                   rule.counts.waits, 1e6);
  }
}

json rules_rows(std::vector<RuleMetrics> rules) {
  std::stable_sort(rules.begin(), rules.end(), [](const RuleMetrics& a, const RuleMetrics& b) {
    return a.counts.queries() > b.counts.queries();
  });
  json rows = json::array();
  for (const RuleMetrics& rule : rules) {
    json answers;
    const auto sums = answers_of(rule.counts);
    for (std::size_t i = 0; i < sums.size(); ++i)
      answers[std::string(kRcodeNames[i])] = sums[i];
    rows.push_back({{"rule", rule.rule},
                    {"set", rule.set},
                    {"watch", rule.watch},
                    {"queries", rule.counts.queries()},
                    {"cache_hits", rule.counts.from_cache()},
                    {"answers", std::move(answers)},
                    {"dropped", rule.counts.dropped},
                    {"timeouts", rule.counts.timeouts},
                    {"p50_ms", quantile_ms(rule.counts.waits, 0.5)},
                    {"p99_ms", quantile_ms(rule.counts.waits, 0.99)}});
  }
  return rows;
}

}  // namespace shunt::control
