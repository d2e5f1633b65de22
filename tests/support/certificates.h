// Certificates that tests make for themselves, with OpenSSL.
#pragma once

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <cstdint>
#include <memory>
#include <string>

namespace shunt::testing {

struct TestCertificate {
  std::string chain, key;  ///< PEM
};

struct CertificateOptions {
  std::string name = "dns.gw.test";
  std::int64_t serial = 1;
  long begins = -3600, ends = 86400;  ///< seconds from now
  unsigned rsa_bits = 0;              ///< 0: P-256
  const char* passphrase = nullptr;   ///< of the key
};

namespace detail {
inline std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(bio);
  return text;
}
}  // namespace detail

/// Signed by itself.
inline TestCertificate make_certificate(const CertificateOptions& options = {}) {
  EVP_PKEY* const key = options.rsa_bits == 0 ? EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256")
                                              : EVP_RSA_gen(options.rsa_bits);
  X509* const certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set_int64(X509_get_serialNumber(certificate), options.serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), options.begins);
  X509_gmtime_adj(X509_getm_notAfter(certificate), options.ends);
  X509_NAME* const name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(options.name.c_str()), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_set_pubkey(certificate, key);
  X509_sign(certificate, key, EVP_sha256());
  BIO* const chain_bio = BIO_new(BIO_s_mem());
  PEM_write_bio_X509(chain_bio, certificate);
  BIO* const key_bio = BIO_new(BIO_s_mem());
  if (options.passphrase == nullptr) {
    PEM_write_bio_PKCS8PrivateKey(key_bio, key, nullptr, nullptr, 0, nullptr, nullptr);
  } else {
    std::string passphrase = options.passphrase;
    PEM_write_bio_PKCS8PrivateKey(key_bio, key, EVP_aes_256_cbc(), passphrase.data(),
                                  static_cast<int>(passphrase.size()), nullptr, nullptr);
  }
  TestCertificate made{detail::text_of(chain_bio), detail::text_of(key_bio)};
  X509_free(certificate);
  EVP_PKEY_free(key);
  return made;
}

}  // namespace shunt::testing
