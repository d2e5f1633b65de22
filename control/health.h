// Which targets are up: judged from what the workers' own questions met (passive), and by probes while a
// target is down.
//
// A target goes down after kFall tries in a row without an answer, over kFallMs at least; so one lost packet,
// or one name that its server can't answer while it answers others, is no reason. While it is down it is
// probed, at first after kFirstProbeMs, then with doubling waits up to kLastProbeMs; kRise answers in a row
// bring it up.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "control/crossing.h"
#include "control/generation.h"
#include "control/host_resolver.h"
#include "control/metrics.h"
#include "control/workers.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class Health {
 public:
  Health(Workers& workers, Crossing& crossing, HostResolver& resolver);

  /// Follows the targets of a new generation; those it knew keep their state.
  void set_generation(std::shared_ptr<const Generation> generation);
  /// Reads the workers' figures, judges, sends due probes. Every kTickMs.
  void tick();
  /// A probe's answer (or, where `answer` is empty, its absence).
  void take_reply(std::uint64_t ticket, std::span<const std::uint8_t> answer);

  static constexpr unsigned kTickMs = 200;

  /// For `upstreams` and metrics.
  std::vector<TargetMetrics> metrics() const;
  /// Seconds since the target's last change, parallel to metrics().
  std::vector<double> since_seconds() const;

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned kFall = 5, kFallMs = 600, kRise = 2;
  static constexpr unsigned kFirstProbeMs = 400, kLastProbeMs = 3200;

  struct Figures {
    std::uint64_t sent = 0, answered = 0, timeouts = 0, latency_us_sum = 0;
  };
  struct State {
    std::string upstream;
    SocketAddress address;
    std::uint32_t handle = 0;
    std::uint16_t index = 0;  ///< among the upstream's targets
    bool through_host = false;
    bool up = true;
    Clock::time_point since;
    Figures seen;
    unsigned failures = 0;  ///< in a row
    Clock::time_point first_failure;
    unsigned successes = 0;  ///< of probes, in a row
    unsigned probe_wait_ms = kFirstProbeMs;
    Clock::time_point next_probe;
    bool probing = false;
    double latency_seconds = 0;
  };

  Figures read(std::uint32_t id) const;
  void judge(std::uint32_t id, State& state, Clock::time_point now);
  void mark(std::uint32_t id, State& state, bool up, Clock::time_point now);
  void probe(std::uint32_t id, State& state);
  void probe_through_host(std::uint32_t id, State& state, std::vector<std::uint8_t> question);
  void probed(std::uint32_t id, bool answered);
  std::vector<std::uint8_t> question_of(const State& state) const;

  Workers& workers_;
  Crossing& crossing_;
  HostResolver& resolver_;
  std::shared_ptr<const Generation> generation_;
  std::map<std::uint32_t, State> targets_;                ///< by target id
  std::map<SocketAddress, std::uint64_t> host_failures_;  ///< tries of the host resolver without an answer
};

}  // namespace shunt::control
