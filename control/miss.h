// Rule misses, and questions for upstreams that have no outbound endpoint or are asked over TCP or TLS: who
// is to be asked, and through what.
//
// An upstream with an outbound endpoint is asked over UDP by the worker itself, once this has decided so: its
// pending table gives the question the same protection from forgery as every other. One without is asked
// here, through the host's own network; and so is any over TCP and TLS, on connections that are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "control/crossing.h"
#include "control/generation.h"
#include "control/host_resolver.h"
#include "control/upstream_streams.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class Misses {
 public:
  Misses(Crossing& crossing, HostResolver& resolver, UpstreamStreams& streams,
         const state::TargetHealth* health)
      : crossing_(crossing), resolver_(resolver), streams_(streams), health_(health) {}

  void set_generation(std::shared_ptr<const Generation> generation) { generation_ = std::move(generation); }

  /// Decides a miss (a kMiss in `packet`). True where the packet was sent on.
  bool decide(std::size_t worker, rte_mbuf* packet);

 private:
  void ask_host(std::size_t worker, const Message& message, const state::Upstream& upstream,
                std::span<const std::uint8_t> question);
  void ask_streams(std::size_t worker, const Message& message, const state::Upstream& upstream,
                   std::span<const std::uint8_t> question);
  void send_answer(std::size_t worker, const Message& message, std::vector<std::uint8_t> answer,
                   std::uint32_t target, const SocketAddress& address);
  void send_failure(std::size_t worker, const Message& message, dns::ExtendedError error);

  Crossing& crossing_;
  HostResolver& resolver_;
  UpstreamStreams& streams_;
  const state::TargetHealth* health_;
  std::shared_ptr<const Generation> generation_;
  std::uint32_t next_target_ = 0;
};

}  // namespace shunt::control
