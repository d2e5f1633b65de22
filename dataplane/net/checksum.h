// The Internet checksum (RFC 1071).
#pragma once

#include <bit>
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

/// The sum of two sums of whole words, each any 64 bits: what overflows comes in again at the low end, so
/// that it is right modulo 2^64 - 1, and with that modulo 2^16 - 1. Written out, because gcc compares where
/// the carry is at hand.
inline std::uint64_t add_around(std::uint64_t a, std::uint64_t b) {
  asm("addq %1, %0\n\tadcq $0, %0" : "+r"(a) : "rm"(b) : "cc");
  return a;
}
/// The same for the four words of 32 octets: one chain of carries.
inline std::uint64_t add_four_around(std::uint64_t sum, const std::uint8_t* data) {
  asm("addq (%1), %0\n\tadcq 8(%1), %0\n\tadcq 16(%1), %0\n\tadcq 24(%1), %0\n\tadcq $0, %0"
      : "+r"(sum)
      : "r"(data), "m"(*reinterpret_cast<const char(*)[32]>(data))
      : "cc");
  return sum;
}
/// Such a sum in 32 bits.
inline Sum narrow(std::uint64_t sum) {
  return (sum + std::rotl(sum, 32)) >> 32;  // both halves hold their sum, the upper one the carry too
}

/// Adds `length` >= 8 octets to a sum of whole words (add_around).
///
/// Words of 64 bits with their carries: for a DNS query that is fewer instructions than vectors take, which
/// must widen what they add. The end has no loop of its own: it is the last whole word, with those octets
/// shifted out that are counted already.
inline std::uint64_t add_around(std::uint64_t sum, const std::uint8_t* data, std::size_t length) {
  const std::uint64_t last = load_le64(data + length - 8);
  sum = add_around(sum, (last >> 8) >> (8 * (7 - length % 8)));
  for (const std::uint8_t* const end = data + (length & ~std::size_t{31}); data != end; data += 32)
    sum = add_four_around(sum, data);
  if ((length & 16) != 0) {
    sum = add_around(add_around(sum, load_le64(data)), load_le64(data + 8));
    data += 16;
  }
  return (length & 8) != 0 ? add_around(sum, load_le64(data)) : sum;
}

/// As add_octets(), for a short piece.
inline Sum add_words(Sum sum, const std::uint8_t* data, std::size_t length) {
  if (length < 8) return add_short(sum, data, length);
  return sum + narrow(add_around(0, data, length));
}

/// From here on vectors win, where they are wide enough.
inline constexpr std::size_t kLongPiece = 256;
/// As add_octets(), for a long piece: with AVX2 where the processor has it, which was asked once at start.
Sum add_long(Sum sum, const std::uint8_t* data, std::size_t length);

/// Adds `length` octets at `data` to `sum`; reads nothing else. An odd last octet counts as if a zero
/// followed. Pieces before the last must have even length. Adds less than 2^48: a packet's sum never
/// overflows.
inline Sum add_octets(Sum sum, const std::uint8_t* data, std::size_t length) {
  if (length >= kLongPiece) [[unlikely]]
    return add_long(sum, data, length);
  return add_words(sum, data, length);
}

/// Folds to 16 bits.
inline std::uint16_t fold(Sum sum) {
  const auto half = static_cast<std::uint32_t>(narrow(sum));
  return static_cast<std::uint16_t>((half + std::rotl(half, 16)) >> 16);
}

/// A 16-bit value in host order, as it counts in a sum.
constexpr Sum word(std::uint16_t host_order) {
  return __builtin_bswap16(host_order);
}

/// The sum of octets that begin at `offset` of what is summed, from their sum as if they began at an even
/// one: RFC 1071 section 2(B), an odd place swaps the two octets, which is a multiplication by 256. `sum` is
/// below 2^56. Without a branch: how long names are is chance.
constexpr Sum at_offset(Sum sum, std::size_t offset) {
  return sum << (8 * (offset & 1));
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
