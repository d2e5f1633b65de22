// Rule misses, and questions for upstreams that have no outbound endpoint: who is to be asked, and through
// what.
//
// An upstream with an outbound endpoint is asked by the worker itself, once this has decided so: its pending
// table gives the question the same protection from forgery as every other. One without is asked here,
// through the host's own network.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "control/crossing.h"
#include "control/generation.h"
#include "control/host_resolver.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class Misses {
 public:
  Misses(Crossing& crossing, HostResolver& resolver, const state::TargetHealth* health)
      : crossing_(crossing), resolver_(resolver), health_(health) {}

  void set_generation(std::shared_ptr<const Generation> generation) { generation_ = std::move(generation); }

  /// Decides a miss (a kMiss in `packet`). True where the packet was sent on.
  bool decide(std::size_t worker, rte_mbuf* packet);

 private:
  void ask_host(std::size_t worker, const Message& message, const state::Upstream& upstream,
                std::span<const std::uint8_t> question);
  void send_failure(std::size_t worker, const Message& message, dns::ExtendedError error);

  Crossing& crossing_;
  HostResolver& resolver_;
  const state::TargetHealth* health_;
  std::shared_ptr<const Generation> generation_;
  std::uint32_t next_target_ = 0;
};

}  // namespace shunt::control
