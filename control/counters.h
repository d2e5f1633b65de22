// Counters of the control plane. Its one thread writes and reads them: plain integers.
#pragma once

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
enum class StreamCounter : std::uint8_t {
#define STREAM_COUNTER(name, help) name,
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
inline constexpr StatText kStreamCounterText[] = {
#define STREAM_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};
inline constexpr StatText kControlCounterText[] = {
#define CONTROL_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};

using TcpCounters = CounterGroup<TcpCounter>;
using HostCounters = CounterGroup<HostCounter>;
using StreamCounters = CounterGroup<StreamCounter>;
using ControlCounters = CounterGroup<ControlCounter>;

}  // namespace shunt::control
