#include "conf/certificate.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/pem.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "conf/openssl.h"

namespace shunt::conf {

namespace {

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

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

void PemText::erase() {
  OPENSSL_cleanse(text_.data(), text_.size());
}

void PemText::cut(std::size_t octets) {
  OPENSSL_cleanse(text_.data() + octets, text_.size() - octets);
  text_.resize(octets);
}

Result<PemText> read_pem_file(const std::string& path, std::size_t most) {
  // Without waiting: a FIFO would keep us for ever.
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)};
  if (file.fd < 0) return Failure(std::strerror(errno));
  struct stat info {};
  if (fstat(file.fd, &info) != 0) return Failure(std::strerror(errno));
  if (S_ISDIR(info.st_mode)) return Failure(std::strerror(EISDIR));
  if (!S_ISREG(info.st_mode)) return Failure("it is not a regular file");
  // Into one piece of memory, which doesn't grow: growing would leave copies behind.
  const auto size = static_cast<std::size_t>(info.st_size);
  if (size > most) return Failure(fmt::format("it is larger than {} MiB", most >> 20));
  PemText text(size + 1);
  std::size_t filled = 0;
  while (filled < text.size()) {
    const ssize_t n = read(file.fd, text.data() + filled, text.size() - filled);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failure(std::strerror(errno));
    if (n == 0) break;
    filled += static_cast<std::size_t>(n);
  }
  if (filled > size) return Failure("it is being written");
  text.cut(filled);
  return text;
}

bool operator==(const Certificate& a, const Certificate& b) {
  return std::equal(a.chain.begin(), a.chain.end(), b.chain.begin(), b.chain.end(),
                    [](const auto& x, const auto& y) { return X509_cmp(x.get(), y.get()) == 0; });
}

Result<void> read_chain(std::string_view pem, Certificate& into) {
  const OpenSslBio bio = open_pem(pem);
  into.chain.clear();
  // The first may have a form that says for what it is trusted.
  OpenSslX509 next(PEM_read_bio_X509_AUX(bio.get(), nullptr, nullptr, nullptr));
  while (next != nullptr) {
    into.chain.emplace_back(std::move(next));
    next.reset(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
  }
  const bool whole = take_end_of_pem();
  if (into.chain.empty()) {
    if (whole) return Failure("holds no certificate in PEM form");
    return Failure("holds a certificate that can't be read: " + take_openssl_error());
  }
  if (!whole)
    return Failure(fmt::format("holds certificates, but number {} can't be read: {}", into.chain.size() + 1,
                               take_openssl_error()));
  into.not_before = seconds_of(X509_get0_notBefore(into.chain[0].get()));
  into.not_after = seconds_of(X509_get0_notAfter(into.chain[0].get()));
  return {};
}

Result<void> read_key(std::string_view pem, Certificate& into) {
  const OpenSslBio bio = open_pem(pem);
  bool asked = false;
  into.key.reset(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, &asked),
                 OpenSslFree<EVP_PKEY_free>());
  if (asked) {
    take_openssl_error();
    return Failure("holds a key that is encrypted");
  }
  if (into.key == nullptr) {
    // OpenSSL says "unsupported" of both.
    const std::string reason = take_openssl_error();
    if (pem.find(" PRIVATE KEY-----") == std::string_view::npos)
      return Failure("holds no private key in PEM form");
    return Failure("holds a key that can't be read: " + reason);
  }
  if (into.chain.empty() || X509_check_private_key(into.chain[0].get(), into.key.get()) != 1) {
    take_openssl_error();
    return Failure("holds another key than the certificate's");
  }
  return {};
}

Result<void> use_chain(ssl_ctx_st* context, const Certificate& certificate) {
  const auto& chain = certificate.chain;
  if (chain.empty() || SSL_CTX_use_certificate(context, chain[0].get()) != 1)
    return Failure("holds a certificate that can't be used: " + take_openssl_error());
  SSL_CTX_clear_chain_certs(context);
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(context, chain[i].get()) != 1)
      return Failure(
          fmt::format("holds certificates, but number {} can't be used: {}", i + 1, take_openssl_error()));
  }
  return {};
}

Result<void> use_key(ssl_ctx_st* context, const Certificate& certificate) {
  if (SSL_CTX_use_PrivateKey(context, certificate.key.get()) != 1)
    return Failure("holds a key that can't be used: " + take_openssl_error());
  return {};
}

}  // namespace shunt::conf
