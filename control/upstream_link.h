// A connection to an upstream's target, as far as it is octets: TCP, TLS where it is asked for, and messages
// with their lengths in front (RFC 1035 section 4.2.2). What is written in one turn of the loop leaves
// together.
#pragma once

#include <array>
#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/upstream_tls.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// Where a target is, and how it is reached.
struct UpstreamPeer {
  SocketAddress address;
  IpAddress source{};  ///< "::": the kernel's choice
  /// Makes the socket, for a network namespace other than the host's; empty: socket(2).
  std::function<Result<int>(int family, int type)> open_socket;
  std::shared_ptr<UpstreamTls> tls;  ///< null: plain TCP
};

enum class LinkEnd : std::uint8_t {
  kNeverOpen,  ///< refused, unreachable, no handshake
  kByPeer,     ///< in order
  kBroken,     ///< reset, or octets that can't be
};

/// One connection. On the thread of its io_context; no event comes from inside a call.
class UpstreamLink : public std::enable_shared_from_this<UpstreamLink> {
 public:
  struct Events {
    std::function<void()> opened;  ///< messages may be sent
    std::function<void(std::span<const std::uint8_t> message)> message;
    /// Once, and the last event; for people.
    std::function<void(LinkEnd end, const std::string& why)> ended;
  };

  /// TCP's and TLS's handshakes together end within this.
  static constexpr std::chrono::milliseconds kOpenWithin{3000};

  UpstreamLink(asio::io_context& io, UpstreamPeer peer);

  /// Once.
  void open(Events events);
  /// Ends without an event. May be called from inside one.
  void close();
  /// Where whole messages with their lengths are appended; send() sees to them before the loop's next turn.
  std::vector<std::uint8_t>& output() { return output_; }
  void send();

  bool is_open() const { return state_ == State::kOpen; }
  bool resumed() const { return tls_ && tls_->resumed(); }

 private:
  enum class State : std::uint8_t { kNew, kConnecting, kShaking, kOpen, kEnded };

  Result<void> make_socket();
  void connected();
  void read();
  void take(std::span<const std::uint8_t> octets);
  void take_plain(std::span<const std::uint8_t> octets);
  std::size_t take_messages(std::span<const std::uint8_t> octets);
  Result<void> encrypt(std::span<const std::uint8_t> messages);
  void flush();
  void write();
  void opened();
  void end(LinkEnd how, const std::string& why);
  void stop();

  asio::ip::tcp::socket socket_;
  asio::steady_timer deadline_;
  UpstreamPeer peer_;
  Events events_;
  std::optional<UpstreamTlsEngine> tls_;
  State state_ = State::kNew;
  bool flush_posted_ = false;
  bool writing_ = false;
  std::vector<std::uint8_t> output_;   ///< plain
  std::vector<std::uint8_t> waiting_;  ///< for the wire
  std::vector<std::uint8_t> written_;  ///< being written
  std::vector<std::uint8_t> plain_;    ///< what was decrypted in this turn
  std::vector<std::uint8_t> partial_;  ///< the front of a message
  std::array<std::uint8_t, 16384> input_;
};

}  // namespace shunt::control
