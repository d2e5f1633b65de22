// The certificate of an inbound endpoint, and its key.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

struct evp_pkey_st;  // OpenSSL's EVP_PKEY
struct ssl_ctx_st;   // OpenSSL's SSL_CTX
struct x509_st;      // OpenSSL's X509

namespace shunt::conf {

/// A text that may hold a key: erased from memory when it goes.
class PemText {
 public:
  PemText() = default;
  /// Room for `octets`, all zero.
  explicit PemText(std::size_t octets) : text_(octets, '\0') {}
  ~PemText() { erase(); }
  PemText(PemText&& other) noexcept : text_(std::move(other.text_)) { other.text_.clear(); }
  PemText& operator=(PemText&&) = delete;
  PemText(const PemText&) = delete;
  PemText& operator=(const PemText&) = delete;

  char* data() { return text_.data(); }
  std::size_t size() const { return text_.size(); }
  /// Keeps the first `octets`.
  void cut(std::size_t octets);
  std::string_view view() const { return {text_.data(), text_.size()}; }

 private:
  void erase();
  std::vector<char> text_;  // never copied when it moves, as short strings are
};

/// Both files as OpenSSL reads them, which erases a key when it forgets it. Immutable once loaded; any
/// thread.
struct Certificate {
  std::vector<std::shared_ptr<x509_st>> chain;  ///< the endpoint's own, then those up to its issuer
  std::shared_ptr<evp_pkey_st> key;             ///< of the endpoint's own
  /// When the endpoint's own certificate is valid, in seconds since 1970 (UTC).
  std::int64_t not_before = 0, not_after = 0;
  /// The same certificates: then the key is the same, too.
  friend bool operator==(const Certificate& a, const Certificate& b);
};

/// A certificate or key file is at most this large.
inline constexpr std::size_t kMaxPemOctets = 1 << 20;

/// The text of a regular file of at most `most` octets; the error is a phrase ("No such file or directory").
Result<PemText> read_pem_file(const std::string& path, std::size_t most = kMaxPemOctets);

/// Fills in the chain of `into`, and when it is valid, from a PEM text. The error is a sentence without a
/// subject ("holds no certificate in PEM form"), and so it is below.
Result<void> read_chain(std::string_view pem, Certificate& into);
/// Fills in the key of `into`, behind its chain: it must be that of its first certificate.
Result<void> read_key(std::string_view pem, Certificate& into);

/// Gives `context` what `certificate` has.
Result<void> use_chain(ssl_ctx_st* context, const Certificate& certificate);
Result<void> use_key(ssl_ctx_st* context, const Certificate& certificate);

}  // namespace shunt::conf
