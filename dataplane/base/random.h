// A cryptographic generator for ids and source ports (RFC 5452 section 9.2): AES-256 in counter mode, made in
// batches, so that a draw is a load. One instance belongs to one thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>

namespace shunt {

class Random {
 public:
  using Seed = std::array<std::uint8_t, 32>;

  /// The same seed gives the same draws: tests are repeatable.
  explicit Random(const Seed& seed);
  ~Random();
  Random(const Random&) = delete;
  Random& operator=(const Random&) = delete;

  /// A seed from the kernel (getrandom), waited for where the machine has just booted. Only at start.
  static Seed system_seed();

  std::uint32_t next32() {
    if (used_ == kWords) refill();
    return buffer_[used_++];
  }
  std::uint64_t next64() {
    const std::uint64_t high = next32();  // drawn first, whatever the compiler: the same seed, the same draws
    return high << 32 | next32();
  }
  /// Uniform below `bound` up to a bias of bound/2^32 (Lemire, 2019). `bound` > 0.
  std::uint32_t below(std::uint32_t bound) {
    return static_cast<std::uint32_t>((std::uint64_t{next32()} * bound) >> 32);
  }

 private:
  static constexpr unsigned kWords = 1024;
  void refill();

  struct Cipher;
  std::unique_ptr<Cipher> cipher_;  ///< its counter runs on from one refill to the next
  unsigned used_ = kWords;
  std::array<std::uint32_t, kWords> buffer_;
};

}  // namespace shunt
