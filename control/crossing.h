// The control plane's side of the rings (dataplane/handoff.h): takes what the workers send, and sends them
// orders.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "control/workers.h"
#include "dataplane/handoff.h"

namespace shunt::control {

/// Tickets of the control plane's own asks have this bit; those of TCP queries never do.
inline constexpr std::uint64_t kAskTicket = std::uint64_t{1} << 63;
/// With it: a loop probe's, not one of health.
inline constexpr std::uint64_t kLoopTicket = std::uint64_t{1} << 61;

/// Belongs to the control plane's thread.
class Crossing {
 public:
  /// Who gets what. The octets are valid during the call only.
  struct Receivers {
    std::function<void(std::uint8_t port, std::span<const std::uint8_t> frame)> on_frame;
    /// A miss. Returns true where the packet was sent on, to be freed otherwise.
    std::function<bool(std::size_t worker, rte_mbuf* packet)> on_miss;
    std::function<void(const Message& message, std::span<const std::uint8_t> answer)> on_reply;
    std::function<void(const Message& message, std::span<const std::uint8_t> question)> on_watched;
    /// A target left a question for this name unanswered.
    std::function<void(std::uint32_t target, std::span<const std::uint8_t> name)> on_timeout;
  };

  Crossing(Workers& workers, Receivers receivers) : workers_(workers), receivers_(std::move(receivers)) {}

  /// Takes up to a bounded number of packets from every ring; returns how many.
  unsigned poll();

  /// A packet buffer that holds `data`, or null: no buffer, or too large for one.
  rte_mbuf* make_packet(std::span<const std::uint8_t> data);
  /// Gives `packet`, whose message is set, to a worker. False, and the packet freed, where its ring is full.
  bool order(std::size_t worker, rte_mbuf* packet);
  /// A frame of the kernel's, to be sent out of `port`.
  bool send_frame(std::uint8_t port, std::span<const std::uint8_t> frame);

 private:
  unsigned poll_frames(rte_ring* ring);
  unsigned poll_events(std::size_t worker);
  unsigned poll_watched(std::size_t worker);

  Workers& workers_;
  Receivers receivers_;
};

}  // namespace shunt::control
