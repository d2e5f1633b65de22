// Comparing octets in wide steps.
#pragma once

#include <emmintrin.h>

#include <cstddef>
#include <cstdint>

namespace shunt {

/// Bit i: octet i of 32 is another in `a` than in `b`.
inline std::uint32_t differing32(const std::uint8_t* a, const std::uint8_t* b) {
  const auto differing16 = [](const std::uint8_t* p, const std::uint8_t* q) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(q));
    return static_cast<std::uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(x, y))) ^ 0xffffu;
  };
  return differing16(a, b) | differing16(a + 16, b + 16) << 16;
}

/// The same of the first `length` octets, 32 at most and one at least: the others don't differ.
inline std::uint32_t differing(const std::uint8_t* a, const std::uint8_t* b, std::size_t length) {
  const auto behind = static_cast<unsigned>(32 - length);
  return differing32(a, b) << behind >> behind;
}

/// True where `length` >= 1 octets are the same. Both sides are readable to the next multiple of 32. Names of
/// up to 32 octets are compared without asking how long they are: a branch would be mispredicted.
inline bool equal_octets(const std::uint8_t* a, const std::uint8_t* b, std::size_t length) {
  for (; length > 32; a += 32, b += 32, length -= 32) {
    if (differing32(a, b) != 0) return false;
  }
  return differing(a, b, length) == 0;
}

}  // namespace shunt
