#include "dataplane/base/random.h"

#include <openssl/evp.h>
#include <sys/random.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace shunt {
namespace {

/// Predictable ids would undo every protection against forged answers: without a generator there is no
/// running on.
[[noreturn]] void give_up(const char* what) {
  std::fprintf(stderr, "random numbers cannot be had: %s failed\n", what);
  std::abort();
}

}  // namespace

struct Random::Cipher {
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();

  Cipher() = default;
  ~Cipher() { EVP_CIPHER_CTX_free(context); }
  Cipher(const Cipher&) = delete;
  Cipher& operator=(const Cipher&) = delete;
};

Random::Random(const Seed& seed) : cipher_(std::make_unique<Cipher>()) {
  static constexpr std::uint8_t kCounterStart[16] = {};
  if (EVP_EncryptInit_ex(cipher_->context, EVP_aes_256_ctr(), nullptr, seed.data(), kCounterStart) != 1) {
    give_up("AES-256-CTR");
  }
  refill();
}

Random::~Random() = default;

Random::Seed Random::system_seed() {
  Seed seed;
  std::size_t have = 0;
  while (have < seed.size()) {
    const ssize_t got = getrandom(seed.data() + have, seed.size() - have, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) give_up("getrandom");
    have += static_cast<std::size_t>(got);
  }
  return seed;
}

void Random::refill() {
  // The key stream itself: the encryption of zeros.
  static constexpr std::array<std::uint8_t, kWords * sizeof(std::uint32_t)> kZeros{};
  auto* to = reinterpret_cast<unsigned char*>(buffer_.data());
  int made = 0;
  if (EVP_EncryptUpdate(cipher_->context, to, &made, kZeros.data(), kZeros.size()) != 1 ||
      made != static_cast<int>(kZeros.size())) {
    give_up("AES-256-CTR");
  }
  used_ = 0;
}

}  // namespace shunt
