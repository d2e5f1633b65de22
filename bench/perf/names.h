// The questions that clients ask, ready to be copied into packets, and the order in which they are asked.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "bench/perf/options.h"
#include "dataplane/base/result.h"

namespace shunt::perf {

/// One question in wire format, with the OPT record behind it, where there is one. Its octets follow, padded
/// with zeros to a multiple of 16.
struct Question {
  std::uint16_t length;        ///< octets of name, type and class
  std::uint16_t whole_length;  ///< with the OPT record
  std::uint32_t sum;           ///< of all of it, for the checksum

  const std::uint8_t* octets() const { return reinterpret_cast<const std::uint8_t*>(this + 1); }
  std::uint8_t* octets() { return reinterpret_cast<std::uint8_t*>(this + 1); }
};
static_assert(sizeof(Question) == 8);

class Questions {
 public:
  static Result<Questions> make(const NameOptions& options, std::uint64_t seed);

  std::uint32_t count() const { return count_; }
  const Question& operator[](std::uint32_t i) const {
    return *reinterpret_cast<const Question*>(table_[std::size_t{i} * stride_].octets.data());
  }
  /// The next one's number, in the order asked for. Drawn orders repeat after a few million draws.
  std::uint32_t next() {
    const std::uint32_t i = at_++;
    if (sequence_.empty()) {
      if (at_ == count_) at_ = 0;
      return i;
    }
    if (at_ == sequence_.size()) at_ = 0;
    return sequence_[i];
  }
  void rewind() { at_ = 0; }

 private:
  struct Builder;
  struct alignas(64) Line {
    std::array<std::byte, 64> octets{};
  };
  void draw_order(const NameOptions& options, std::mt19937_64& random);

  std::vector<Line> table_;
  std::size_t stride_ = 0;  ///< lines of a question
  std::uint32_t count_ = 0, at_ = 0;
  std::vector<std::uint32_t> sequence_;
};

/// "A", "aaaa", "TYPE64"; 0 where unknown.
std::uint16_t parse_type(std::string_view text);

}  // namespace shunt::perf
