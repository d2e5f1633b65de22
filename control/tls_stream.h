// A client's stream over TLS: OpenSSL on the connection's own socket, which Asio waits for.
#pragma once

#include <asio.hpp>
#include <memory>

#include "control/tcp_stream.h"
#include "control/tls_context.h"

namespace shunt::control {

class TlsStream final : public ByteStream {
 public:
  /// Null without memory.
  static std::unique_ptr<TlsStream> make(asio::ip::tcp::socket socket, const TlsContext& context,
                                         StreamKind kind);
  ~TlsStream() override;
  TlsStream(const TlsStream&) = delete;
  TlsStream& operator=(const TlsStream&) = delete;

  void handshake(std::function<void(std::error_code)> done) override;
  void read(std::span<std::uint8_t> room, Handler done) override;
  void write(std::span<const std::uint8_t> octets, Handler done) override;
  bool shut() override;
  void close() override;
  asio::any_io_executor executor() override { return socket_.get_executor(); }
  bool resumed() const override;

 private:
  enum class Wait : std::uint8_t { kNone, kRead, kWrite };
  /// What became of a call of OpenSSL's: it is to be repeated after `wait`, or has ended.
  struct Step {
    Wait wait = Wait::kNone;
    std::error_code error;
  };

  TlsStream(asio::ip::tcp::socket socket, ssl_st* ssl);
  Step step(int result);
  template <typename Again>
  void wait_for(Wait wait, Again again);
  void handshake_after(Wait wait, std::function<void(std::error_code)> done);
  void read_step(std::span<std::uint8_t> room, Handler done);
  void write_step(std::span<const std::uint8_t> octets, std::size_t written, Handler done);

  asio::ip::tcp::socket socket_;
  ssl_st* ssl_;
  int fd_;               ///< of the socket while it is open, then -1: what OpenSSL reads and writes
  bool broken_ = false;  ///< nothing more may be asked of OpenSSL
};

}  // namespace shunt::control
