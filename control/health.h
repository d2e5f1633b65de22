// Which targets are up: what the workers' own questions and the host resolver's met is told to a judge for
// each target (target_judge.h), probes are sent when it wants one, and its verdict is published to the
// workers, with the latency that `policy = "fastest"` goes by; and which lead back here (loop_guard.h).
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "control/crossing.h"
#include "control/generation.h"
#include "control/host_resolver.h"
#include "control/loop_guard.h"
#include "control/metrics.h"
#include "control/target_judge.h"
#include "control/upstream_streams.h"
#include "control/workers.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class Health {
 public:
  /// `key` is that of the workers' hashes.
  Health(Workers& workers, Crossing& crossing, HostResolver& resolver, UpstreamStreams& streams,
         Random& random, const dns::HashKey& key);

  /// Follows the targets of a new generation; those it knew keep their state.
  void set_generation(std::shared_ptr<const Generation> generation);
  /// Reads the workers' figures, judges, sends due probes. Every kTickMs.
  void tick();
  /// A probe's answer (or, where `answer` is empty, its absence).
  void take_reply(std::uint64_t ticket, std::span<const std::uint8_t> answer);
  /// A target left a question for this name (wire format, lower case) unanswered: does it lead back here?
  void take_timeout(std::uint32_t target, std::span<const std::uint8_t> name);

  static constexpr unsigned kTickMs = 200;

  /// For `upstreams` and metrics.
  std::vector<TargetMetrics> metrics() const;
  /// The upstream's target with this address leads back here for the name.
  bool leads_back(const std::string& upstream, const std::string& address, const dns::Name& name) const;

 private:
  using Clock = TargetJudge::Clock;
  /// Percentiles are of the last one to two of these.
  static constexpr std::chrono::seconds kLatencyWindow{30};
  /// How long a target's latency is that of clients' questions, once there were some, and not that of probes.
  static constexpr std::chrono::seconds kOwnLatency{10};

  struct State {
    State(const conf::HealthCheck& settings, Clock::time_point now) : judge(settings, now) {}

    std::string upstream;
    SocketAddress address;
    std::vector<std::uint8_t> probe;  ///< the question
    std::uint32_t handle = 0;
    std::uint16_t index = 0;  ///< among the upstream's targets
    std::uint32_t timeout_ms = 0;
    bool through_host = false;
    bool over_streams = false;
    bool fastest = false;  ///< its upstream's policy
    TargetJudge judge;
    TargetFigures seen;
    /// Probes that ended since the last tick: they are in the figures, and no questions of clients'.
    std::uint64_t probes_answered = 0, probes_silent = 0, probes_servfail = 0, probes_refused = 0;
    double latency_us = 0;  ///< smoothed; 0: not measured
    Clock::time_point measured{};
    Durations window_start, last_window_start;  ///< the latencies as they were then
    Clock::time_point window_began{};
  };

  TargetFigures read(std::uint32_t id, const State& state) const;
  std::map<std::uint32_t, unsigned> count_up() const;
  static TargetEvents events_of(State& state, const TargetFigures& figures);
  void note_latency(std::uint32_t id, State& state, const TargetFigures& figures, const TargetEvents& events,
                    Clock::time_point now);
  void publish(std::uint32_t id, const State& state);
  LoopGuard::Hooks loop_hooks();
  void avoid(std::uint32_t id, const std::vector<dns::Name>& names, const std::string& news);
  /// Asks the target; ended() follows with this ticket. False: it could not be sent.
  bool ask(std::uint64_t ticket, const State& state, const std::vector<std::uint8_t>& question);
  void ask_over_stream(std::uint64_t ticket, const State& state, const std::vector<std::uint8_t>& question);
  void ask_through_host(std::uint64_t ticket, const State& state, const std::vector<std::uint8_t>& question);
  /// Where the target is still what it was when it was asked.
  void ended(std::uint64_t ticket, const SocketAddress& address, std::span<const std::uint8_t> answer);
  static TargetJudge::Probe note_probe(State& state, std::span<const std::uint8_t> answer);
  void tell_change(std::uint32_t id, const State& state);
  void note_host_end(const SocketAddress& target, HostResolver::Observer::End end, std::uint8_t rcode,
                     std::chrono::nanoseconds latency);

  Workers& workers_;
  Crossing& crossing_;
  HostResolver& resolver_;
  UpstreamStreams& streams_;
  Random& random_;
  const dns::HashKey key_;
  LoopGuard loops_;
  std::shared_ptr<const Generation> generation_;
  std::map<std::uint32_t, State> targets_;       ///< by target id
  std::map<SocketAddress, TargetFigures> host_;  ///< what the host resolver met
};

}  // namespace shunt::control
