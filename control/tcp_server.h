// DNS over streams for clients: over TCP (RFC 7766, RFC 9210), TLS (RFC 7858) and HTTPS (RFC 8484). Listens
// at the inbound endpoints, cuts the streams into queries, and writes the answers back in whatever order they
// come. What a query means is decided elsewhere: each is handed to the owner under a ticket.
//
// All of it runs on the thread of its io_context; the owner's functions are called on it, and never from
// inside a call of answer(), drop() or the constructor. A connection that misbehaves pays with itself: every
// buffer and wait is bounded per connection, and connections are bounded per client and in all.
#pragma once

#include <array>
#include <asio.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "conf/config.h"
#include "control/counters.h"
#include "control/tls_context.h"
#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/result.h"
#include "dataplane/state/query_log.h"

namespace shunt::control {

class ByteStream;
class HandshakeTurns;
class StreamProtocol;
class TcpConnection;

/// Marks a query until its answer: is never reused, and stays below 2^62, so that an owner can mark questions
/// of its own by the top bits. The two bits below them are the kind of its stream, the rest counts up from 1.
using TcpTicket = std::uint64_t;
inline constexpr unsigned kTicketKindBit = 60;
inline StreamKind kind_of(TcpTicket ticket) {
  return static_cast<StreamKind>(ticket >> kTicketKindBit & 3);
}

/// A query that is answered now.
struct TcpAnswered {
  SocketAddress client, server;
  StreamKind kind;
  std::chrono::steady_clock::time_point asked;
  state::QueryEnd end;                    ///< as note_end() said; kError where nobody did
  std::span<const std::uint8_t> message;  ///< the answer, but for options of this hop
};

/// All times in milliseconds.
struct TcpLimits {
  std::uint32_t connections = 1000;
  std::uint32_t connections_per_client = 50;
  std::uint32_t queries_per_connection =
      100;  ///< in flight; further ones stay in the kernel's buffer until one is answered
  std::uint32_t idle_ms = 10000;         ///< without a query, an answer or anything to wait for
  std::uint32_t pressed_idle_ms = 1000;  ///< the same under pressure: more than 3/4 of `connections` taken
  std::uint32_t message_ms =
      5000;  ///< from a query's first octet to its last; also pressed_idle_ms under pressure
  std::uint32_t handshake_ms = 3000;  ///< for TLS to be agreed on; also pressed_idle_ms under pressure
  /// TLS handshakes under way at a time, half as many under pressure; beyond, the oldest one of the client
  /// with the most gives way.
  std::uint32_t handshakes = 250;
  std::uint32_t handshake_share = 50;  ///< percent of the thread's time for them, half as much under pressure
  std::uint32_t write_ms = 5000;       ///< for what was written at once to be taken by the client's kernel
  std::uint32_t answer_ms = kMaxWaitMs + 1000;  ///< after that a ticket nobody answered is forgotten
  std::uint32_t linger_ms = 500;           ///< for a client to take the last answer and close, before we do
  std::size_t unsent_octets = 256 * 1024;  ///< answers waiting for a client that doesn't read; beyond: closed

  static TcpLimits from(const conf::Limits& limits);
};

/// An address that is listened at, and the index of its inbound endpoint in the generation that is current.
struct TcpEndpoint {
  SocketAddress address;
  std::uint16_t endpoint = 0;
  StreamKind kind = StreamKind::kTcp;
  std::shared_ptr<const TlsContext> tls = nullptr;  ///< for all kinds but kTcp
};

class TcpServer {
 public:
  /// What the server needs from its owner.
  struct Owner {
    /// A bound, listening stream socket for `address`, in whatever network namespace it is to be; the server
    /// owns it.
    std::function<Result<int>(const SocketAddress& address)> open_listener;
    /// Whether `client` may talk to `endpoint`: asked when a connection is accepted, and again for each after
    /// a reload.
    std::function<bool(std::uint16_t endpoint, const IpAddress& client)> allowed;
    /// Takes a query (12 to kMaxMessage octets, otherwise unchecked; the memory is the server's and valid
    /// during the call). False where nobody has room for it: the client then gets SERVFAIL with extended
    /// error 23 at once. An owner that returns true calls answer() or drop() with the ticket later (not from
    /// inside this call).
    std::function<bool(TcpTicket ticket, const SocketAddress& client, std::uint16_t endpoint,
                       std::span<const std::uint8_t> message)>
        on_query;
    /// Is told of every answer, from inside answer() as well, and must not call the server. May be empty.
    std::function<void(const TcpAnswered&)> on_answered = nullptr;
  };

  TcpServer(asio::io_context& io, const TcpLimits& limits, Owner owner);
  ~TcpServer();  ///< closes everything at once
  TcpServer(const TcpServer&) = delete;
  TcpServer& operator=(const TcpServer&) = delete;

  /// Listeners opened for a change of endpoints that may still be given up by destroying this.
  class Change {
    friend class TcpServer;
    Change() = default;
    std::vector<TcpEndpoint> endpoints_;
    std::map<SocketAddress, asio::ip::tcp::acceptor> opened_;
  };

  /// Opens what `endpoints` has and the server has not; changes nothing yet. All or nothing: the error names
  /// each address that could not be listened at.
  Result<Change> prepare(std::vector<TcpEndpoint> endpoints);
  /// Makes `change` take effect, when the owner's functions speak of the new generation already: new
  /// listeners accept, removed ones close; connections keep their address and get its new endpoint index, and
  /// new ones the new certificate; those whose address was removed or whose client is no longer allowed
  /// answer what is in flight and close.
  void apply(Change change);
  /// prepare and apply.
  Result<void> set_endpoints(std::vector<TcpEndpoint> endpoints);

  /// Takes effect at once for new connections and queries.
  void set_limits(const TcpLimits& limits) { limits_ = limits; }

  /// Writes `message` (12 to 65,535 octets, copied) to the ticket's connection; a ticket whose connection has
  /// gone is ignored.
  void answer(TcpTicket ticket, std::span<const std::uint8_t> message);
  /// Says what answers the query, for on_answered.
  void note_end(TcpTicket ticket, state::QueryEnd end);
  /// Ends a query without an answer.
  void drop(TcpTicket ticket);

  /// Stops listening and reading, answers what is in flight, then calls `done`, at the latest after
  /// `drain_ms`, when what is left is closed. Once.
  void stop(std::uint32_t drain_ms, std::function<void()> done);

  const TcpCounters& counters(StreamKind kind = StreamKind::kTcp) const { return of(kind).counters; }
  std::size_t connections() const { return connections_.size(); }    ///< gauge, of all kinds
  std::size_t queries_in_flight() const { return tickets_.size(); }  ///< gauge, of all kinds
  std::size_t connections(StreamKind kind) const { return of(kind).connections; }
  std::size_t queries_in_flight(StreamKind kind) const { return of(kind).in_flight; }
  std::size_t handshakes() const { return handshaking_.size(); }  ///< gauge

 private:
  friend class TcpConnection;
  using Clock = std::chrono::steady_clock;
  /// What connections of one address share: its endpoint's index follows the generations.
  struct Endpoint {
    std::uint16_t index = 0;
    bool removed = false;
    StreamKind kind = StreamKind::kTcp;
    std::shared_ptr<const TlsContext> tls;
    SocketAddress address;
  };
  struct Kind {
    TcpCounters counters;
    std::size_t connections = 0;
    std::size_t in_flight = 0;
  };
  struct Listener {
    asio::ip::tcp::acceptor acceptor;
    asio::steady_timer retry;
    std::shared_ptr<Endpoint> endpoint;
    bool closed = false;
  };

  std::unique_ptr<ByteStream> make_stream(asio::ip::tcp::socket socket, const Endpoint& endpoint,
                                          const IpAddress& client);
  std::unique_ptr<StreamProtocol> make_protocol(const Endpoint& endpoint);
  void accept(const std::shared_ptr<Listener>& listener);
  void accepted(const std::shared_ptr<Listener>& listener, asio::ip::tcp::socket socket);
  void close_listener(Listener& listener);
  void sweep();
  void expire(Clock::time_point now);
  void schedule_sweep();
  void finish_stop();
  bool pressed() const { return connections_.size() * 4 > std::size_t{limits_.connections} * 3; }
  /// A time of `limit` ms, as it is now: whole while half of the connections are free, then less and less,
  /// and pressed_idle_ms at most under pressure (RFC 7766 section 6.2.3).
  std::uint32_t shortened(std::uint32_t limit) const;
  void make_room_for_handshake();
  const Kind& of(StreamKind kind) const { return kinds_[static_cast<std::size_t>(kind)]; }
  Kind& of(StreamKind kind) { return kinds_[static_cast<std::size_t>(kind)]; }
  /// The ticket's connection, and no longer in flight; null where it isn't known.
  TcpConnection* take(TcpTicket ticket);
  // By connections.
  TcpCounters& counters_of(StreamKind kind) { return of(kind).counters; }
  void take_query(TcpConnection& connection, std::span<const std::uint8_t> message, std::uint32_t tag);
  void forget(const TcpConnection& connection);
  void handshake_over(const TcpConnection& connection);
  void gone(TcpConnection& connection);

  asio::io_context& io_;
  TcpLimits limits_;
  Owner owner_;
  std::array<Kind, kStreamKinds> kinds_;
  TcpTicket next_ticket_ = 1;
  std::map<SocketAddress, std::shared_ptr<Listener>> listeners_;
  std::set<std::shared_ptr<TcpConnection>> connections_;
  std::vector<TcpConnection*> handshaking_;  ///< the oldest first
  std::shared_ptr<HandshakeTurns> turns_;
  std::map<IpAddress, std::uint32_t> per_client_;
  std::unordered_map<TcpTicket, TcpConnection*> tickets_;
  std::deque<std::pair<Clock::time_point, TcpTicket>>
      ages_;  ///< tickets by age, those already answered among them
  asio::steady_timer sweep_timer_;
  asio::steady_timer drain_timer_;
  bool stopping_ = false;
  std::function<void()> stopped_;
  /// Timers that fired already look at this before they touch a server that may have been destroyed
  /// meanwhile.
  std::shared_ptr<const bool> alive_ = std::make_shared<const bool>(true);
};

}  // namespace shunt::control
