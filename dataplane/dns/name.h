// Names in wire format: checked, lower-cased, hashed label by label from the top.
//
// The hash chain gives every suffix of a name its own 64-bit hash: the rule lookup's keys are the hashes of
// the suffixes. The cache has a hash of the whole name for itself, which is cheaper than a chain and comes
// first. Hashes are seeded once at start, so that a client can't choose names that collide; they pick
// candidates and never prove equality.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "dataplane/base/bytes.h"
#include "dataplane/base/result.h"
#include "dataplane/dns/wire.h"

namespace shunt::dns {

/// Every buffer that holds a name for hashing or comparing has this many readable octets, so that wide loads
/// may run past the name's end.
inline constexpr std::size_t kNameBuffer = 320;

/// The seed of all name hashes of this process: drawn at start, the same for workers and rule builder.
struct HashKey {
  std::uint64_t a = 0x9e3779b97f4a7c15, b = 0xbf58476d1ce4e5b9;
};

__extension__ using Uint128 = unsigned __int128;

inline std::uint64_t mix(std::uint64_t x, std::uint64_t y) {
  const Uint128 product = static_cast<Uint128>(x) * y;
  return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
}

/// Hash of the root: where the chain starts.
inline std::uint64_t root_hash(const HashKey& key) {
  return key.a ^ key.b;
}

/// Hash of the suffix "label.parent", from the hash of "parent". `label` points at its length octet and is
/// lower case already; 64 octets behind it are readable (kNameBuffer sees to that). Unkeyed mixing of the
/// seeded chain, after wyhash (Wang Yi): one multiplication for labels up to 15 octets.
inline std::uint64_t extend_hash(const HashKey& key, std::uint64_t parent, const std::uint8_t* label) {
  // Of sixteen octets, the first n, for each n.
  struct Mask {
    std::uint64_t low = 0, high = 0;
  };
  static constexpr auto kFirst = [] {
    std::array<Mask, 17> m{};
    for (unsigned n = 1; n < 17; ++n) {
      m[n].low = ~std::uint64_t{0} >> (n < 8 ? 64 - 8 * n : 0);
      m[n].high = n <= 8 ? 0 : ~std::uint64_t{0} >> (128 - 8 * n);
    }
    return m;
  }();
  std::size_t left = std::size_t{*label} + 1;  // the length octet takes part
  std::uint64_t h = parent;
  for (;;) {
    const Mask& mask = kFirst[left < 16 ? left : 16];
    const std::uint64_t x = load_le64(label) & mask.low;
    const std::uint64_t y = load_le64(label + 8) & mask.high;
    h = mix(x ^ key.a ^ h, y ^ key.b ^ (h << 32 | h >> 32));
    if (left <= 16) return h;
    left -= 16;
    label += 16;
  }
}

/// Hash of a whole name of `length` octets, lower case; kNameBuffer octets are readable. Takes sixteen octets
/// a step and asks for no label's start: for the cache, which is looked up before any suffix is.
inline std::uint64_t hash_name(const HashKey& key, const std::uint8_t* name, std::size_t length) {
  std::uint64_t h = key.b;
  for (;; name += 16, length -= 16) {
    std::uint64_t x = load_le64(name), y = load_le64(name + 8);
    if (length <= 16) {
      // Octets behind the name are shifted out. A length of 0 never occurs: the root has its octet.
      const unsigned over = 8 * static_cast<unsigned>(16 - length);
      x = length < 8 ? x << (over - 64) : x;
      y = length <= 8 ? 0 : y << over;
      return mix(x ^ key.a ^ h, y ^ key.b ^ (h << 32 | h >> 32));
    }
    h = mix(x ^ key.a ^ h, y ^ key.b ^ (h << 32 | h >> 32));
  }
}

/// A checked, lower-cased name and where its labels start. `wire` is readable to kNameBuffer octets.
struct Name {
  std::uint8_t length = 1;  ///< octets, root label included
  std::uint8_t labels = 0;  ///< root not counted
  /// Of label i's length octet; offset[labels] is the root's.
  std::array<std::uint8_t, kMaxLabels + 1> offset{};
  alignas(16) std::array<std::uint8_t, kNameBuffer> wire{};

  std::span<const std::uint8_t> octets() const { return {wire.data(), length}; }
};

/// Reads an uncompressed name at the front of `in` into `out`, lower-cased, labels found. Returns the octets
/// taken, or 0 where it is compressed, over-long, of an unknown label type (0x40, 0x80), or runs past `in`;
/// `out` is then not a name. Never reads past `in`.
std::size_t read_name(std::span<const std::uint8_t> in, Name& out);

/// Skips a possibly compressed name at `offset` of `message`. Returns the offset behind it, or 0 where
/// malformed: over-long, an unknown label type, running past `message`. Pointers must point before the name
/// itself and behind the header (RFC 1035 section 4.1.4: at a prior occurrence of a name); they are checked
/// for position only, not followed.
std::size_t skip_name(std::span<const std::uint8_t> message, std::size_t offset);

/// Lower-cases `length` octets of a wire name blindly: length octets lie below 'A'. Both buffers have
/// kNameBuffer octets.
void lower_case(const std::uint8_t* from, std::uint8_t* to, std::size_t length);

/// True where `a` and `b`, both wire names of `length` octets, differ in ASCII case at most. Reads no
/// further.
bool equal_ignoring_case(const std::uint8_t* a, const std::uint8_t* b, std::size_t length);

/// Hashes of all suffixes of `name`: into[0] is the root's, into[labels * stride] the whole name's.
/// A stride lets a burst keep the hashes of one level side by side.
void hash_suffixes(const HashKey& key, const Name& name, std::uint64_t* into, std::size_t stride = 1);

/// Presentation format (RFC 1035 section 5.1, RFC 4343): "\." and "\DDD" escapes, with or without a trailing
/// dot; "." is the root. The result is lower-cased, escaped letters too. Errors say what is wrong with
/// `text`: empty or over-long labels and names, spaces, control characters and anything but ASCII that isn't
/// escaped.
Result<Name> parse_name(std::string_view text);

/// With trailing dot; octets outside printable ASCII and special characters escaped, so that parse_name gives
/// the same name (lower-cased). A malformed name gives the text of what lies within the span.
std::string to_text(std::span<const std::uint8_t> wire_name);

}  // namespace shunt::dns
