// TLS towards upstreams (DNS over TLS, RFC 7858; strict profile of RFC 8310): TLS 1.2 at least, the target's
// certificate verified by a name that the configuration gives, ALPN "dot", and sessions resumed.
//
// The engine has no socket: octets of the wire go in and come out, so that a connection is the same with it
// and without. One thread for all of it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "conf/openssl.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// Which authorities are believed. Shared by all targets of an upstream.
class UpstreamTrust {
 public:
  /// `pem`: the certificates of authorities; empty: those of the system (SSL_CERT_FILE and SSL_CERT_DIR).
  static Result<std::shared_ptr<const UpstreamTrust>> create(const std::string& pem);

 private:
  friend class UpstreamTlsEngine;
  OpenSslContext context_;
};

/// One target's name, and the sessions that it offered for resumption.
class UpstreamTls {
 public:
  /// `name`: the host name (sent as SNI) or address that the certificate must have.
  UpstreamTls(std::shared_ptr<const UpstreamTrust> trust, std::string name)
      : trust_(std::move(trust)), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  std::size_t sessions() const { return sessions_.size(); }

 private:
  friend class UpstreamTlsEngine;
  using Session = std::unique_ptr<SSL_SESSION, OpenSslFree<SSL_SESSION_free>>;

  /// Tickets come in twos; each connection takes one.
  static constexpr std::size_t kMaxSessions = 4;
  /// A resumed session isn't verified again: no longer than this, so that a revoked or expired certificate is
  /// found out, s.
  static constexpr long kMaxSessionAge = 3600;

  void keep(SSL_SESSION* session);
  Session take();

  std::shared_ptr<const UpstreamTrust> trust_;
  std::string name_;
  std::deque<Session> sessions_;
};

/// TLS of one connection, the client's side.
class UpstreamTlsEngine {
 public:
  explicit UpstreamTlsEngine(std::shared_ptr<UpstreamTls> target);
  ~UpstreamTlsEngine();
  UpstreamTlsEngine(const UpstreamTlsEngine&) = delete;
  UpstreamTlsEngine& operator=(const UpstreamTlsEngine&) = delete;

  /// Begins the handshake. Errors, here and below, are for people; the connection is of no use afterwards.
  Result<void> start();
  /// Takes octets of the wire, and appends to `plain` what they say.
  Result<void> take(std::span<const std::uint8_t> wire, std::vector<std::uint8_t>& plain);
  /// Encrypts, once established().
  Result<void> write(std::span<const std::uint8_t> plain);
  /// Says that nothing more will be written.
  void close();
  /// Appends to `wire` what the other side must get. After every call above.
  void drain(std::vector<std::uint8_t>& wire);

  bool established() const { return established_; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  bool closed_by_peer() const { return closed_by_peer_; }

 private:
  static int keep_session(SSL* ssl, SSL_SESSION* session);
  static UpstreamTlsEngine* of(const SSL* ssl);
  friend class UpstreamTrust;

  bool set_sni(std::string name);
  Result<void> handshake();
  Failure failure(int returned);

  std::shared_ptr<UpstreamTls> target_;
  std::unique_ptr<SSL, OpenSslFree<SSL_free>> ssl_;
  BIO* in_ = nullptr;   ///< the SSL's
  BIO* out_ = nullptr;  ///< the SSL's
  bool established_ = false;
  bool closed_by_peer_ = false;
};

}  // namespace shunt::control
