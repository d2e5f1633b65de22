// Asks upstreams over TCP and TLS, on connections that are kept (RFC 7766, RFC 7858).
//
// A question has its tries, each at the next target, after a time without an answer; an earlier try's answer
// still counts. A question whose connection broke is asked once more elsewhere at once, without using up a
// try: connections are closed when nobody did anything wrong (RFC 7766 section 6.2.4).
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

#include "control/counters.h"
#include "control/upstream_target.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/result.h"

namespace shunt::control {

struct UpstreamAsk {
  std::vector<std::shared_ptr<UpstreamTarget>> targets;  ///< in the order of their tries, round and round
  std::vector<std::uint8_t> message;                     ///< a DNS query, at most kMaxMessage octets
  std::uint32_t timeout_ms = 800;                        ///< per try
  unsigned tries = 2;
  bool probe = false;  ///< see UpstreamTarget::ask
};

struct UpstreamAnswer {
  std::vector<std::uint8_t> message;  ///< whole and well-formed, with the id of UpstreamAsk::message
  std::size_t target = 0;             ///< index into UpstreamAsk::targets
  bool truncated = false;             ///< TC is set
};

/// Runs on the thread of its io_context, and calls back on it, never from inside ask().
class UpstreamResolver {
 public:
  /// The error is for people: who was asked, and what happened.
  using Callback = std::function<void(Result<UpstreamAnswer>)>;

  /// At most `max_in_flight` questions at a time; more fail at once.
  explicit UpstreamResolver(asio::io_context& io, std::size_t max_in_flight = 16384)
      : io_(io), max_in_flight_(max_in_flight) {}
  ~UpstreamResolver();  ///< callbacks of questions in flight are not called any more
  UpstreamResolver(const UpstreamResolver&) = delete;
  UpstreamResolver& operator=(const UpstreamResolver&) = delete;

  /// False, and no callback, where there are too many questions. Otherwise one call of `callback`, kMaxWaitMs
  /// later at the latest.
  bool ask(UpstreamAsk ask, Callback callback);

  std::size_t in_flight() const { return questions_.size(); }
  /// Also for the targets that are asked through this.
  StreamCounters& counters() { return counters_; }
  const StreamCounters& counters() const { return counters_; }
  const Durations& latency() const { return latency_; }  ///< of answered tries

 private:
  class Question;
  class Attempt;

  asio::io_context& io_;
  std::size_t max_in_flight_;
  StreamCounters counters_;
  Durations latency_;
  std::unordered_set<std::shared_ptr<Question>> questions_;
};

}  // namespace shunt::control
