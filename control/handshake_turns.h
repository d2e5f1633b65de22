// Whose TLS handshake goes on next. A handshake costs its client little and us much, on a thread that has
// other things to do: all of them together get a share of its time, and where that is used up clients take
// turns.
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "dataplane/base/address.h"

namespace shunt::control {

class HandshakeTurns : public std::enable_shared_from_this<HandshakeTurns> {
 public:
  using Clock = std::chrono::steady_clock;
  using Step = std::function<void()>;
  /// What waits; by its client.
  struct Ticket {
    IpAddress client;
    std::uint64_t number = 0;
  };

  /// `share`: percent of the thread's time, 1 to 100.
  HandshakeTurns(asio::io_context& io, unsigned share) : timer_(io), share_(share) {}

  void set_share(unsigned share) { share_ = share; }
  /// Whether a step may be taken now; otherwise wait().
  bool may_go() const { return waiting_ == 0 && free_at_ <= Clock::now(); }
  /// Calls `step` from the io_context when it is the client's turn.
  Ticket wait(const IpAddress& client, Step step);
  /// Gives back what has waited and shall no more; empty where its turn has come.
  Step leave(const Ticket& ticket);
  /// A step took so much of the thread's time.
  void spent(Clock::duration time);

  std::size_t waiting() const { return waiting_; }
  std::uint64_t waited() const { return last_number_; }  ///< steps that had to, so far

 private:
  void arm();
  void go();
  Step next();

  asio::steady_timer timer_;
  unsigned share_;
  Clock::time_point free_at_{};  ///< when what was spent is paid for
  std::map<IpAddress, std::deque<std::pair<std::uint64_t, Step>>> queues_;  ///< none is empty
  IpAddress last_;                                                          ///< the client of the last turn
  std::size_t waiting_ = 0;
  std::uint64_t last_number_ = 0;
  bool armed_ = false;
};

/// What the calling thread has spent of processor time.
HandshakeTurns::Clock::duration thread_time();

}  // namespace shunt::control
