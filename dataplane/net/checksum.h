// The Internet checksum (RFC 1071) in 64-bit steps.
#pragma once

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

/// Adds `length` octets at `data` to `sum`; reads nothing else. An odd last octet counts as if a zero
/// followed. Pieces before the last must have even length. Each call adds less than 2^33 for every 64 KiB, so
/// that a sum of pieces and words never overflows.
inline Sum add_octets(Sum sum, const std::uint8_t* data, std::size_t length) {
  // One accumulator for the low halves of the words, one for the high: no carry to catch below 2^32 words.
  std::uint64_t low = 0, high = 0;
  while (length >= 16) {
    const std::uint64_t a = load_le64(data), b = load_le64(data + 8);
    low += (a & 0xffffffff) + (b & 0xffffffff);
    high += (a >> 32) + (b >> 32);
    data += 16;
    length -= 16;
  }
  if (length >= 8) {
    const std::uint64_t a = load_le64(data);
    low += a & 0xffffffff;
    high += a >> 32;
    data += 8;
    length -= 8;
  }
  if ((length & 4) != 0) {
    std::uint32_t w;
    std::memcpy(&w, data, 4);
    low += w;
    data += 4;
  }
  if ((length & 2) != 0) {
    std::uint16_t w;
    std::memcpy(&w, data, 2);
    low += w;
    data += 2;
  }
  if ((length & 1) != 0) low += *data;
  return sum + low + high;
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
inline Sum word(std::uint16_t host_order) {
  return __builtin_bswap16(host_order);
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
