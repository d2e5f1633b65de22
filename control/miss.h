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
#include "control/target_order.h"
#include "control/upstream_streams.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class Misses {
 public:
  /// Told which targets left a question for a name (wire format, lower case) unanswered.
  using OnSilence = std::function<void(std::uint32_t target, std::span<const std::uint8_t> name)>;

  Misses(Crossing& crossing, HostResolver& resolver, UpstreamStreams& streams,
         const PublishedTargets& published, Random& random, OnSilence on_silence)
      : crossing_(crossing),
        resolver_(resolver),
        streams_(streams),
        published_(published),
        random_(random),
        on_silence_(std::move(on_silence)) {}

  void set_generation(std::shared_ptr<const Generation> generation) { generation_ = std::move(generation); }

  /// Decides a miss (a kMiss in `packet`). True where the packet was sent on.
  bool decide(std::size_t worker, rte_mbuf* packet);

 private:
  std::vector<const state::Target*> targets_for(const state::Upstream& upstream,
                                                std::span<const std::uint8_t> question);
  void unanswered(std::size_t worker, const Message& message, const std::vector<std::uint32_t>& targets,
                  std::span<const std::uint8_t> question);
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
  const PublishedTargets published_;
  Random& random_;
  const OnSilence on_silence_;
  std::shared_ptr<const Generation> generation_;
};

}  // namespace shunt::control
