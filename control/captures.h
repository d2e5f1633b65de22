// Captures of the fast path's packets, as the control socket asks for them: one at a time, started, fetched
// piece by piece, and stopped, by whoever started it or because nobody fetched any more.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "dataplane/state/capture.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class Captures {
 public:
  using Clock = std::chrono::steady_clock;
  /// Memory between two fetches, and a reply's share of it: what takes about a millisecond to write as JSON.
  static constexpr std::size_t kMostOctets = std::size_t{2} << 20, kReplyOctets = std::size_t{128} << 10;
  static constexpr std::chrono::seconds kAbandoned{10};  ///< how long nobody may fetch

  struct Owner {
    std::size_t workers = 1;
    /// Has the workers capture, or stop where it is null.
    std::function<void(std::shared_ptr<const state::Capture>)> publish;
    /// What to add to a worker's clock for microseconds since 1970.
    std::function<std::int64_t()> wall_offset_us;
    std::function<std::string(std::uint8_t port)> port_name;
  };
  explicit Captures(Owner owner) : owner_(std::move(owner)) {}

  /// {"id"}. Throws where one is running.
  nlohmann::json start(const state::CaptureFilter& filter, Clock::time_point now);
  /// {"frames": [{"time_us", "port", "sent", "length", "data" (base64)}], "more", "looked_at", "passed_over",
  /// "no_room"}: what has come since the last call, in order of time; counts since the start. "more": ask
  /// again at once. Throws where the capture is over.
  nlohmann::json fetch(std::uint64_t id, Clock::time_point now);
  /// The last fetch: workers capture no more, and what is left over is forgotten.
  nlohmann::json stop(std::uint64_t id, Clock::time_point now);
  /// Takes from the workers what they have captured. Every few milliseconds.
  void poll(Clock::time_point now);

 private:
  struct Kept {
    std::uint64_t time_us;
    std::uint16_t length;
    std::uint8_t port;
    bool sent;
    std::vector<std::uint8_t> octets;
  };
  void keep(const state::CapturedFrame& frame);
  void end();
  nlohmann::json to_json(const Kept& frame) const;

  Owner owner_;
  std::shared_ptr<const state::Capture> running_;  ///< null: none is
  std::uint64_t id_ = 0;
  std::int64_t wall_offset_us_ = 0;
  Clock::time_point fetched_;
  std::deque<Kept> kept_;
  std::size_t kept_octets_ = 0;
  std::uint64_t no_room_ = 0;  ///< here; the rings count their own
};

}  // namespace shunt::control
