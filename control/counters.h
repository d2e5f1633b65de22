// Counters and a latency histogram of the control plane. Its one thread writes and reads them: plain
// integers.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/stats.h"

namespace shunt::control {

enum class TcpCounter : std::uint8_t {
#define TCP_COUNTER(name, help) name,
#include "control/counters.def"
  kCount
};
enum class HostCounter : std::uint8_t {
#define HOST_COUNTER(name, help) name,
#include "control/counters.def"
  kCount
};
enum class ControlCounter : std::uint8_t {
#define CONTROL_COUNTER(name, help) name,
#include "control/counters.def"
  kCount
};

inline constexpr StatText kTcpCounterText[] = {
#define TCP_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};
inline constexpr StatText kHostCounterText[] = {
#define HOST_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};
inline constexpr StatText kControlCounterText[] = {
#define CONTROL_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};

using TcpCounters = CounterGroup<TcpCounter>;
using HostCounters = CounterGroup<HostCounter>;
using ControlCounters = CounterGroup<ControlCounter>;

/// Latencies in buckets that double from 250 us to 4.096 s: the bounds between which DNS answers come.
class Histogram {
 public:
  static constexpr std::size_t kBounds = 15;
  /// Upper bound of bucket `i`, in seconds.
  static constexpr double bound_seconds(std::size_t i) {
    return 0.00025 * static_cast<double>(std::uint64_t{1} << i);
  }
  void add(std::chrono::nanoseconds latency) {
    const double seconds = std::chrono::duration<double>(latency).count();
    std::size_t i = 0;
    while (i < kBounds && seconds > bound_seconds(i))
      ++i;
    ++buckets_[i];
    ++count_;
    sum_seconds_ += seconds;
  }
  /// Latencies in bucket `i` alone; bucket kBounds holds those above the last bound.
  std::uint64_t bucket(std::size_t i) const { return buckets_[i]; }
  std::uint64_t count() const { return count_; }
  double sum_seconds() const { return sum_seconds_; }

 private:
  std::array<std::uint64_t, kBounds + 1> buckets_{};
  std::uint64_t count_ = 0;
  double sum_seconds_ = 0;
};

}  // namespace shunt::control
