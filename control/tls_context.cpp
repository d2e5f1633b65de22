#include "control/tls_context.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include <cstring>
#include <string_view>
#include <utility>
#include <vector>

#include "conf/certificate.h"

namespace shunt::control {

namespace {

/// In the form of the extension: each protocol behind its length.
constexpr unsigned char kDot[] = {3, 'd', 'o', 't'};
constexpr unsigned char kHttp2[] = {2, 'h', '2'};

/// A client that offers other protocols only is not one of ours, and may be a victim (RFC 9325 section 3.7).
int select_protocol(SSL*, const unsigned char** out, unsigned char* out_length, const unsigned char* offered,
                    unsigned offered_length, void* argument) {
  const auto* ours = static_cast<const unsigned char*>(argument);
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_length, ours, ours[0] + 1u, offered, offered_length);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

}  // namespace

Result<OpenSslContext> TlsContext::make_context(const conf::Certificate& certificate, StreamKind kind) {
  OpenSslContext context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return Failure("no memory for TLS");
  SSL_CTX* const c = context.get();
  SSL_CTX_set_min_proto_version(c, TLS1_2_VERSION);
  SSL_CTX_set_cipher_list(c, "ECDHE+AESGCM:ECDHE+CHACHA20");
  // A client that just closes is none to complain of: messages have lengths of their own.
  SSL_CTX_set_options(c, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                             SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
  SSL_CTX_set_mode(
      c, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
  // Sessions live in their tickets, not here.
  SSL_CTX_set_session_cache_mode(c, SSL_SESS_CACHE_OFF);
  const std::string_view id = kStreamName[static_cast<std::size_t>(kind)];
  SSL_CTX_set_session_id_context(c, reinterpret_cast<const unsigned char*>(id.data()),
                                 static_cast<unsigned>(id.size()));
  const unsigned char* protocol = kind == StreamKind::kHttps ? kHttp2 : kDot;
  SSL_CTX_set_alpn_select_cb(c, select_protocol, const_cast<unsigned char*>(protocol));
  if (auto used = conf::use_chain(c, certificate); !used) return Failure(used.error());
  if (auto used = conf::use_key(c, certificate); !used) return Failure(used.error());
  return context;
}

Result<std::shared_ptr<const TlsContext>> TlsContext::make(const conf::Tls& tls) {
  if (tls.loaded == nullptr) return Failure(tls.certificate + " was not loaded");
  const std::shared_ptr<TlsContext> made(new TlsContext());
  made->certificate_ = tls.loaded;
  made->https_path_ = tls.https_path;
  for (const auto& [kind, into] :
       {std::pair(StreamKind::kTls, &made->tls_), std::pair(StreamKind::kHttps, &made->https_)}) {
    auto context = make_context(*tls.loaded, kind);
    if (!context) return Failure(tls.certificate + " or " + tls.key + " " + context.error());
    *into = std::move(*context);
  }
  return std::shared_ptr<const TlsContext>(made);
}

/// Tickets of the old keys are good for a whole handshake only.
void TlsContext::renew_ticket_keys(Clock::time_point now) const {
  ticket_keys_made_ = now;
  for (SSL_CTX* const context : {tls_.get(), https_.get()}) {
    std::vector<unsigned char> keys(
        static_cast<std::size_t>(SSL_CTX_get_tlsext_ticket_keys(context, nullptr, 0)));
    const int octets = static_cast<int>(keys.size());
    if (RAND_bytes(keys.data(), octets) == 1) SSL_CTX_set_tlsext_ticket_keys(context, keys.data(), octets);
    OPENSSL_cleanse(keys.data(), keys.size());
  }
}

SSL* TlsContext::new_session(StreamKind kind, Clock::time_point now) const {
  if (now - ticket_keys_made_ >= kTicketKeyAge) renew_ticket_keys(now);
  ERR_clear_error();
  SSL* const ssl = SSL_new((kind == StreamKind::kHttps ? https_ : tls_).get());
  if (ssl != nullptr) SSL_set_accept_state(ssl);
  return ssl;
}

bool TlsContext::serves(const conf::Tls& tls) const {
  return tls.loaded != nullptr && *tls.loaded == *certificate_ && tls.https_path == https_path_;
}

}  // namespace shunt::control
