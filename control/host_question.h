// One question that host_resolver.h asks: its tries, their sockets, and the wait for the first true answer.
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/host_resolver.h"
#include "dataplane/dns/name.h"

namespace shunt::control {

class HostQuestion : public std::enable_shared_from_this<HostQuestion> {
 public:
  using Clock = std::chrono::steady_clock;

  HostQuestion(HostResolver& resolver, Ask ask, HostResolver::Callback callback);
  void start();
  /// Closes everything without calling back.
  void abandon();

 private:
  /// One send to one target. Sockets stay open until the question ends: a late true answer still counts.
  struct Try {
    std::size_t target = 0;
    std::uint16_t id = 0;
    bool live = true;
    bool told = true;  ///< the observer knows its end, or was never told of it
    Clock::time_point started;
    std::optional<asio::ip::udp::socket> udp;
  };

  bool read_question();
  void next_try();
  void begin(std::size_t target);
  Result<int> open(int type, const SocketAddress& target) const;
  Result<void> begin_udp(Try& attempt);
  void wait_udp(const std::shared_ptr<Try>& attempt);
  void read_udp(Try& attempt);
  void arm_timer();
  void timed_out();
  using End = HostResolver::Observer::End;
  void tell_end(Try& attempt, End end, std::uint8_t rcode = 0, std::chrono::nanoseconds latency = {});
  void tell_abandoned();
  void tell_failure(Try& attempt, End end, std::string_view why);
  void note_failure(Try& attempt, std::string_view why);
  /// Whether `message` answers `attempt`; `truncated` then tells whether it does so in full.
  bool matches(const Try& attempt, std::span<const std::uint8_t> message, bool& truncated) const;
  void take(Try& attempt, std::span<const std::uint8_t> message, bool truncated);
  void close();
  void succeed(HostAnswer answer);
  void fail();
  const SocketAddress& address(const Try& attempt) const { return ask_.targets[attempt.target]; }

  HostResolver* resolver_;      ///< null once ended
  Ask ask_;                     ///< the message's id is the latest try's
  std::uint16_t asked_id_ = 0;  ///< what it was when it came
  HostResolver::Callback callback_;
  dns::Name name_;  ///< of the question, lower case
  std::uint16_t type_ = 0, class_ = 0;
  asio::steady_timer timer_;
  std::uint64_t timer_serial_ = 0;  ///< a timer that fired before it was set anew is recognised
  Clock::time_point deadline_;
  unsigned tries_made_ = 0;
  std::vector<std::shared_ptr<Try>> tries_;
  std::string failures_;  ///< for people
};

}  // namespace shunt::control
