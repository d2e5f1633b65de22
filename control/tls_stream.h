// A client's stream over TLS: OpenSSL on the connection's own socket, which Asio waits for.
#pragma once

#include <asio.hpp>
#include <memory>
#include <optional>

#include "control/handshake_turns.h"
#include "control/tcp_stream.h"
#include "control/tls_context.h"

namespace shunt::control {

class TlsStream final : public ByteStream {
 public:
  /// Null without memory. `turns` says when the handshake of `client` goes on.
  static std::unique_ptr<TlsStream> make(asio::ip::tcp::socket socket, const TlsContext& context,
                                         StreamKind kind, const IpAddress& client,
                                         std::shared_ptr<HandshakeTurns> turns);
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

  /// What OpenSSL's way to the socket looks at.
  struct Way {
    int fd = -1;             ///< of the socket while it is open, then -1
    unsigned reads = 0;      ///< that may still be made before the thread does something else
    unsigned fruitless = 0;  ///< reads since the client's last octet for us
  };
  struct WayOf;  // the functions of OpenSSL's BIO

  TlsStream(asio::ip::tcp::socket socket, SSL* ssl, const IpAddress& client,
            std::shared_ptr<HandshakeTurns> turns);
  Step step(int result);
  template <typename Again>
  void wait_for(Wait wait, Again again);
  void handshake_after(Wait wait, std::function<void(std::error_code)> done);
  void handshake_step(std::function<void(std::error_code)> done);
  void read_step(std::span<std::uint8_t> room, Handler done);
  void write_step(std::span<const std::uint8_t> octets, std::size_t written, Handler done);

  asio::ip::tcp::socket socket_;
  SSL* ssl_;
  Way way_;
  bool broken_ = false;  ///< nothing more may be asked of OpenSSL
  IpAddress client_;
  std::shared_ptr<HandshakeTurns> turns_;
  std::optional<HandshakeTurns::Ticket> turn_;  ///< that the handshake waits for
};

}  // namespace shunt::control
