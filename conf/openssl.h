// What all uses of OpenSSL need: ownership, its errors as text, and PEM.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <string_view>

namespace shunt {

template <auto Free>
struct OpenSslFree {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using OpenSslBio = std::unique_ptr<BIO, OpenSslFree<BIO_free_all>>;
using OpenSslX509 = std::unique_ptr<X509, OpenSslFree<X509_free>>;
using OpenSslContext = std::unique_ptr<SSL_CTX, OpenSslFree<SSL_CTX_free>>;

/// What OpenSSL complained of last on this thread, and forgets: a phrase.
std::string take_openssl_error();
/// Whether the last complaint is that a PEM text has no more objects; forgets it where it is.
bool take_end_of_pem();
/// Reads `text`, which outlives it; null without memory.
OpenSslBio open_pem(std::string_view text);

}  // namespace shunt
