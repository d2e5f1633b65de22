// All counters in the forms that people and their tools read: Prometheus text, the groups of the `stats`
// command, and the cycles of the `status` command. Labels come from closed sets only (workers, drop reasons,
// names of the configuration), never from what a client sent.
#pragma once

#include <array>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/counters.h"
#include "control/rule_metrics.h"
#include "dataplane/base/address.h"
#include "dataplane/base/stats.h"

namespace shunt::control {

struct WorkerMetrics {
  unsigned id = 0;
  Stats stats;
};

/// How questions to a target went, since the start; probes among them.
struct TargetFigures {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;
  std::uint64_t timeouts = 0;
  std::uint64_t unreachable = 0;  ///< tries that the target's network or port refused
  std::uint64_t servfails = 0;    ///< answers with that RCODE
  std::uint64_t refused = 0;      ///< likewise
  std::uint64_t malformed = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t failed_names = 0;  ///< state/target_stats.h
  Durations latency;               ///< microseconds
};

struct TargetMetrics {
  std::string upstream;
  SocketAddress target;
  bool up = true;
  std::string state = "up";  ///< "up", "on trial", "down"; "looping": up, but not for the names of leads_back
  std::string why;           ///< it is so; empty: since it was configured
  double since_seconds = 0;
  std::vector<std::string> leads_back;  ///< names; it isn't asked for them and all below
  std::string last_failure;             ///< of a TCP or TLS connection, until an answer comes
  TargetFigures figures;
  double latency_seconds = 0;               ///< smoothed; 0: not measured yet
  double p50_seconds = 0, p99_seconds = 0;  ///< of the last half to whole minute; 0: no answers
};

/// Clients' streams of one kind.
struct ClientStreams {
  TcpCounters counters;
  std::uint64_t connections = 0;
  std::uint64_t in_flight = 0;
};

struct CertificateMetrics {
  std::string endpoint;
  std::int64_t not_after = 0;  ///< seconds since 1970
};

/// Everything that is told at one moment.
struct MetricsSnapshot {
  std::string version;
  std::uint64_t generation = 0;
  double uptime_seconds = 0;
  std::vector<WorkerMetrics> workers;
  std::vector<TargetMetrics> targets;
  std::array<ClientStreams, kStreamKinds> client_streams;  ///< by StreamKind
  std::vector<CertificateMetrics> certificates;
  HostCounters host;
  std::uint64_t host_in_flight = 0;
  Durations host_latency;
  StreamCounters streams;
  std::uint64_t stream_connections = 0;
  std::uint64_t streams_in_flight = 0;
  Durations stream_latency;
  QueryLogCounters query_log;
  ControlCounters control;
  std::vector<RuleMetrics> rules;  ///< those with figures of their own
};

/// Prometheus text format 0.0.4: shunt_NAME_total{worker="0"} for each counter of stats.def;
/// shunt_query_duration_seconds by what the wait ended in, and shunt_burst_queries, of all workers together;
/// shunt_dropped_frames_total, shunt_dropped_queries_total and shunt_dropped_answers_total by worker and
/// reason; shunt_rule_… by rule; shunt_tcp_…, shunt_tls_…, shunt_https_…, shunt_host_…, shunt_stream_…,
/// shunt_query_log_…, shunt_control_…; shunt_upstream_… by upstream and target.
std::string prometheus_text(const MetricsSnapshot& snapshot);

/// The result of the `stats` command: {"groups": [{"title", "rows": [{"name", "help", "total", "workers":
/// […]}]}]}. Groups of the control plane have no "workers" in their rows.
nlohmann::json stats_result(const MetricsSnapshot& snapshot);

/// What the `status` command tells of a worker's stages in builds that count their cycles: {"queries",
/// "cycles_per_query", "rows": [{"stage", "unit", "help", "passed", "cycles", "cycles_each",
/// "cycles_per_query", "share"}]}, since the start, in busy turns. Queries are those that were answered.
nlohmann::json stages_result(const Stats& stats);

/// A label's value with backslash, double quote and newline escaped, as the text format wants it.
std::string escape_label(std::string_view value);

}  // namespace shunt::control
