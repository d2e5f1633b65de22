// The certificate of an inbound endpoint, and its key, as they were read from their files.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/base/result.h"

struct ssl_ctx_st;  // OpenSSL's SSL_CTX

namespace shunt::conf {

/// Both files as text: what OpenSSL makes of them is made anew for each use, and two are equal where the
/// files are.
struct Certificate {
  std::string chain;  ///< PEM: the endpoint's own certificate, then those up to its issuer
  std::string key;    ///< PEM, not encrypted
  /// When the endpoint's own certificate is valid, in seconds since 1970 (UTC).
  std::int64_t not_before = 0, not_after = 0;
  friend bool operator==(const Certificate&, const Certificate&) = default;
};

/// A certificate or key file is at most this large.
inline constexpr std::size_t kMaxPemOctets = 1 << 20;

/// The text of a regular file; the error is a phrase ("No such file or directory").
Result<std::string> read_pem_file(const std::string& path);

/// Gives `context` the certificates of a PEM text, the first of them as its own. The error is a sentence
/// without a subject ("holds no certificate in PEM form").
Result<void> use_chain(ssl_ctx_st* context, const std::string& pem);
/// Gives `context` the private key of a PEM text: use_chain() comes first, and the key must be that of its
/// certificate.
Result<void> use_key(ssl_ctx_st* context, const std::string& pem);
/// Fills in when the certificate that `context` has is valid.
void read_validity(ssl_ctx_st* context, Certificate& into);

}  // namespace shunt::conf
