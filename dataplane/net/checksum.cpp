#include "dataplane/net/checksum.h"

#include <immintrin.h>

namespace shunt::net {
namespace {

using AddLong = Sum (*)(Sum, const std::uint8_t*, std::size_t);

// Words of 32 bits go into accumulators of 64, so that there is no carry to catch.
__attribute__((target("avx2"))) Sum add_avx2(Sum sum, const std::uint8_t* data, std::size_t length) {
  const __m256i zero = _mm256_setzero_si256();
  __m256i low = zero, high = zero;
  for (; length >= 32; data += 32, length -= 32) {
    const __m256i block = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data));
    low = _mm256_add_epi64(low, _mm256_unpacklo_epi32(block, zero));
    high = _mm256_add_epi64(high, _mm256_unpackhi_epi32(block, zero));
  }
  low = _mm256_add_epi64(low, high);
  const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
  sum += static_cast<Sum>(_mm_cvtsi128_si64(half)) + static_cast<Sum>(_mm_extract_epi64(half, 1));
  return add_words(sum, data, length);
}

Sum add_plain(Sum sum, const std::uint8_t* data, std::size_t length) {
  return add_words(sum, data, length);
}

const AddLong kAddLong = __builtin_cpu_supports("avx2") != 0 ? add_avx2 : add_plain;

}  // namespace

Sum add_long(Sum sum, const std::uint8_t* data, std::size_t length) {
  return kAddLong(sum, data, length);
}

Sum pseudo_sum(const IpAddress& source, const IpAddress& destination, bool v4, std::uint8_t protocol) {
  const Sum sum = word(protocol);
  if (v4) return add_octets(add_octets(sum, source.v4_octets(), 4), destination.v4_octets(), 4);
  return add_octets(add_octets(sum, source.octets.data(), 16), destination.octets.data(), 16);
}

}  // namespace shunt::net
