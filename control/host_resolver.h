// Asks upstreams that have no outbound endpoint, over UDP through the host's own network, with ordinary
// sockets.
//
// Forged answers (RFC 5452): each try over UDP has a socket of its own, connected to its target (so the
// kernel lets only that address and port through) from a port that the kernel draws, and an id from a
// cryptographic generator. An answer that has another id or question, or is malformed, is ignored and the
// wait goes on; so it does after an ICMP error. A further try leaves the earlier sockets open: the first true
// answer wins.
//
// Runs on the thread of its io_context, and calls back on it, never from inside ask().
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_set>
#include <vector>

#include "control/counters.h"
#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/random.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// One question, and whom to ask.
struct Ask {
  std::vector<SocketAddress>
      targets;  ///< tried in this order, `tries` of them, from the front again where there are fewer
  std::vector<std::uint8_t>
      message;  ///< a DNS query with one question, at most kMaxMessage octets; its id is replaced on the wire
  std::uint32_t timeout_ms = 800;  ///< per try
  unsigned tries = 2;
  IpAddress source{};  ///< "::": the kernel's choice
  /// Makes the socket, for a network namespace other than the host's; empty: socket(2). Owned by the resolver
  /// afterwards.
  std::function<Result<int>(int family, int type)> open_socket;
};

struct HostAnswer {
  std::vector<std::uint8_t> message;  ///< whole and well-formed, the question as asked (its case may differ),
                                      ///< with the id of Ask::message
  std::size_t target = 0;             ///< index into Ask::targets
  bool truncated = false;             ///< TC is set
  std::chrono::nanoseconds latency{};  ///< of the try that was answered
};

class HostResolver {
 public:
  /// The error is for people: who was asked, and what happened.
  using Callback = std::function<void(Result<HostAnswer>)>;
  /// Told of every try, for health and metrics: once that it was sent, and once how it ended.
  struct Observer {
    enum class End : std::uint8_t { kAnswered, kTimedOut, kUnreachable, kAbandoned };
    std::function<void(const SocketAddress& target)> sent;
    /// `rcode` and `latency` are of the answer. An answer may also come after a timeout was told: then it
    /// isn't the `first` end.
    std::function<void(const SocketAddress& target, End end, std::uint8_t rcode,
                       std::chrono::nanoseconds latency, bool first)>
        ended;
  };

  /// At most `max_in_flight` questions at a time; more fail at once.
  HostResolver(asio::io_context& io, Random& random, std::size_t max_in_flight = 4096);
  ~HostResolver();  ///< closes all sockets; callbacks of questions in flight are not called any more
  HostResolver(const HostResolver&) = delete;
  HostResolver& operator=(const HostResolver&) = delete;

  /// Ends with one call of `callback`, kMaxWaitMs later at the latest.
  void ask(Ask ask, Callback callback);
  void observe(Observer observer) { observer_ = std::move(observer); }

  std::size_t in_flight() const { return questions_.size(); }
  const HostCounters& counters() const { return counters_; }
  const Durations& latency() const { return latency_; }  ///< of answered tries

 private:
  friend class HostQuestion;
  void ended(const std::shared_ptr<class HostQuestion>& question);

  asio::io_context& io_;
  Random& random_;
  std::size_t max_in_flight_;
  Observer observer_;
  HostCounters counters_;
  Durations latency_;
  std::vector<std::uint8_t> buffer_;  ///< one datagram; shared, as reading and checking it is one step
  std::unordered_set<std::shared_ptr<class HostQuestion>> questions_;
};

}  // namespace shunt::control
