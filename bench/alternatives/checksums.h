// The Internet checksum's sum with wider or narrower steps than net::add_octets. Each returns a sum that
// net::fold() takes, and reads nothing beyond `length`. The wide ones run where __builtin_cpu_supports() says
// so ("avx2"; "avx512bw" and "avx512vl").
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/base/bytes.h"
#include "dataplane/net/checksum.h"

namespace shunt::bench {

/// Eight octets at a time with the carry added back, as kernels do it.
inline net::Sum sum_words(const std::uint8_t* data, std::size_t length) {
  unsigned long long sum = 0;
  for (; length >= 8; data += 8, length -= 8) {
    const unsigned long long word = load_le64(data);
    const bool carry = __builtin_add_overflow(sum, word, &sum);
    sum += carry;
  }
  return net::add_short((sum & 0xffffffff) + (sum >> 32), data, length);
}

__attribute__((target("avx2"))) inline net::Sum sum_avx2(const std::uint8_t* data, std::size_t length) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low = zero, high = zero;
  for (; length >= 32; data += 32, length -= 32) {
    const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data));
    low = _mm256_add_epi64(low, _mm256_unpacklo_epi32(block, zero));
    high = _mm256_add_epi64(high, _mm256_unpackhi_epi32(block, zero));
  }
  low = _mm256_add_epi64(low, high);
  const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  const net::Sum sum =
      static_cast<net::Sum>(_mm_cvtsi128_si64(half)) + static_cast<net::Sum>(_mm_extract_epi64(half, 1));
  return length == 0 ? sum : net::add_octets(sum, data, length);
}

/// The end is a masked load: no steps for it. Zeroing forms of instructions where plain ones would do: those
/// of g++ 12 warn of a register that isn't set (GCC bug 105593).
__attribute__((target("avx512f,avx512bw,avx512vl,bmi2"))) inline net::Sum sum_avx512(const std::uint8_t* data,
                                                                                     std::size_t length) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i low = zero, high = zero;
  for (;; data += 64, length -= 64) {
    const __mmask64 mask = _bzhi_u64(~0ull, static_cast<unsigned>(length < 64 ? length : 64));
    const __m512i block = _mm512_maskz_loadu_epi8(mask, data);
    low = _mm512_add_epi64(low, _mm512_maskz_unpacklo_epi32(0xffff, block, zero));
    high = _mm512_add_epi64(high, _mm512_maskz_unpackhi_epi32(0xffff, block, zero));
    if (length <= 64) break;
  }
  low = _mm512_add_epi64(low, high);
  const __m256i half = _mm256_add_epi64(_mm512_maskz_extracti64x4_epi64(0xff, low, 0),
                                        _mm512_maskz_extracti64x4_epi64(0xff, low, 1));
  const __m128i quarter = _mm_add_epi64(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
  return static_cast<net::Sum>(_mm_cvtsi128_si64(quarter)) +
         static_cast<net::Sum>(_mm_extract_epi64(quarter, 1));
}

/// 32 octets of registers, masked: a short frame is two or three loads without a branch for its end.
__attribute__((target("avx512f,avx512bw,avx512vl,bmi2"))) inline net::Sum sum_masked256(
    const std::uint8_t* data, std::size_t length) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low = zero, high = zero;
  for (;; data += 32, length -= 32) {
    const __mmask32 mask = _bzhi_u32(~0u, static_cast<unsigned>(length < 32 ? length : 32));
    const __m256i block = _mm256_maskz_loadu_epi8(mask, data);
    low = _mm256_add_epi64(low, _mm256_unpacklo_epi32(block, zero));
    high = _mm256_add_epi64(high, _mm256_unpackhi_epi32(block, zero));
    if (length <= 32) break;
  }
  low = _mm256_add_epi64(low, high);
  const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  return static_cast<net::Sum>(_mm_cvtsi128_si64(half)) + static_cast<net::Sum>(_mm_extract_epi64(half, 1));
}

}  // namespace shunt::bench
