// The Internet checksum (RFC 1071) in steps of sixteen octets (SSSE3, which x86-64-v2 has).
#pragma once

#include <smmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "dataplane/base/address.h"
#include "dataplane/base/bytes.h"

namespace shunt::net {

/// All sums are kept as the machine reads the octets (little endian here): RFC 1071 section 2(B), byte order
/// does not matter as long as it is the same everywhere. Stored with a plain memcpy, the folded complement is
/// right on the wire.
using Sum = std::uint64_t;

/// The octets of a piece shorter than eight.
inline Sum add_short(Sum sum, const std::uint8_t* data, std::size_t length) {
  if ((length & 4) != 0) {
    std::uint32_t w;
    std::memcpy(&w, data, 4);
    sum += w;
    data += 4;
  }
  if ((length & 2) != 0) {
    std::uint16_t w;
    std::memcpy(&w, data, 2);
    sum += w;
    data += 2;
  }
  if ((length & 1) != 0) sum += *data;
  return sum;
}

/// Adds `length` octets at `data` to `sum`; reads nothing else. An odd last octet counts as if a zero
/// followed. Pieces before the last must have even length. 64 KiB add less than 2^46: a packet's sum never
/// overflows.
///
/// Words of 32 bits go into accumulators of 64, so that there is no carry to catch. The end has no loop of
/// its own: it is the last whole block, with those octets shifted out that are counted already.
inline Sum add_octets(Sum sum, const std::uint8_t* data, std::size_t length) {
  if (length < 8) return add_short(sum, data, length);
  const std::uint8_t* const end = data + length;
  if (length < 16) {
    const std::uint64_t first = load_le64(data);
    const std::uint64_t last = (load_le64(end - 8) >> 8) >> (8 * (15 - length));
    return sum + (first & 0xffffffff) + (first >> 32) + (last & 0xffffffff) + (last >> 32);
  }
  const __m128i zero = _mm_setzero_si128();
  __m128i low = zero, high = zero;
  const auto add = [&](__m128i block) {
    low = _mm_add_epi64(low, _mm_unpacklo_epi32(block, zero));
    high = _mm_add_epi64(high, _mm_unpackhi_epi32(block, zero));
  };
  const auto load = [](const std::uint8_t* at) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
  };
  for (; length >= 16; data += 16, length -= 16)
    add(load(data));
  // A shuffle that moves the last `length` octets to the front, and zeros behind them.
  static constexpr std::array<std::uint8_t, 32> kShift = [] {
    std::array<std::uint8_t, 32> shift{};
    for (std::uint8_t i = 0; i < 16; ++i)
      shift[i] = i;
    for (std::size_t i = 16; i < 32; ++i)
      shift[i] = 0x80;
    return shift;
  }();
  add(_mm_shuffle_epi8(load(end - 16), load(&kShift[16 - length])));
  low = _mm_add_epi64(low, high);
  return sum + static_cast<std::uint64_t>(_mm_cvtsi128_si64(low)) +
         static_cast<std::uint64_t>(_mm_extract_epi64(low, 1));
}

/// Folds to 16 bits.
inline std::uint16_t fold(Sum sum) {
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffffffff) + (sum >> 32);
  sum = (sum & 0xffff) + (sum >> 16);
  sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

/// A 16-bit value in host order, as it counts in a sum.
constexpr Sum word(std::uint16_t host_order) {
  return __builtin_bswap16(host_order);
}

/// The sum of octets that begin at `offset` of what is summed, from their sum as if they began at an even
/// one: RFC 1071 section 2(B), an odd place swaps the two octets.
inline Sum at_offset(Sum sum, std::size_t offset) {
  return (offset & 1) == 0 ? sum : __builtin_bswap16(fold(sum));
}

/// The checksum field's value for a sum: its complement; for UDP 0 is sent as 0xffff.
inline std::uint16_t finish(Sum sum) {
  return static_cast<std::uint16_t>(~fold(sum));
}
inline std::uint16_t finish_udp(Sum sum) {
  const std::uint16_t c = finish(sum);
  return c == 0 ? 0xffff : c;
}

/// Addresses and protocol of the pseudo-header (RFC 768, RFC 8200 section 8.1); the length is the caller's to
/// add with word().
Sum pseudo_sum(const IpAddress& source, const IpAddress& destination, bool v4, std::uint8_t protocol);

}  // namespace shunt::net
