// Copies and comparisons in blocks of sixteen octets.
#pragma once

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>

namespace shunt::perf {

/// Copies whole blocks of sixteen octets: reads and writes up to fifteen more than asked for.
inline void copy_blocks(std::uint8_t* to, const std::uint8_t* from, std::size_t length) {
  for (std::size_t i = 0; i < length; i += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), block);
  }
}

/// True where `length` octets are equal. Reads up to fifteen more of both.
inline bool equal_blocks(const std::uint8_t* a, const std::uint8_t* b, std::size_t length) {
  for (std::size_t i = 0; i < length; i += 16) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i));
    const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i));
    auto different = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(x, y))) ^ 0xffff;
    if (length - i < 16) different &= (1U << (length - i)) - 1;
    if (different != 0) return false;
  }
  return true;
}

}  // namespace shunt::perf
