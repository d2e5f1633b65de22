// The log of `watch` rules: one line for each query for which one fires, so many a second.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "control/recent_generations.h"
#include "dataplane/base/address.h"

namespace shunt::control {

/// What a worker tells of a watched query.
struct WatchedQuery {
  std::uint64_t generation = 0;
  std::uint32_t network = 0;
  std::uint8_t set = 0;    ///< position among the network's
  std::uint32_t rule = 0;  ///< in the set's watches
  SocketAddress client;
  std::uint16_t type = 0;
  std::span<const std::uint8_t> name;  ///< wire format
};

/// Belongs to the control plane's thread.
class WatchLog {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr unsigned kLinesPerSecond = 100;

  explicit WatchLog(std::function<void(const std::string& line)> write) : write_(std::move(write)) {}

  void set_generation(std::shared_ptr<const Generation> generation, Clock::time_point now);
  void take(const WatchedQuery& query, Clock::time_point now);
  /// Every second or more often: tells how many were left out.
  void tick(Clock::time_point now);

 private:
  std::string line_for(const WatchedQuery& query) const;

  std::function<void(const std::string&)> write_;
  RecentGenerations generations_;
  Clock::time_point second_began_;
  unsigned written_ = 0;  ///< in this second
  std::uint64_t left_out_ = 0;
};

}  // namespace shunt::control
