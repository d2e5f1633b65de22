#include "conf/trust.h"

#include <fmt/format.h>
#include <openssl/pem.h>

#include "conf/certificate.h"
#include "conf/openssl.h"

namespace shunt::conf {

Result<std::string> read_trust(const std::string& path) {
  const Result<PemText> text = read_pem_file(path, kMaxTrustOctets);
  if (!text) return Failure("can't be read: " + text.error());
  const OpenSslBio source = open_pem(text->view());
  if (source == nullptr) return Failure("finds no memory");
  unsigned certificates = 0;
  for (;; ++certificates) {
    const OpenSslX509 certificate(PEM_read_bio_X509_AUX(source.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
  }
  if (!take_end_of_pem()) {
    take_openssl_error();
    return Failure(fmt::format("is broken at its certificate number {}", certificates + 1));
  }
  if (certificates == 0) return Failure("holds no certificate in PEM form");
  return std::string(text->view());
}

}  // namespace shunt::conf
