#include "dataplane/dns/name.h"

#include <emmintrin.h>

#include <algorithm>
#include <utility>

namespace shunt::dns {
namespace {

/// Sixteen octets, A to Z turned into a to z. Octets from 0x80 are negative here and stay.
__m128i lower16(__m128i x) {
  const __m128i above = _mm_cmpgt_epi8(x, _mm_set1_epi8('A' - 1));
  const __m128i below = _mm_cmplt_epi8(x, _mm_set1_epi8('Z' + 1));
  return _mm_or_si128(x, _mm_and_si128(_mm_and_si128(above, below), _mm_set1_epi8(0x20)));
}
__m128i load16(const std::uint8_t* p) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
}
void store16(std::uint8_t* p, __m128i x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), x);
}

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
}

/// `length` < 16 octets, not one more read; the rest is zero.
__m128i load_partial(const std::uint8_t* p, std::size_t length) {
  std::uint64_t low = 0, high = 0;
  if (length >= 8) {
    low = load_le64(p);
    if (length > 8) high = load_le64(p + length - 8) >> (8 * (16 - length));
  } else if (length >= 4) {
    std::uint32_t first, last;
    std::memcpy(&first, p, 4);
    std::memcpy(&last, p + length - 4, 4);
    low = first | std::uint64_t{last} << (8 * (length - 4));
  } else if (length > 0) {
    low = p[0] | std::uint64_t{p[length / 2]} << (8 * (length / 2)) |
          std::uint64_t{p[length - 1]} << (8 * (length - 1));
  }
  return _mm_set_epi64x(static_cast<long long>(high), static_cast<long long>(low));
}

/// Lower-cases `length` octets where `available` >= `length` may be read; `to` has kNameBuffer octets.
void lower_copy(const std::uint8_t* from, std::size_t available, std::uint8_t* to, std::size_t length) {
  if (available < 16) {
    store16(to, lower16(load_partial(from, length)));
    return;
  }
  std::size_t i = 0;
  for (; i < length && i + 16 <= available; i += 16)
    store16(to + i, lower16(load16(from + i)));
  // The tail is shorter than a step: the last full step that fits overlaps the one before.
  if (i < length) store16(to + available - 16, lower16(load16(from + available - 16)));
}

}  // namespace

std::size_t read_name(std::span<const std::uint8_t> in, Name& out) {
  const std::uint8_t* wire = in.data();
  const std::size_t limit = std::min(in.size(), kMaxName);
  std::size_t at = 0;
  unsigned labels = 0;  // an octet each at least and one for its length: 127 at most within kMaxName
  for (;;) {
    if (at >= limit) return 0;
    out.offset[labels] = static_cast<std::uint8_t>(at);
    const unsigned octets = wire[at];
    if (octets - 1 >= kMaxLabel) [[unlikely]] {
      if (octets != 0) return 0;
      break;
    }
    at += octets + 1;
    ++labels;
  }
  const std::size_t length = at + 1;
  out.labels = static_cast<std::uint8_t>(labels);
  out.length = static_cast<std::uint8_t>(length);
  lower_copy(wire, in.size(), out.wire.data(), length);
  return length;
}

std::size_t skip_name(std::span<const std::uint8_t> message, std::size_t offset) {
  const std::size_t end = std::min(message.size(), offset + kMaxName);
  for (std::size_t at = offset; at < end;) {
    const std::uint8_t octets = message[at];
    if (octets == 0) return at + 1;
    if (octets <= kMaxLabel) {
      at += octets + 1u;
      continue;
    }
    if (octets < 0xc0 || message.size() - at < 2) return 0;
    const std::size_t target = load_be16(&message[at]) & 0x3fff;
    return target >= kHeaderSize && target < offset ? at + 2 : 0;
  }
  return 0;
}

void lower_case(const std::uint8_t* from, std::uint8_t* to, std::size_t length) {
  for (std::size_t i = 0; i < length; i += 16)
    store16(to + i, lower16(load16(from + i)));
}

bool equal_ignoring_case(const std::uint8_t* a, const std::uint8_t* b, std::size_t length) {
  const auto equal = [](__m128i x, __m128i y) {
    return _mm_movemask_epi8(_mm_cmpeq_epi8(lower16(x), lower16(y))) == 0xffff;
  };
  if (length < 16) return equal(load_partial(a, length), load_partial(b, length));
  for (std::size_t i = 0; i + 16 <= length; i += 16) {
    if (!equal(load16(a + i), load16(b + i))) return false;
  }
  return equal(load16(a + length - 16), load16(b + length - 16));
}

void hash_suffixes(const HashKey& key, const Name& name, std::uint64_t* into, std::size_t stride) {
  std::uint64_t hash = root_hash(key);
  *into = hash;
  for (unsigned i = name.labels; i-- > 0;) {
    hash = extend_hash(key, hash, &name.wire[name.offset[i]]);
    into += stride;
    *into = hash;
  }
}

namespace {

/// Takes one character or escape from the front of `text`.
Result<char> take_character(std::string_view& text) {
  const char c = text.front();
  text.remove_prefix(1);
  if (c != '\\') {
    if (static_cast<unsigned char>(c) >= 0x80) {
      return Failure("is not ASCII: give an internationalized name as A-labels (\"xn--…\")");
    }
    if (c <= ' ' || c == 0x7f) return Failure("has a space or control character: write it as \\DDD");
    return c;
  }
  if (text.empty()) return Failure("ends in a backslash");
  const auto is_digit = [](char d) { return d >= '0' && d <= '9'; };
  const char first = text.front();
  if (!is_digit(first)) {
    text.remove_prefix(1);
    return first;
  }
  if (text.size() < 3 || !is_digit(text[1]) || !is_digit(text[2])) {
    return Failure("has an escape that is not \\DDD with three digits");
  }
  const int value = (first - '0') * 100 + (text[1] - '0') * 10 + (text[2] - '0');
  if (value > 255) return Failure("has an escape above \\255");
  text.remove_prefix(3);
  return static_cast<char>(value);
}

Result<Name> parse_labels(std::string_view text) {
  Name name;
  std::size_t start = 0, at = 1;  // of the label's length octet, and behind its last octet
  const auto close_label = [&] {
    name.offset[name.labels++] = static_cast<std::uint8_t>(start);
    name.wire[start] = static_cast<std::uint8_t>(at - start - 1);
    start = at++;
  };
  while (!text.empty()) {
    if (text.front() == '.') {
      if (at == start + 1) return Failure("has an empty label");
      close_label();
      text.remove_prefix(1);
      continue;
    }
    const Result<char> c = take_character(text);
    if (!c) return Failure(c.error());
    if (at - start > kMaxLabel) return Failure("has a label of more than 63 octets");
    if (at + 1 >= kMaxName) return Failure("has more than 255 octets");
    name.wire[at++] = static_cast<std::uint8_t>(lower(*c));
  }
  if (at > start + 1) close_label();
  name.offset[name.labels] = static_cast<std::uint8_t>(start);
  name.wire[start] = 0;
  name.length = static_cast<std::uint8_t>(start + 1);
  return name;
}

}  // namespace

Result<Name> parse_name(std::string_view text) {
  if (text == ".") return Name{};
  if (text.empty()) return Failure("an empty name: write \".\" for the root");
  Result<Name> name = parse_labels(text);
  if (name) return name;
  static constexpr std::size_t kShown = 60;
  std::string error = "\"";
  error.append(text.substr(0, kShown)).append(text.size() > kShown ? "…\" " : "\" ").append(name.error());
  return Failure(std::move(error));
}

std::string to_text(std::span<const std::uint8_t> wire_name) {
  static constexpr std::string_view kSpecial = ".\\\"();@$";
  std::string text;
  for (std::size_t at = 0; at < wire_name.size() && wire_name[at] != 0;) {
    const std::size_t end = std::min(at + wire_name[at] + 1, wire_name.size());
    for (++at; at < end; ++at) {
      const char c = static_cast<char>(wire_name[at]);
      if (c > ' ' && c < 0x7f) {
        if (kSpecial.find(c) != kSpecial.npos) text += '\\';
        text += c;
      } else {
        const unsigned value = wire_name[at];
        text += '\\';
        for (unsigned unit : {100u, 10u, 1u})
          text += static_cast<char>('0' + value / unit % 10);
      }
    }
    text += '.';
  }
  return text.empty() ? "." : text;
}

}  // namespace shunt::dns
