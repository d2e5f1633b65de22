// What an inbound endpoint's TLS connections have in common: certificate, key, versions, ciphers, tickets.
// One for each certificate of a generation; connections keep theirs while newer ones get another.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "conf/config.h"
#include "conf/openssl.h"
#include "control/counters.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// Immutable once made, as far as others see; used by one thread.
class TlsContext {
 public:
  using Clock = std::chrono::steady_clock;
  /// Tickets of a key that is found out can be read: none is used for longer (RFC 9325 section 3.4).
  static constexpr std::chrono::hours kTicketKeyAge{12};

  /// For an endpoint whose certificate is loaded. TLS 1.2 with forward secrecy and authenticated encryption,
  /// and TLS 1.3 (RFC 8310, RFC 9325); session tickets; no renegotiation, no early data.
  static Result<std::shared_ptr<const TlsContext>> make(const conf::Tls& tls);

  /// The server's end of a new connection, the caller's to free; null without memory. A client that offers
  /// application protocols must offer "dot" for kTls, "h2" for kHttps (RFC 7301).
  SSL* new_session(StreamKind kind, Clock::time_point now = Clock::now()) const;

  const std::string& https_path() const { return https_path_; }
  const conf::Certificate& certificate() const { return *certificate_; }
  /// Whether make() would make an equal one: then this one, and so its tickets, can live on.
  bool serves(const conf::Tls& tls) const;

 private:
  TlsContext() = default;
  static Result<OpenSslContext> make_context(const conf::Certificate& certificate, StreamKind kind);

  void renew_ticket_keys(Clock::time_point now) const;

  OpenSslContext tls_, https_;
  mutable Clock::time_point ticket_keys_made_ = Clock::now();
  std::shared_ptr<const conf::Certificate> certificate_;
  std::string https_path_;
};

}  // namespace shunt::control
