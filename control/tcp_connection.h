// One client's TCP connection: reads queries, hands them to the server, writes answers. See tcp_server.h for
// the contract.
//
// Life: kOpen -> kFinishing (no more queries; answers what is in flight) -> kLingering (our side is shut,
// what the client still sends is read and thrown away, so that no reset overtakes the last answer) ->
// kClosed.
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control/tcp_framing.h"
#include "control/tcp_server.h"

namespace shunt::control {

class TcpConnection : public std::enable_shared_from_this<TcpConnection> {
 public:
  using Clock = std::chrono::steady_clock;

  TcpConnection(TcpServer& server, asio::ip::tcp::socket socket, const SocketAddress& client,
                std::shared_ptr<TcpServer::Endpoint> endpoint);

  void start();
  const SocketAddress& client() const { return client_; }
  const TcpServer::Endpoint& endpoint() const { return *endpoint_; }
  const std::vector<TcpTicket>& tickets() const { return tickets_; }

  void add_ticket(TcpTicket ticket) { tickets_.push_back(ticket); }
  /// The query has ended: with the answer, or without one where `message` is empty.
  void end_ticket(TcpTicket ticket, std::span<const std::uint8_t> message);
  /// Takes no more queries; closes when all are answered.
  void finish();
  /// Closes at once, and tells the server.
  void close();
  /// Closes at once after counting why.
  void close(TcpCounter reason);
  /// Closes what has waited for too long.
  void check(Clock::time_point now);

 private:
  enum class State : std::uint8_t { kOpen, kFinishing, kLingering, kClosed };

  void read();
  void received(std::size_t octets);
  void take_queries();
  void resume_later();
  void send(std::span<const std::uint8_t> message);
  void write();
  void settle();
  void linger();
  bool blocked() const;
  bool unsent() const { return writing_ || !queued_.empty(); }

  TcpServer* server_;  ///< null once closed
  asio::ip::tcp::socket socket_;
  SocketAddress client_;
  std::shared_ptr<TcpServer::Endpoint> endpoint_;
  State state_ = State::kOpen;
  bool reading_ = false;
  bool writing_ = false;
  bool ended_ = false;  ///< the client has shut its side
  bool resume_posted_ = false;
  std::vector<TcpTicket> tickets_;     ///< in flight
  std::vector<std::uint8_t> queued_;   ///< answers behind those being written
  std::vector<std::uint8_t> written_;  ///< answers being written
  Clock::time_point active_;           ///< the last query taken or answer written
  Clock::time_point message_started_;  ///< when the incomplete message in framing_ began
  Clock::time_point write_started_;
  Clock::time_point linger_started_;
  TcpFraming framing_;
};

}  // namespace shunt::control
