// One client's stream of octets: a TCP connection as it is, or TLS over it (tls_stream.h). What the octets
// mean is a StreamProtocol's (tcp_protocol.h); when they may come and go is TcpConnection's.
#pragma once

#include <asio.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <system_error>
#include <utility>

namespace shunt::control {

/// A client sends and sends, and nothing of it is the stream's.
inline const std::error_code kFlooded = std::make_error_code(std::errc::value_too_large);

/// One read and one write may be under way at a time. Handlers are called on the thread of the io_context,
/// never from inside the call that took them; they keep whatever owns the stream alive. After close() those
/// under way are called with an error.
class ByteStream {
 public:
  using Handler = std::function<void(std::error_code, std::size_t octets)>;

  virtual ~ByteStream() = default;

  /// What must be agreed on before the first read or write.
  virtual void handshake(std::function<void(std::error_code)> done) = 0;
  /// Fills `room` (not empty; the caller's, until the handler is called) with one octet at least. The
  /// client's end of the stream is asio::error::eof.
  virtual void read(std::span<std::uint8_t> room, Handler done) = 0;
  /// Writes all of `octets`, the caller's until the handler is called.
  virtual void write(std::span<const std::uint8_t> octets, Handler done) = 0;
  /// Ends our side: nothing is written any more. False where the connection has gone.
  virtual bool shut() = 0;
  virtual void close() = 0;
  virtual asio::any_io_executor executor() = 0;
  /// Whether the handshake resumed an earlier session.
  virtual bool resumed() const { return false; }
};

/// TCP alone.
class PlainStream final : public ByteStream {
 public:
  explicit PlainStream(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}

  void handshake(std::function<void(std::error_code)> done) override {
    asio::post(socket_.get_executor(), [done = std::move(done)] { done({}); });
  }
  void read(std::span<std::uint8_t> room, Handler done) override {
    socket_.async_read_some(asio::buffer(room.data(), room.size()), std::move(done));
  }
  void write(std::span<const std::uint8_t> octets, Handler done) override {
    asio::async_write(socket_, asio::buffer(octets.data(), octets.size()), std::move(done));
  }
  bool shut() override {
    std::error_code error;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
    return !error;
  }
  void close() override {
    std::error_code ignored;
    socket_.close(ignored);
  }
  asio::any_io_executor executor() override { return socket_.get_executor(); }

 private:
  asio::ip::tcp::socket socket_;
};

}  // namespace shunt::control
