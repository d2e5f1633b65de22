// Lower-casing with other steps than dns::lower_case, and other hashes for the chain over a name's labels
// than dns::extend_hash.
#pragma once

#include <immintrin.h>
#include <rte_hash_crc.h>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/base/bytes.h"
#include "dataplane/dns/name.h"

namespace shunt::bench {

inline void lower_bytewise(const std::uint8_t* from, std::uint8_t* to, std::size_t length) {
  for (std::size_t i = 0; i < length; ++i) {
    // Kept from becoming vector instructions, as in a loop that reads labels too.
    std::uint8_t octet = from[i];
    asm volatile("" : "+r"(octet));
    to[i] = octet >= 'A' && octet <= 'Z' ? static_cast<std::uint8_t>(octet | 0x20) : octet;
  }
}

/// Both buffers may be read and written to the next 32 octets.
__attribute__((target("avx2"))) inline void lower_avx2(const std::uint8_t* from, std::uint8_t* to,
                                                       std::size_t length) {
  for (std::size_t i = 0; i < length; i += 32) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + i));
    const __m256i above = _mm256_cmpgt_epi8(x, _mm256_set1_epi8('A' - 1));
    const __m256i below = _mm256_cmpgt_epi8(_mm256_set1_epi8('Z' + 1), x);
    const __m256i bit = _mm256_and_si256(_mm256_and_si256(above, below), _mm256_set1_epi8(0x20));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), _mm256_or_si256(x, bit));
  }
}

/// Reads and writes nothing beyond `length`.
__attribute__((target("avx512f,avx512bw,avx512vl,bmi2"))) inline void lower_avx512(const std::uint8_t* from,
                                                                                   std::uint8_t* to,
                                                                                   std::size_t length) {
  for (std::size_t i = 0; i < length; i += 64) {
    const std::size_t left = length - i;
    const __mmask64 mask = _bzhi_u64(~0ull, static_cast<unsigned>(left < 64 ? left : 64));
    const __m512i x = _mm512_maskz_loadu_epi8(mask, from + i);
    const __mmask64 upper =
        _mm512_cmplt_epu8_mask(_mm512_sub_epi8(x, _mm512_set1_epi8('A')), _mm512_set1_epi8(26));
    _mm512_mask_storeu_epi8(to + i, mask, _mm512_mask_add_epi8(x, upper, x, _mm512_set1_epi8(0x20)));
  }
}

/// Each hash extends that of the parent by a label, of which 64 octets are readable.
struct OurHash {
  static std::uint64_t root() { return dns::root_hash({}); }
  static std::uint64_t extend(std::uint64_t parent, const std::uint8_t* label) {
    return dns::extend_hash({}, parent, label);
  }
};

/// 32 bits only, and unkeyed: whoever chooses names chooses collisions. Twice for as many bits as ours has.
struct Crc32c {
  static std::uint64_t root() { return 0x9e3779b97f4a7c15; }
  static std::uint64_t extend(std::uint64_t parent, const std::uint8_t* label) {
    const std::uint32_t length = std::uint32_t{*label} + 1;
    const std::uint32_t low = rte_hash_crc(label, length, static_cast<std::uint32_t>(parent));
    const std::uint32_t high = rte_hash_crc(label, length, static_cast<std::uint32_t>(parent >> 32));
    return std::uint64_t{high} << 32 | low;
  }
};

/// SipHash-1-3 (Aumasson, Bernstein, 2012), keyed by the parent's hash.
struct SipHash {
  static std::uint64_t root() { return 0x0706050403020100; }
  static std::uint64_t extend(std::uint64_t parent, const std::uint8_t* label) {
    static constexpr std::uint64_t kKey = 0x0f0e0d0c0b0a0908;
    std::uint64_t v0 = parent ^ 0x736f6d6570736575, v1 = kKey ^ 0x646f72616e646f6d,
                  v2 = parent ^ 0x6c7967656e657261, v3 = kKey ^ 0x7465646279746573;
    const auto round = [&] {
      v0 += v1;
      v1 = std::rotl(v1, 13) ^ v0;
      v0 = std::rotl(v0, 32);
      v2 += v3;
      v3 = std::rotl(v3, 16) ^ v2;
      v0 += v3;
      v3 = std::rotl(v3, 21) ^ v0;
      v2 += v1;
      v1 = std::rotl(v1, 17) ^ v2;
      v2 = std::rotl(v2, 32);
    };
    const std::size_t length = std::size_t{*label} + 1;
    std::size_t i = 0;
    for (; i + 8 <= length; i += 8) {
      const std::uint64_t m = load_le64(label + i);
      v3 ^= m;
      round();
      v0 ^= m;
    }
    const std::uint64_t rest = load_le64(label + i) & ((std::uint64_t{1} << (length % 8 * 8)) - 1);
    const std::uint64_t m = std::uint64_t{length} << 56 | rest;
    v3 ^= m;
    round();
    v0 ^= m;
    v2 ^= 0xff;
    round();
    round();
    round();
    return v0 ^ v1 ^ v2 ^ v3;
  }
};

/// Two rounds of AES for each sixteen octets, the parent's hash mixed into the first: needs AES-NI, which
/// x86-64-v2 doesn't promise.
struct AesHash {
  static std::uint64_t root() { return 0x9e3779b97f4a7c15; }
  __attribute__((target("aes,sse4.2"))) static std::uint64_t extend(std::uint64_t parent,
                                                                    const std::uint8_t* label) {
    static constexpr std::array<std::uint8_t, 32> kOnes = [] {
      std::array<std::uint8_t, 32> m{};
      for (unsigned i = 0; i < 16; ++i)
        m[i] = 0xff;
      return m;
    }();
    const __m128i key = _mm_set_epi64x(0x2d358dccaa6c78a5, 0x7bb05462a9b2a3d1);
    __m128i state = _mm_set1_epi64x(static_cast<long long>(parent));
    for (std::size_t left = std::size_t{*label} + 1;; left -= 16, label += 16) {
      const std::size_t taken = left < 16 ? left : 16;
      const __m128i mask = _mm_loadu_si128(reinterpret_cast<const __m128i*>(&kOnes[16 - taken]));
      const __m128i block = _mm_and_si128(_mm_loadu_si128(reinterpret_cast<const __m128i*>(label)), mask);
      state = _mm_aesenc_si128(_mm_aesenc_si128(_mm_xor_si128(state, block), key), state);
      if (left <= 16) break;
    }
    return static_cast<std::uint64_t>(_mm_cvtsi128_si64(state)) ^
           static_cast<std::uint64_t>(_mm_extract_epi64(state, 1));
  }
};

}  // namespace shunt::bench
