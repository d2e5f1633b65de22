#include "conf/trust.h"

#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>

namespace shunt::conf {
namespace {

constexpr std::size_t kMaxTrustOctets = 4u << 20;

Result<std::string> read_text(const std::string& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (error && status.type() != std::filesystem::file_type::not_found)
    return Failure(fmt::format("can't be read: {}", error.message()));
  if (!std::filesystem::exists(status)) return Failure("does not exist");
  // A pipe would keep the reload waiting.
  if (!std::filesystem::is_regular_file(status)) return Failure("is no ordinary file");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(kMaxTrustOctets + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad() || (!file && !file.eof()))
    return Failure(fmt::format("can't be read: {}", std::strerror(errno)));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMaxTrustOctets) return Failure("is larger than 4 MiB");
  return text;
}

template <auto Free>
struct Freeing {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace

Result<std::string> read_trust(const std::string& path) {
  Result<std::string> text = read_text(path);
  if (!text) return text;
  const std::unique_ptr<BIO, Freeing<BIO_free_all>> source(
      BIO_new_mem_buf(text->data(), static_cast<int>(text->size())));
  if (source == nullptr) return Failure("finds no memory");
  ERR_clear_error();
  unsigned certificates = 0;
  for (;; ++certificates) {
    const std::unique_ptr<X509, Freeing<X509_free>> certificate(
        PEM_read_bio_X509_AUX(source.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) break;
  }
  const unsigned long error = ERR_peek_last_error();
  ERR_clear_error();
  const bool at_end = ERR_GET_LIB(error) == ERR_LIB_PEM && ERR_GET_REASON(error) == PEM_R_NO_START_LINE;
  if (!at_end) return Failure(fmt::format("is broken at its certificate number {}", certificates + 1));
  if (certificates == 0) return Failure("holds no certificate in PEM form");
  return text;
}

}  // namespace shunt::conf
