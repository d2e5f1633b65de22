// One kept connection to a target: questions in flight under ids of its own, answers in any order (RFC 7766
// sections 6 and 7).
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "control/counters.h"
#include "control/upstream_link.h"
#include "control/upstream_message.h"
#include "dataplane/base/random.h"

namespace shunt::control {

class UpstreamConnection;

/// One try of one question at one target. Shared by the question, and the target that it waits for.
class UpstreamAttempt {
 public:
  virtual ~UpstreamAttempt() = default;
  virtual const UpstreamQuestion& question() const = 0;
  /// False once nobody waits for its answer any more.
  virtual bool wanted() const = 0;
  /// Both end it. `message` has the connection's id.
  virtual void answered(std::span<const std::uint8_t> message, bool truncated) = 0;
  /// The connection ended, or there was none. `sent`: the question may have reached the target.
  virtual void failed(const std::string& why, bool sent) = 0;

  std::weak_ptr<UpstreamConnection> connection;  ///< while it is in flight there
  std::uint16_t id = 0;                          ///< under this id
};

/// Belongs to a target, which outlives it. On the thread of its io_context.
class UpstreamConnection : public std::enable_shared_from_this<UpstreamConnection> {
 public:
  using Clock = std::chrono::steady_clock;
  using Attempts = std::vector<std::shared_ptr<UpstreamAttempt>>;

  /// How it came to an end.
  struct Ending {
    bool opened = false;
    bool in_order = false;      ///< closed, by either side
    std::uint64_t answers = 0;  ///< that it brought
    std::string why;
    Attempts orphans;  ///< still wanted
  };
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void opened(UpstreamConnection& connection) = 0;
    /// An answer came, or a place became free.
    virtual void moved(UpstreamConnection& connection) = 0;
    /// The owner lets it go.
    virtual void ended(UpstreamConnection& connection, Ending ending) = 0;
  };

  /// Closed after this time without a question, unless the target says another.
  static constexpr std::chrono::milliseconds kIdle{10000};
  static constexpr std::chrono::milliseconds kMostIdle{60000};
  static constexpr std::size_t kMaxInFlight = 1000;

  UpstreamConnection(asio::io_context& io, Random& random, StreamCounters& counters, UpstreamPeer peer,
                     Owner& owner);
  ~UpstreamConnection();
  UpstreamConnection(const UpstreamConnection&) = delete;
  UpstreamConnection& operator=(const UpstreamConnection&) = delete;

  void open();
  /// Sends a question; only where has_room().
  void send(const std::shared_ptr<UpstreamAttempt>& attempt);
  /// Nobody waits for this attempt any more. Its id stays taken until the answer comes: it must not be taken
  /// for another's.
  void forget(const UpstreamAttempt& attempt);
  /// An attempt here had no answer in time. A connection that keeps silent is used no more.
  void note_timeout(const UpstreamAttempt& attempt);
  /// Asks no more here; ends with the last question in flight.
  void retire() { retired_ = true; }
  /// The owner goes: nothing is told any more.
  void abandon();

  bool is_open() const { return link_->is_open(); }
  bool usable() const { return is_open() && !retired_; }
  bool retired() const { return retired_; }
  bool has_room() const { return in_flight_ < kMaxInFlight; }
  std::size_t in_flight() const { return in_flight_; }
  std::uint64_t answers() const { return answers_; }

 private:
  /// Timeouts in a row, with no answer since their questions were sent, until no more is asked here.
  static constexpr unsigned kMaxSilent = 2;
  /// Messages that answer nothing.
  static constexpr unsigned kMaxWrong = 16;
  /// Questions that were given up, and not answered since.
  static constexpr std::size_t kMaxForgotten = 200;

  struct Entry {
    std::shared_ptr<UpstreamAttempt> attempt;  ///< null: nobody waits for it any more
    std::uint64_t answers_before = 0;
  };

  std::uint16_t draw_id();
  void take(std::span<const std::uint8_t> message);
  void wrong();
  void set_idle(std::chrono::milliseconds idle);
  void arm_idle(std::chrono::milliseconds time);
  void freed();
  void close(StreamCounter counted);
  void end(Ending ending);

  asio::steady_timer idle_timer_;
  Random& random_;
  StreamCounters& counters_;
  Owner& owner_;
  const bool encrypted_;
  std::shared_ptr<UpstreamLink> link_;
  std::unordered_map<std::uint16_t, Entry> entries_;  ///< by id
  std::size_t in_flight_ = 0;                         ///< entries that somebody waits for
  std::uint64_t sent_ = 0, answers_ = 0;
  std::chrono::milliseconds idle_ = kIdle;
  Clock::time_point idle_since_;
  unsigned silent_ = 0, wrong_ = 0;
  bool opened_ = false;
  bool retired_ = false;
  bool ended_ = false;
};

}  // namespace shunt::control
