#include "control/metrics.h"

#include <fmt/format.h>

#include <iterator>
#include <span>
#include <utility>

#include "control/metrics_text.h"

namespace shunt::control {

namespace {

using nlohmann::json;

/// HELP text: backslash and newline escaped.
std::string escape_help(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

template <typename Value>
void lone(Out out, std::string_view name, std::string_view type, std::string_view help, Value value) {
  head(out, name, type, help);
  fmt::format_to(out, "{} {}\n", name, value);
}

/// One metric of all workers. `value` takes a worker's Stats.
template <typename Value>
void by_worker(Out out, const MetricsSnapshot& snapshot, std::string_view name, std::string_view type,
               std::string_view help, Value value) {
  head(out, name, type, help);
  for (const WorkerMetrics& worker : snapshot.workers) {
    fmt::format_to(out, "{}{{worker=\"{}\"}} {}\n", name, worker.id, value(worker.stats));
  }
}

/// One metric of all workers with a label for the reason. `group` takes a worker's Stats.
template <typename Group>
void by_reason(Out out, const MetricsSnapshot& snapshot, std::string_view name, std::string_view help,
               std::span<const StatText> reasons, Group group) {
  head(out, name, "counter", help);
  for (const WorkerMetrics& worker : snapshot.workers) {
    for (std::size_t i = 0; i < reasons.size(); ++i) {
      fmt::format_to(out, "{}{{worker=\"{}\",reason=\"{}\"}} {}\n", name, worker.id, reasons[i].name,
                     group(worker.stats).values[i]);
    }
  }
}

/// One metric of all targets. `value` takes a TargetMetrics.
template <typename Value>
void by_target(Out out, const MetricsSnapshot& snapshot, std::string_view name, std::string_view type,
               std::string_view help, Value value) {
  if (snapshot.targets.empty()) return;
  head(out, name, type, help);
  for (const TargetMetrics& target : snapshot.targets) {
    fmt::format_to(out, "{}{{upstream=\"{}\",target=\"{}\"}} {}\n", name, escape_label(target.upstream),
                   escape_label(target.target.to_string()), value(target));
  }
}

void counters(Out out, std::string_view prefix, std::span<const StatText> texts,
              std::span<const std::uint64_t> values) {
  for (std::size_t i = 0; i < texts.size(); ++i) {
    lone(out, fmt::format("{}{}_total", prefix, texts[i].name), "counter", texts[i].help, values[i]);
  }
}

/// Of all workers together.
template <typename Values, typename Member>
Values merged(const MetricsSnapshot& snapshot, Member member) {
  Values all;
  for (const WorkerMetrics& worker : snapshot.workers)
    all += member(worker.stats);
  return all;
}

void worker_histograms(Out out, const MetricsSnapshot& snapshot) {
  constexpr std::string_view kDuration = "shunt_query_duration_seconds", kBurst = "shunt_burst_queries";
  head(out, kDuration, "histogram",
       "time from a query's arrival to its answer, for queries that waited: for an upstream by a rule, for "
       "the default upstream, until an error of ours; answers from the cache and by rules leave with the "
       "burst that brought the query, and are not in it");
  for (std::size_t i = 0; i < kWaitedKinds; ++i) {
    histogram_rows(out, kDuration, fmt::format("by=\"{}\"", kWaitedLabel[i]),
                   merged<Durations>(snapshot, [i](const Stats& stats) { return stats.waited[i]; }), 1e6);
  }
  head(out, kBurst, "histogram", "queries that a worker found at once, where it found any");
  histogram_rows(out, kBurst, "",
                 merged<BurstSizes>(snapshot, [](const Stats& stats) { return stats.burst_queries; }), 1);
}

void worker_text(Out out, const MetricsSnapshot& snapshot) {
  for (std::size_t i = 0; i < std::size(kCounterText); ++i) {
    by_worker(out, snapshot, fmt::format("shunt_{}_total", kCounterText[i].name), "counter",
              kCounterText[i].help, [i](const Stats& stats) { return stats.counters.values[i]; });
  }
  by_reason(out, snapshot, "shunt_dropped_frames_total",
            "frames dropped before they became a query or an answer", kFrameDropText,
            [](const Stats& stats) { return stats.frame_drops; });
  by_reason(out, snapshot, "shunt_dropped_queries_total", "queries dropped without an answer", kQueryDropText,
            [](const Stats& stats) { return stats.query_drops; });
  by_reason(out, snapshot, "shunt_dropped_answers_total", "answers from upstreams dropped; the wait went on",
            kAnswerDropText, [](const Stats& stats) { return stats.answer_drops; });
  by_worker(out, snapshot, "shunt_waiting_queries", "gauge", "queries that wait in pending slots",
            [](const Stats& stats) { return stats.waiting; });
  by_worker(out, snapshot, "shunt_pending_slots", "gauge", "pending slots taken",
            [](const Stats& stats) { return stats.pending; });
  by_worker(out, snapshot, "shunt_cache_entries", "gauge", "answers in the cache",
            [](const Stats& stats) { return stats.cache_entries; });
  by_worker(out, snapshot, "shunt_cache_octets", "gauge", "memory that answers in the cache take",
            [](const Stats& stats) { return stats.cache_octets; });
  by_worker(out, snapshot, "shunt_worker_generation", "gauge", "generation that the worker uses",
            [](const Stats& stats) { return stats.generation; });
  by_worker(out, snapshot, "shunt_worker_swap_pause_seconds", "gauge",
            "the longest turn of the worker that took a new generation, or new routes, since the start",
            [](const Stats& stats) { return static_cast<double>(stats.longest_swap_ns) / 1e9; });
}

void target_text(Out out, const MetricsSnapshot& snapshot) {
  by_target(out, snapshot, "shunt_upstream_up", "gauge", "1 while the target is taken to be up",
            [](const TargetMetrics& t) { return t.up ? 1 : 0; });
  by_target(out, snapshot, "shunt_upstream_loops", "gauge",
            "names for which the target leads back here: it isn't asked for them and all below",
            [](const TargetMetrics& t) { return t.leads_back.size(); });
  by_target(out, snapshot, "shunt_upstream_in_flight", "gauge",
            "questions to the target that wait for an answer",
            [](const TargetMetrics& t) { return t.figures.in_flight; });
  by_target(out, snapshot, "shunt_upstream_sent_total", "counter", "questions sent to the target",
            [](const TargetMetrics& t) { return t.figures.sent; });
  by_target(out, snapshot, "shunt_upstream_answered_total", "counter", "questions that the target answered",
            [](const TargetMetrics& t) { return t.figures.answered; });
  by_target(out, snapshot, "shunt_upstream_timeouts_total", "counter",
            "questions that the target didn't answer in time",
            [](const TargetMetrics& t) { return t.figures.timeouts; });
  by_target(out, snapshot, "shunt_upstream_unreachable_total", "counter",
            "questions that the target's network or port refused to take",
            [](const TargetMetrics& t) { return t.figures.unreachable; });
  by_target(out, snapshot, "shunt_upstream_servfails_total", "counter", "answers of the target with SERVFAIL",
            [](const TargetMetrics& t) { return t.figures.servfails; });
  by_target(out, snapshot, "shunt_upstream_refused_total", "counter", "answers of the target with REFUSED",
            [](const TargetMetrics& t) { return t.figures.refused; });
  by_target(out, snapshot, "shunt_upstream_malformed_total", "counter",
            "answers of the target that could not be parsed, or were to another question",
            [](const TargetMetrics& t) { return t.figures.malformed; });
  by_target(out, snapshot, "shunt_upstream_smoothed_latency_seconds", "gauge",
            "what policy \"fastest\" goes by, unanswered questions counted as the timeout; 0: not measured",
            [](const TargetMetrics& t) { return t.latency_seconds; });
  if (snapshot.targets.empty()) return;
  constexpr std::string_view kLatency = "shunt_upstream_latency_seconds";
  head(out, kLatency, "histogram", "latency of the target's answers");
  for (const TargetMetrics& t : snapshot.targets) {
    histogram_rows(out, kLatency,
                   fmt::format("upstream=\"{}\",target=\"{}\"", escape_label(t.upstream),
                               escape_label(t.target.to_string())),
                   t.figures.latency, 1e6);
  }
}

void client_stream_text(Out out, const MetricsSnapshot& snapshot) {
  for (std::size_t i = 0; i < kStreamKinds; ++i) {
    const ClientStreams& streams = snapshot.client_streams[i];
    const std::string prefix = fmt::format("shunt_{}_", kStreamName[i]);
    lone(out, prefix + "connections", "gauge", fmt::format("{} connections of clients", kStreamTitle[i]),
         streams.connections);
    lone(out, prefix + "in_flight", "gauge",
         fmt::format("queries over {} that wait for an answer", kStreamTitle[i]), streams.in_flight);
    for (std::size_t c = 0; const StatText& text : text_of(static_cast<StreamKind>(i))) {
      lone(out, fmt::format("{}{}_total", prefix, text.name), "counter",
           fmt::format("{}: {}", kStreamTitle[i], text.help), streams.counters.values[c++]);
    }
  }
  if (snapshot.certificates.empty()) return;
  constexpr std::string_view kExpiry = "shunt_certificate_expiry_timestamp_seconds";
  head(out, kExpiry, "gauge", "when the certificate of the inbound endpoint ends, in seconds since 1970");
  for (const CertificateMetrics& certificate : snapshot.certificates) {
    fmt::format_to(out, "{}{{endpoint=\"{}\"}} {}\n", kExpiry, escape_label(certificate.endpoint),
                   certificate.not_after);
  }
}

/// Rows of one group of the workers' counters. `group` takes a worker's Stats.
template <typename Group>
json worker_rows(const MetricsSnapshot& snapshot, std::span<const StatText> texts, Group group) {
  json rows = json::array();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    std::uint64_t total = 0;
    json workers = json::array();
    for (const WorkerMetrics& worker : snapshot.workers) {
      const std::uint64_t value = group(worker.stats).values[i];
      total += value;
      workers.push_back(value);
    }
    rows.push_back({{"name", texts[i].name},
                    {"help", texts[i].help},
                    {"total", total},
                    {"workers", std::move(workers)}});
  }
  return rows;
}

json control_rows(std::span<const StatText> texts, std::span<const std::uint64_t> values) {
  json rows = json::array();
  for (std::size_t i = 0; i < texts.size(); ++i) {
    rows.push_back({{"name", texts[i].name}, {"help", texts[i].help}, {"total", values[i]}});
  }
  return rows;
}

}  // namespace

void head(Out out, std::string_view name, std::string_view type, std::string_view help) {
  fmt::format_to(out, "# HELP {} {}\n# TYPE {} {}\n", name, escape_help(help), name, type);
}

std::string escape_label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\\') {
      out += "\\\\";
    } else if (c == '"') {
      out += "\\\"";
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out;
}

std::string prometheus_text(const MetricsSnapshot& snapshot) {
  std::string text;
  const Out out = std::back_inserter(text);
  head(out, "shunt_build_info", "gauge", "1; the version is the label");
  fmt::format_to(out, "shunt_build_info{{version=\"{}\"}} 1\n", escape_label(snapshot.version));
  lone(out, "shunt_generation", "gauge", "generation of the configuration", snapshot.generation);
  lone(out, "shunt_uptime_seconds", "gauge", "time since the start", snapshot.uptime_seconds);
  worker_text(out, snapshot);
  worker_histograms(out, snapshot);
  target_text(out, snapshot);
  client_stream_text(out, snapshot);
  lone(out, "shunt_host_in_flight", "gauge", "questions of the control plane that wait for an answer",
       snapshot.host_in_flight);
  counters(out, "shunt_host_", kHostCounterText, snapshot.host.values);
  head(out, "shunt_host_latency_seconds", "histogram",
       "latency of questions asked by the control plane itself");
  histogram_rows(out, "shunt_host_latency_seconds", "", snapshot.host_latency, 1e6);
  lone(out, "shunt_stream_connections", "gauge", "connections to upstreams over TCP and TLS",
       snapshot.stream_connections);
  lone(out, "shunt_stream_in_flight", "gauge", "questions over TCP and TLS that wait for an answer",
       snapshot.streams_in_flight);
  counters(out, "shunt_stream_", kStreamCounterText, snapshot.streams.values);
  head(out, "shunt_stream_latency_seconds", "histogram", "latency of questions over TCP and TLS");
  histogram_rows(out, "shunt_stream_latency_seconds", "", snapshot.stream_latency, 1e6);
  counters(out, "shunt_query_log_", kQueryLogCounterText, snapshot.query_log.values);
  counters(out, "shunt_control_", kControlCounterText, snapshot.control.values);
  add_rules_text(text, snapshot.rules);
  return text;
}

json stats_result(const MetricsSnapshot& snapshot) {
  json groups = json::array();
  const auto add = [&groups](std::string_view title, json rows) {
    groups.push_back({{"title", title}, {"rows", std::move(rows)}});
  };
  add("counters", worker_rows(snapshot, kCounterText, [](const Stats& stats) { return stats.counters; }));
  add("dropped frames",
      worker_rows(snapshot, kFrameDropText, [](const Stats& stats) { return stats.frame_drops; }));
  add("dropped queries",
      worker_rows(snapshot, kQueryDropText, [](const Stats& stats) { return stats.query_drops; }));
  add("dropped answers",
      worker_rows(snapshot, kAnswerDropText, [](const Stats& stats) { return stats.answer_drops; }));
  for (std::size_t i = 0; i < kStreamKinds; ++i) {
    add(kStreamTitle[i],
        control_rows(text_of(static_cast<StreamKind>(i)), snapshot.client_streams[i].counters.values));
  }
  add("host network", control_rows(kHostCounterText, snapshot.host.values));
  add("upstream streams", control_rows(kStreamCounterText, snapshot.streams.values));
  add("query log", control_rows(kQueryLogCounterText, snapshot.query_log.values));
  add("control socket", control_rows(kControlCounterText, snapshot.control.values));
  return {{"groups", std::move(groups)}};
}

json stages_result(const Stats& stats) {
  const auto ratio = [](std::uint64_t part, std::uint64_t whole) {
    return whole == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(whole);
  };
  const std::uint64_t queries = stats.answered();
  std::uint64_t total = 0;
  for (const StageCount& stage : stats.stages)
    total += stage.cycles;
  json rows = json::array();
  for (std::size_t i = 0; i < kStages; ++i) {
    const StageCount& stage = stats.stages[i];
    rows.push_back({{"stage", kStageText[i].name},
                    {"unit", kStageText[i].unit},
                    {"help", kStageText[i].help},
                    {"passed", stage.passed},
                    {"cycles", stage.cycles},
                    {"cycles_each", ratio(stage.cycles, stage.passed)},
                    {"cycles_per_query", ratio(stage.cycles, queries)},
                    {"share", ratio(stage.cycles, total)}});
  }
  return {{"queries", queries}, {"cycles_per_query", ratio(total, queries)}, {"rows", std::move(rows)}};
}

}  // namespace shunt::control
