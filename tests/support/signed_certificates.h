// Certificates for tests, made when they are needed: an authority, and what it signs.
#pragma once

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>

namespace shunt::testing {

/// A certificate with its key.
class Certificate {
 public:
  /// An authority's, signed by itself.
  static Certificate authority(const std::string& name) { return Certificate(name, "", nullptr, 0, 3600); }
  /// `alternative` as in "DNS:dns.example" or "IP:127.0.0.1"; valid from `begin` to `end`, seconds from now.
  Certificate sign(const std::string& alternative, long begin = -60, long end = 3600) const {
    return Certificate("leaf", alternative, this, begin, end);
  }

  std::string pem() const {
    return text([this](BIO* to) { return PEM_write_bio_X509(to, x509_.get()); });
  }
  std::string key_pem() const {
    return text([this](BIO* to) {
      return PEM_write_bio_PrivateKey(to, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
    });
  }
  X509* x509() const { return x509_.get(); }
  EVP_PKEY* key() const { return key_.get(); }

 private:
  Certificate(const std::string& name, const std::string& alternative, const Certificate* issuer, long begin,
              long end)
      : key_(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"), EVP_PKEY_free),
        x509_(X509_new(), X509_free) {
    static long serial = 1;
    X509_set_version(x509_.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x509_.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x509_.get()), begin);
    X509_gmtime_adj(X509_getm_notAfter(x509_.get()), end);
    X509_set_pubkey(x509_.get(), key_.get());
    X509_NAME_add_entry_by_txt(X509_get_subject_name(x509_.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    const Certificate& signer = issuer == nullptr ? *this : *issuer;
    X509_set_issuer_name(x509_.get(), X509_get_subject_name(signer.x509_.get()));
    add(NID_basic_constraints, issuer == nullptr ? "critical,CA:TRUE" : "CA:FALSE");
    if (!alternative.empty()) add(NID_subject_alt_name, alternative);
    EXPECT_NE(X509_sign(x509_.get(), signer.key_.get(), EVP_sha256()), 0);
  }

  void add(int extension, const std::string& value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, nullptr, x509_.get(), nullptr, nullptr, 0);
    const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> made(
        X509V3_EXT_conf_nid(nullptr, &context, extension, value.c_str()), X509_EXTENSION_free);
    ASSERT_NE(made, nullptr) << value;
    X509_add_ext(x509_.get(), made.get(), -1);
  }
  template <typename Write>
  static std::string text(const Write& write) {
    const std::unique_ptr<BIO, decltype(&BIO_free_all)> to(BIO_new(BIO_s_mem()), BIO_free_all);
    EXPECT_EQ(write(to.get()), 1);
    char* data = nullptr;
    const long size = BIO_get_mem_data(to.get(), &data);
    return std::string(data, static_cast<std::size_t>(size));
  }

  std::shared_ptr<EVP_PKEY> key_;
  std::shared_ptr<X509> x509_;
};

}  // namespace shunt::testing
