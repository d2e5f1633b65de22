// One client's connection: reads queries, hands them to the server, writes answers; over TCP or TLS, in DNS
// messages or in HTTP/2. See tcp_server.h for the contract.
//
// Life: kHandshake -> kOpen -> kFinishing (no more queries; answers what is in flight) -> kLingering (our
// side is shut, what the client still sends is read and thrown away, so that no reset overtakes the last
// answer) -> kClosed.
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control/tcp_options.h"
#include "control/tcp_protocol.h"
#include "control/tcp_server.h"
#include "control/tcp_stream.h"

namespace shunt::control {

class TcpConnection : public std::enable_shared_from_this<TcpConnection> {
 public:
  using Clock = std::chrono::steady_clock;
  /// A query in flight.
  struct Asked {
    TcpTicket ticket = 0;
    std::uint32_t tag = 0;  ///< the protocol's
    HopOptions options;
    Clock::time_point asked_at;
    state::QueryEnd end;
  };

  TcpConnection(TcpServer& server, std::unique_ptr<ByteStream> stream,
                std::unique_ptr<StreamProtocol> protocol, const SocketAddress& client,
                std::shared_ptr<TcpServer::Endpoint> endpoint);

  void start();
  const SocketAddress& client() const { return client_; }
  const TcpServer::Endpoint& endpoint() const { return *endpoint_; }
  const std::vector<Asked>& asked() const { return asked_; }

  void add(const Asked& asked) { asked_.push_back(asked); }
  void note_end(TcpTicket ticket, state::QueryEnd end);
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
  enum class State : std::uint8_t { kHandshake, kOpen, kFinishing, kLingering, kClosed };

  void opened(std::error_code error);
  void read();
  void received(std::size_t octets);
  void take_queries();
  void resume_later();
  void send(const Asked& asked, std::span<const std::uint8_t> message);
  void write();
  bool end_if_faulty();
  void settle();
  void linger();
  bool held_back() const;
  std::size_t unsent() const { return queued_.size() + written_.size() + protocol_->kept(); }
  void count(TcpCounter counter);

  TcpServer* server_;  ///< null once closed
  std::unique_ptr<ByteStream> stream_;
  std::unique_ptr<StreamProtocol> protocol_;
  SocketAddress client_;
  std::shared_ptr<TcpServer::Endpoint> endpoint_;
  State state_ = State::kHandshake;
  bool reading_ = false;
  bool writing_ = false;
  bool ended_ = false;      ///< the client has shut its side
  bool waiting_ = false;    ///< queries were held back
  bool resuming_ = false;   ///< a resume is posted
  bool answering_ = false;  ///< an answer is among what is queued
  std::vector<Asked> asked_;
  std::vector<std::uint8_t> queued_;   ///< behind what is being written
  std::vector<std::uint8_t> written_;  ///< what is being written
  Clock::time_point active_;           ///< the last query taken or answer written
  Clock::time_point write_started_;
  Clock::time_point linger_started_;
  std::size_t lingered_ = 0;  ///< octets
};

}  // namespace shunt::control
