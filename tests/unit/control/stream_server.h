// An upstream over TCP or TLS that is driven by the test, on the thread of the code under test.
#pragma once

#include <openssl/ssl.h>

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/dns_messages.h"
#include "tests/support/signed_certificates.h"
#include "tests/unit/control/loopback.h"

namespace shunt::testing {

/// What a server presents.
class ServerTls {
 public:
  explicit ServerTls(const Certificate& certificate, int version = 0)
      : context_(SSL_CTX_new(TLS_server_method()), SSL_CTX_free) {
    SSL_CTX_use_certificate(context_.get(), certificate.x509());
    SSL_CTX_use_PrivateKey(context_.get(), certificate.key());
    if (version != 0) {
      SSL_CTX_set_min_proto_version(context_.get(), version);
      SSL_CTX_set_max_proto_version(context_.get(), version);
    }
    SSL_CTX_set_alpn_select_cb(context_.get(), &ServerTls::select, nullptr);
  }
  SSL_CTX* context() const { return context_.get(); }

 private:
  static int select(SSL* /*ssl*/, const unsigned char** out, unsigned char* length, const unsigned char* in,
                    unsigned /*in_length*/, void* /*argument*/) {
    *out = in + 1;
    *length = in[0];
    return SSL_TLSEXT_ERR_OK;
  }
  std::shared_ptr<SSL_CTX> context_;
};

/// One connection that was accepted.
class Accepted {
 public:
  Accepted(int fd, const std::optional<ServerTls>& tls) : peer_(fd) {
    if (!tls) return;
    ssl_.reset(SSL_new(tls->context()));
    SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_accept_state(ssl_.get());
  }

  void poll() {
    peer_.poll();
    ended = peer_.ended;
    if (!ssl_) {
      received += std::exchange(peer_.received, {});
      return;
    }
    if (mute) return;
    const std::string wire = std::exchange(peer_.received, {});
    BIO_write(SSL_get_rbio(ssl_.get()), wire.data(), static_cast<int>(wire.size()));
    if (!SSL_is_init_finished(ssl_.get())) SSL_do_handshake(ssl_.get());
    char plain[16384];
    int got;
    while (SSL_is_init_finished(ssl_.get()) && (got = SSL_read(ssl_.get(), plain, sizeof plain)) > 0) {
      received.append(plain, static_cast<std::size_t>(got));
      records.push_back(static_cast<std::size_t>(got));
    }
    flush();
  }
  /// As it is, length and all.
  void send_octets(const Bytes& octets) {
    if (!ssl_) {
      peer_.send(octets);
      return;
    }
    SSL_write(ssl_.get(), octets.data(), static_cast<int>(octets.size()));
    flush();
  }
  void send(const Bytes& message) {
    Bytes out;
    append16(out, static_cast<unsigned>(message.size()));
    append(out, message);
    send_octets(out);
  }
  /// Octets of the wire, below TLS.
  void send_raw(std::string_view octets) { peer_.send(octets); }
  void close() { peer_.close(); }
  void reset() {
    peer_.linger_none();
    peer_.close();
  }

  std::string from() const { return peer_.from(); }
  /// Whole questions that have come.
  std::vector<Bytes> questions() const {
    std::vector<Bytes> out;
    const auto* data = reinterpret_cast<const std::uint8_t*>(received.data());
    for (std::size_t at = 0; at + 2 <= received.size();) {
      const std::size_t length = load_be16(data + at);
      if (at + 2 + length > received.size()) break;
      out.emplace_back(data + at + 2, data + at + 2 + length);
      at += 2 + length;
    }
    return out;
  }
  bool resumed() const { return ssl_ && SSL_session_reused(ssl_.get()) == 1; }
  std::string alpn() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_.get(), &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  std::string sni() const {
    const char* name = SSL_get_servername(ssl_.get(), TLSEXT_NAMETYPE_host_name);
    return name == nullptr ? "" : name;
  }

  std::string received;              ///< plain
  std::vector<std::size_t> records;  ///< of TLS: octets of each that brought something
  bool ended = false;
  bool mute = false;  ///< the handshake is not answered

 private:
  void flush() {
    char wire[65536];
    int got;
    while ((got = BIO_read(SSL_get_wbio(ssl_.get()), wire, sizeof wire)) > 0)
      peer_.send(std::string_view(wire, static_cast<std::size_t>(got)));
  }

  Peer peer_;
  struct Free {
    void operator()(SSL* ssl) const {
      SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
      SSL_free(ssl);
    }
  };
  std::unique_ptr<SSL, Free> ssl_;
};

class StreamServer {
 public:
  explicit StreamServer(std::optional<ServerTls> tls = {}) : tls_(std::move(tls)) { listen(); }
  ~StreamServer() { stop(); }
  StreamServer(const StreamServer&) = delete;
  StreamServer& operator=(const StreamServer&) = delete;

  SocketAddress address() const { return loopback_address(port_); }
  void poll() {
    int fd;
    while (listener_ >= 0 &&
           (fd = ::accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
      connections.emplace_back(fd, tls_);
      connections.back().mute = mute;
    }
    for (Accepted& connection : connections)
      connection.poll();
  }
  /// Refuses connections from now on.
  void stop() {
    if (listener_ >= 0) ::close(std::exchange(listener_, -1));
  }
  void listen() {
    listener_ = bound_socket(SOCK_STREAM, port_);
    port_ = local_port(listener_);
  }
  std::size_t open_connections() const {
    std::size_t count = 0;
    for (const Accepted& connection : connections)
      count += !connection.ended;
    return count;
  }
  Accepted& at(std::size_t i) { return *std::next(connections.begin(), static_cast<std::ptrdiff_t>(i)); }
  void use(std::optional<ServerTls> tls) { tls_ = std::move(tls); }

  std::list<Accepted> connections;
  bool mute = false;

 private:
  std::optional<ServerTls> tls_;
  int listener_ = -1;
  std::uint16_t port_ = 0;
};

}  // namespace shunt::testing
