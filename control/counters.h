// Counters of the control plane. Its one thread writes and reads them: plain integers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string_view>

#include "dataplane/base/stats.h"

namespace shunt::control {

/// How clients' streams come.
enum class StreamKind : std::uint8_t { kTcp, kTls, kHttps };
inline constexpr std::size_t kStreamKinds = 3;
/// As part of a metric's name, and as a title.
inline constexpr std::string_view kStreamName[] = {"tcp", "tls", "https"};
inline constexpr std::string_view kStreamTitle[] = {"TCP", "TLS", "HTTPS"};

/// Of each kind of stream; the last ones belong to the later kinds only, see text_of().
enum class TcpCounter : std::uint8_t {
#define TCP_COUNTER(name, help) name,
#define TLS_COUNTER(name, help) name,
#define HTTPS_COUNTER(name, help) name,
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
enum class QueryLogCounter : std::uint8_t {
#define QUERY_LOG_COUNTER(name, help) name,
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
#define TLS_COUNTER(name, help) {#name, help},
#define HTTPS_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};
/// The counters that `kind` has.
inline std::span<const StatText> text_of(StreamKind kind) {
  constexpr std::size_t kFirst[] = {static_cast<std::size_t>(TcpCounter::handshakes),
                                    static_cast<std::size_t>(TcpCounter::requests),
                                    static_cast<std::size_t>(TcpCounter::kCount)};
  return std::span(kTcpCounterText).first(kFirst[static_cast<std::size_t>(kind)]);
}
inline constexpr StatText kHostCounterText[] = {
#define HOST_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};
inline constexpr StatText kStreamCounterText[] = {
#define STREAM_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};
inline constexpr StatText kQueryLogCounterText[] = {
#define QUERY_LOG_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};
inline constexpr StatText kControlCounterText[] = {
#define CONTROL_COUNTER(name, help) {#name, help},
#include "control/counters.def"
};

using TcpCounters = CounterGroup<TcpCounter>;
using HostCounters = CounterGroup<HostCounter>;
using StreamCounters = CounterGroup<StreamCounter>;
using QueryLogCounters = CounterGroup<QueryLogCounter>;
using ControlCounters = CounterGroup<ControlCounter>;

}  // namespace shunt::control
