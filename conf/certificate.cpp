#include "conf/certificate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <ctime>
#include <memory>

namespace shunt::conf {

namespace {

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
using Bio = std::unique_ptr<BIO, Free>;
using X509Pointer = std::unique_ptr<X509, Free>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Free>;

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

/// What OpenSSL complained of last, and forgets.
std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown error";
}

bool no_more_pem() {
  const unsigned long code = ERR_peek_last_error();
  return ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
}

Bio reader_of(const std::string& text) {
  return Bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// Nobody is there to be asked for a passphrase.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

std::int64_t seconds_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? static_cast<std::int64_t>(timegm(&parts)) : 0;
}

}  // namespace

Result<std::string> read_pem_file(const std::string& path) {
  // Without waiting: a FIFO would keep us for ever.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
  if (file.fd < 0) return Failure(std::strerror(errno));
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return Failure(std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return Failure(std::strerror(EISDIR));
  if (!S_ISREG(info.st_mode)) return Failure("it is not a regular file");
  std::string text;
  char block[16384];
  for (;;) {
    const ssize_t n = read(file.fd, block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failure(std::strerror(errno));
    if (n == 0) return text;
    text.append(block, static_cast<std::size_t>(n));
    if (text.size() > kMaxPemOctets)
      return Failure(fmt::format("it is larger than {} MiB", kMaxPemOctets >> 20));
  }
}

Result<void> use_chain(ssl_ctx_st* context, const std::string& pem) {
  ERR_clear_error();
  const Bio bio = reader_of(pem);
  const X509Pointer own(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
  if (own == nullptr) {
    if (no_more_pem()) {
      ERR_clear_error();
      return Failure("holds no certificate in PEM form");
    }
    return Failure("holds a certificate that can't be read: " + openssl_reason());
  }
  if (SSL_CTX_use_certificate(context, own.get()) != 1)
    return Failure("holds a certificate that can't be used: " + openssl_reason());
  SSL_CTX_clear_chain_certs(context);
  for (unsigned number = 2;; ++number) {
    const X509Pointer next(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (next == nullptr) {
      const bool whole = no_more_pem();
      const std::string reason = openssl_reason();
      if (whole) return {};
      return Failure(fmt::format("holds certificates, but number {} can't be read: {}", number, reason));
    }
    if (SSL_CTX_add1_chain_cert(context, next.get()) != 1)
      return Failure(
          fmt::format("holds certificates, but number {} can't be used: {}", number, openssl_reason()));
  }
}

Result<void> use_key(ssl_ctx_st* context, const std::string& pem) {
  ERR_clear_error();
  const Bio bio = reader_of(pem);
  bool asked = false;
  const KeyPointer key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &asked));
  if (asked) {
    ERR_clear_error();
    return Failure("holds a key that is encrypted");
  }
  if (key == nullptr) {
    if (no_more_pem()) {
      ERR_clear_error();
      return Failure("holds no private key in PEM form");
    }
    return Failure("holds a key that can't be read: " + openssl_reason());
  }
  const X509* const certificate = SSL_CTX_get0_certificate(context);
  if (certificate != nullptr && X509_check_private_key(certificate, key.get()) != 1) {
    ERR_clear_error();
    return Failure("holds another key than the certificate's");
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1)
    return Failure("holds a key that can't be used: " + openssl_reason());
  return {};
}

void read_validity(ssl_ctx_st* context, Certificate& into) {
  const X509* const certificate = SSL_CTX_get0_certificate(context);
  if (certificate == nullptr) return;
  into.not_before = seconds_of(X509_get0_notBefore(certificate));
  into.not_after = seconds_of(X509_get0_notAfter(certificate));
}

}  // namespace shunt::conf
