// A target that is asked over TCP or TLS: few connections that are kept, opened when there is something to
// ask, and questions that wait for one.
//
// A connection that doesn't come about, or ends without having answered anything, makes the next wait: longer
// each time. A target that closes a connection after one answer while others wait is asked one question a
// connection for some time.
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/counters.h"
#include "control/upstream_connection.h"
#include "control/upstream_tls.h"
#include "dataplane/base/address.h"
#include "dataplane/base/random.h"

namespace shunt::control {

/// What makes a target what it is.
struct UpstreamTargetOptions {
  SocketAddress address;
  std::vector<IpAddress> sources;  ///< one of them for each connection; empty: the kernel's choice
  std::function<Result<int>(int family, int type)> open_socket;
  std::shared_ptr<UpstreamTls> tls;  ///< null: plain TCP
};

/// Told of every question that went there, and how it ended, for health and metrics.
struct UpstreamObserver {
  std::function<void()> sent;
  std::function<void(std::chrono::nanoseconds latency, std::uint8_t rcode)> answered;
  std::function<void()> timed_out;
  std::function<void(const std::string& why)> failed;
};

/// On the thread of its io_context, and so are the attempts' calls: never from inside ask().
class UpstreamTarget final : public UpstreamConnection::Owner,
                             public std::enable_shared_from_this<UpstreamTarget> {
 public:
  using Clock = std::chrono::steady_clock;
  using milliseconds = std::chrono::milliseconds;

  static constexpr std::size_t kMaxConnections = 2;
  /// Questions that wait for a connection.
  static constexpr std::size_t kMaxQueued = 2000;
  static constexpr milliseconds kFirstBackoff{50}, kLastBackoff{3200};
  /// How long a target is asked one question a connection.
  static constexpr milliseconds kLoneFor{60000};

  UpstreamTarget(asio::io_context& io, Random& random, StreamCounters& counters,
                 UpstreamTargetOptions options, UpstreamObserver observer);
  ~UpstreamTarget() override;
  UpstreamTarget(const UpstreamTarget&) = delete;
  UpstreamTarget& operator=(const UpstreamTarget&) = delete;

  /// Sends a question, or has it wait for a connection. `patience`: how long it may wait; one that would have
  /// to wait longer fails. `probe`: a connection is tried at once, whatever happened before.
  void ask(const std::shared_ptr<UpstreamAttempt>& attempt, milliseconds patience, bool probe);
  /// Connections may be opened.
  bool ready() const { return Clock::now() >= next_open_; }

  const SocketAddress& address() const { return options_.address; }
  const UpstreamObserver& observer() const { return observer_; }
  /// Questions that wait, for a connection or for an answer.
  std::size_t in_flight() const;
  std::size_t connections() const { return connections_.size(); }

 private:
  static constexpr std::size_t kBusy = 100;  ///< questions in flight that justify another connection

  void opened(UpstreamConnection& connection) override;
  void moved(UpstreamConnection& connection) override;
  void ended(UpstreamConnection& connection, UpstreamConnection::Ending ending) override;

  bool alone() const { return Clock::now() < alone_until_; }
  UpstreamConnection* least_busy() const;
  bool room_at(const UpstreamConnection& connection) const;
  bool may_open() const;
  bool opening() const;
  void open();
  void wait_to_open();
  void send(UpstreamConnection& connection, const std::shared_ptr<UpstreamAttempt>& attempt);
  bool enqueue(const std::shared_ptr<UpstreamAttempt>& attempt);
  void pump();
  void note_ending(const UpstreamConnection::Ending& ending);
  void fail_later(std::shared_ptr<UpstreamAttempt> attempt, std::string why);

  asio::io_context& io_;
  Random& random_;
  StreamCounters& counters_;
  UpstreamTargetOptions options_;
  UpstreamObserver observer_;
  asio::steady_timer open_timer_;
  bool timer_set_ = false;
  std::vector<std::shared_ptr<UpstreamConnection>> connections_;
  std::deque<std::shared_ptr<UpstreamAttempt>> queue_;
  unsigned fruitless_ = 0;  ///< connections in a row that brought nothing
  Clock::time_point next_open_, alone_until_;
  std::string last_why_;
};

}  // namespace shunt::control
