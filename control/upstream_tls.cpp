#include "control/upstream_tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <utility>

#include "dataplane/base/address.h"

namespace shunt::control {
namespace {

/// RFC 7858 section 8.2 registers the name.
constexpr std::array<std::uint8_t, 4> kAlpn{3, 'd', 'o', 't'};

/// More than one TLS record holds.
constexpr std::size_t kPlainStep = 16384;

bool add_authorities(X509_STORE* store, const std::string& pem) {
  const OpenSslBio source = open_pem(pem);
  bool any = false;
  for (;; any = true) {
    const OpenSslX509 certificate(PEM_read_bio_X509_AUX(source.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
    if (X509_STORE_add_cert(store, certificate.get()) != 1) return false;
  }
  take_end_of_pem();
  return any;
}

int engine_index() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

}  // namespace

Result<std::shared_ptr<const UpstreamTrust>> UpstreamTrust::create(const std::string& pem) {
  ERR_clear_error();
  auto trust = std::make_shared<UpstreamTrust>();
  trust->context_.reset(SSL_CTX_new(TLS_client_method()));
  SSL_CTX* context = trust->context_.get();
  if (context == nullptr) return Failure("TLS: " + take_openssl_error());
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  if (SSL_CTX_set_alpn_protos(context, kAlpn.data(), kAlpn.size()) != 0)
    return Failure("TLS: " + take_openssl_error());
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
  SSL_CTX_sess_set_new_cb(context, &UpstreamTlsEngine::keep_session);
  const bool trusted = pem.empty() ? SSL_CTX_set_default_verify_paths(context) == 1
                                   : add_authorities(SSL_CTX_get_cert_store(context), pem);
  if (!trusted) return Failure("the trusted certificates can't be taken: " + take_openssl_error());
  return trust;
}

void UpstreamTls::keep(SSL_SESSION* session) {
  if (sessions_.size() == kMaxSessions) sessions_.pop_front();
  sessions_.emplace_back(session);
}

UpstreamTls::Session UpstreamTls::take() {
  const auto now = static_cast<long>(std::time(nullptr));
  while (!sessions_.empty()) {
    Session session = std::move(sessions_.back());
    sessions_.pop_back();
    const long age = now - SSL_SESSION_get_time(session.get());
    const long most = std::min(kMaxSessionAge, SSL_SESSION_get_timeout(session.get()));
    if (age < 0 || age >= most || SSL_SESSION_is_resumable(session.get()) != 1) continue;
    // A ticket of TLS 1.3 is for one use, lest connections be linked (RFC 8446 appendix C.4).
    if (SSL_SESSION_get_protocol_version(session.get()) < TLS1_3_VERSION) {
      SSL_SESSION_up_ref(session.get());
      sessions_.emplace_back(session.get());
    }
    return session;
  }
  return nullptr;
}

UpstreamTlsEngine::UpstreamTlsEngine(std::shared_ptr<UpstreamTls> target)
    : target_(std::move(target)), ssl_(SSL_new(target_->trust_->context_.get())) {
  if (ssl_ == nullptr) return;  // start() says so
  in_ = BIO_new(BIO_s_mem());
  out_ = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl_.get(), in_, out_);
  SSL_set_ex_data(ssl_.get(), engine_index(), this);
}

UpstreamTlsEngine::~UpstreamTlsEngine() {
  // OpenSSL takes a session for broken when its connection ends without both: it would not be resumed.
  if (ssl_ != nullptr) SSL_set_shutdown(ssl_.get(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
}

UpstreamTlsEngine* UpstreamTlsEngine::of(const SSL* ssl) {
  return static_cast<UpstreamTlsEngine*>(SSL_get_ex_data(ssl, engine_index()));
}

int UpstreamTlsEngine::keep_session(SSL* ssl, SSL_SESSION* session) {
  of(ssl)->target_->keep(session);
  return 1;  // the reference is ours now
}

/// What the macro SSL_set_tlsext_host_name does.
bool UpstreamTlsEngine::set_sni(std::string name) {
  return SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data()) == 1;
}

Result<void> UpstreamTlsEngine::start() {
  ERR_clear_error();
  if (ssl_ == nullptr || in_ == nullptr || out_ == nullptr) return Failure("TLS: no memory");
  const std::string& name = target_->name_;
  X509_VERIFY_PARAM* verify = SSL_get0_param(ssl_.get());
  X509_VERIFY_PARAM_set_hostflags(verify, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  const bool set = IpAddress::parse(name)
                       ? X509_VERIFY_PARAM_set1_ip_asc(verify, name.c_str()) == 1
                       : X509_VERIFY_PARAM_set1_host(verify, name.c_str(), name.size()) == 1 && set_sni(name);
  if (!set) return Failure("TLS: \"" + name + "\" is no name to verify by");
  SSL_set_connect_state(ssl_.get());
  // The engine keeps its own reference.
  if (const UpstreamTls::Session session = target_->take()) SSL_set_session(ssl_.get(), session.get());
  return handshake();
}

Failure UpstreamTlsEngine::failure(int returned) {
  const int kind = SSL_get_error(ssl_.get(), returned);
  const long verdict = SSL_get_verify_result(ssl_.get());
  std::string why;
  if (verdict == X509_V_ERR_HOSTNAME_MISMATCH || verdict == X509_V_ERR_IP_ADDRESS_MISMATCH) {
    why = "certificate: not for \"" + target_->name_ + "\"";
  } else if (verdict != X509_V_OK) {
    why = std::string("certificate: ") + X509_verify_cert_error_string(verdict);
  } else {
    why = "TLS: " + (kind == SSL_ERROR_SSL ? take_openssl_error() : "broken off");
  }
  ERR_clear_error();
  return Failure(std::move(why));
}

Result<void> UpstreamTlsEngine::handshake() {
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) {
    established_ = true;
    return {};
  }
  if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return {};
  return failure(done);
}

Result<void> UpstreamTlsEngine::take(std::span<const std::uint8_t> wire, std::vector<std::uint8_t>& plain) {
  ERR_clear_error();
  if (BIO_write(in_, wire.data(), static_cast<int>(wire.size())) != static_cast<int>(wire.size()))
    return Failure("TLS: no memory");
  if (!established_) {
    if (auto shaken = handshake(); !shaken) return shaken;
    if (!established_) return {};
  }
  for (;;) {
    const std::size_t before = plain.size();
    plain.resize(before + kPlainStep);
    std::size_t got = 0;
    const int read = SSL_read_ex(ssl_.get(), plain.data() + before, kPlainStep, &got);
    plain.resize(before + got);
    if (read == 1) continue;
    switch (SSL_get_error(ssl_.get(), read)) {
      case SSL_ERROR_WANT_READ:
        return {};
      case SSL_ERROR_ZERO_RETURN:
        closed_by_peer_ = true;
        return {};
      default:
        return failure(read);
    }
  }
}

Result<void> UpstreamTlsEngine::write(std::span<const std::uint8_t> plain) {
  if (plain.empty()) return {};
  ERR_clear_error();
  std::size_t written = 0;
  // The buffer behind it has no bound of its own: all or nothing.
  const int done = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written);
  if (done != 1 || written != plain.size()) return failure(done);
  return {};
}

void UpstreamTlsEngine::close() {
  if (!established_) return;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  ERR_clear_error();
}

void UpstreamTlsEngine::drain(std::vector<std::uint8_t>& wire) {
  const std::size_t more = BIO_ctrl_pending(out_);
  if (more == 0) return;
  const std::size_t before = wire.size();
  wire.resize(before + more);
  const int got = BIO_read(out_, wire.data() + before, static_cast<int>(more));
  wire.resize(before + static_cast<std::size_t>(std::max(got, 0)));
}

}  // namespace shunt::control
