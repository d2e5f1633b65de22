// The questions that clients ask, ready to be copied into packets: those of a set, and fresh ones that were
// never asked before.
#pragma once

#include <emmintrin.h>
#include <tmmintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <vector>

#include "bench/perf/draw.h"
#include "bench/perf/options.h"
#include "dataplane/base/result.h"

namespace shunt::perf {

/// One question in wire format, and the OPT record behind it, if any query is to carry one. Its octets
/// follow, padded to a multiple of 16.
struct Question {
  std::uint16_t length;        ///< octets of name, type and class
  std::uint16_t whole_length;  ///< with the OPT record
  std::uint16_t sum;           ///< of `length` octets, for the checksum
  std::uint16_t whole_sum;     ///< of `whole_length` octets

  const std::uint8_t* octets() const { return reinterpret_cast<const std::uint8_t*>(this + 1); }
  std::uint8_t* octets() { return reinterpret_cast<std::uint8_t*>(this + 1); }
};
static_assert(sizeof(Question) == 8);

/// Questions side by side, each at the start of a cache line. A big table asks for huge pages.
class QuestionTable {
 public:
  QuestionTable() = default;
  /// For `count` questions of at most `longest` octets, OPT record included.
  QuestionTable(std::size_t count, std::size_t longest);

  std::size_t count() const { return count_; }
  const Question& operator[](std::uint64_t i) const {
    return *reinterpret_cast<const Question*>(octets_.get() + i * stride_);
  }
  Question& operator[](std::uint64_t i) { return *reinterpret_cast<Question*>(octets_.get() + i * stride_); }

 private:
  struct Free {
    void operator()(std::byte* p) const { std::free(p); }
  };
  std::unique_ptr<std::byte, Free> octets_;
  std::size_t stride_ = 0, count_ = 0;
};

/// A set of questions: by pattern or from a file.
Result<QuestionTable> make_questions(const NameOptions& options, std::uint64_t seed);

/// Questions with sixteen hexadecimal digits where the pattern has %d: the digits of a scrambled counter, so
/// that none comes twice and none can be foretold. They need no table, but for the variants of types and
/// case.
class FreshNames {
 public:
  using Digits = __m128i;

  /// `key` picks the names: the same key, the same names.
  static Result<FreshNames> make(const NameOptions& options, std::uint64_t seed, std::uint64_t key);

  /// The question of that number, but for its digits, which are zeros in the octets and in the sums.
  const Question& operator[](std::uint64_t number) const { return variants_[number & mask_]; }
  std::size_t digits_offset() const { return digits_offset_; }
  static constexpr std::size_t kDigits = 16;

  Digits digits(std::uint64_t number) const {
    const __m128i octets = _mm_cvtsi64_si128(static_cast<long long>(scramble(number ^ key_)));
    const __m128i low_bits = _mm_set1_epi8(0x0f);
    const __m128i high = _mm_and_si128(_mm_srli_epi16(octets, 4), low_bits);
    const __m128i nibbles = _mm_unpacklo_epi8(high, _mm_and_si128(octets, low_bits));
    const auto* alphabet = reinterpret_cast<const __m128i*>(alphabets_[number & mask_].digits.data());
    return _mm_shuffle_epi8(_mm_load_si128(alphabet), nibbles);
  }
  /// What the digits add to the question's sum.
  std::uint64_t digits_sum(Digits digits) const {
    const auto low = static_cast<std::uint64_t>(_mm_cvtsi128_si64(digits));
    const auto high = static_cast<std::uint64_t>(_mm_cvtsi128_si64(_mm_unpackhi_epi64(digits, digits)));
    const std::uint64_t sum = (low & 0xffffffff) + (low >> 32) + (high & 0xffffffff) + (high >> 32);
    return digits_offset_ % 2 == 0 ? sum : sum << 8;  // an odd octet is the other half of its word
  }

 private:
  /// The hexadecimal digits, in one variant's case.
  struct alignas(16) Alphabet {
    std::array<char, 16> digits;
  };
  static Alphabet make_alphabet(bool mixed_case, std::uint64_t seed);

  QuestionTable variants_;  ///< a power of two of them
  std::vector<Alphabet> alphabets_;
  std::uint64_t mask_ = 0;
  std::size_t digits_offset_ = 0;
  std::uint64_t key_ = 0;
};

/// "A", "aaaa", "TYPE64"; 0 where unknown.
std::uint16_t parse_type(std::string_view text);

}  // namespace shunt::perf
