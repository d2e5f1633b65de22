// A slow and plain second reading of DNS messages, to hold the fast parsers against. It shares no code with
// them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <vector>

namespace shunt::testing {

/// The first thing that is wrong with a message, in the order in which it is read.
enum class Fault {
  kNone,
  kShort,         ///< no whole header
  kDirection,     ///< QR
  kOpcode,        ///< other than QUERY
  kQdcount,       ///< other than 1
  kCut,           ///< something runs past the message
  kLabelType,     ///< 0x40 or 0x80
  kNameTooLong,   ///< 256 octets or more
  kCompressed,    ///< a pointer in the question
  kPointerPlace,  ///< a pointer that doesn't lead to the question or a later place before the name
  kOptPlace,      ///< outside the additional section
  kOptTwice,
  kOptMalformed,  ///< owner or options
  kSoaMalformed,  ///< RDATA of an SOA in the authority section
  kTrailing,
};

struct RecordPlace {
  int section;  ///< 1 answer, 2 authority, 3 additional
  std::size_t owner, fixed, rdata, rdlength;
  std::uint16_t type, klass;
  std::uint32_t ttl;
  std::optional<std::size_t> pointer;  ///< where the owner's compression pointer is
};

struct Reading {
  Fault fault = Fault::kNone;
  std::size_t question_end = 0;
  std::vector<RecordPlace> records;
};

class ReferenceReader {
 public:
  explicit ReferenceReader(std::span<const std::uint8_t> message) : m_(message.begin(), message.end()) {}

  /// As an answer, with the records left unread where it is truncated.
  Reading read_answer() {
    return read([this] {
      header(true);
      question();
      if ((m_[2] & 0x02) != 0) return;
      rest();
    });
  }
  Reading read_query() {
    return read([this] {
      header(false);
      question();
      rest();
    });
  }

 private:
  struct Wrong {
    Fault fault;
  };

  template <typename Steps>
  Reading read(Steps steps) {
    try {
      steps();
    } catch (const Wrong& wrong) {
      r_.fault = wrong.fault;
    } catch (const std::out_of_range&) {
      r_.fault = Fault::kCut;
    }
    return r_;
  }
  static void require(bool condition, Fault fault) {
    if (!condition) throw Wrong{fault};
  }
  std::uint8_t octet(std::size_t i) const { return m_.at(i); }
  std::uint16_t word(std::size_t i) const { return static_cast<std::uint16_t>(octet(i) << 8 | octet(i + 1)); }
  std::uint32_t long_word(std::size_t i) const { return std::uint32_t{word(i)} << 16 | word(i + 2); }

  void header(bool answer) {
    require(m_.size() >= 12, Fault::kShort);
    require(((octet(2) & 0x80) != 0) == answer, Fault::kDirection);
    require((octet(2) & 0x78) == 0, Fault::kOpcode);
    require(word(4) == 1, Fault::kQdcount);
  }

  /// The offset behind the name at `at`; `pointer` receives the place of a pointer.
  std::size_t name(std::size_t at, std::size_t end, std::optional<std::size_t>& pointer) const {
    const std::size_t begin = at;
    for (;;) {
      require(at < end, Fault::kCut);
      const unsigned length = octet(at);
      if (length >= 0xc0) {
        require(at + 2 <= end, Fault::kCut);
        require(at - begin + 1 <= 255, Fault::kNameTooLong);
        const unsigned target = word(at) & 0x3fffu;
        require(target >= 12 && target < begin, Fault::kPointerPlace);
        pointer = at;
        return at + 2;
      }
      require(length < 0x40, Fault::kLabelType);
      at += 1 + length;
      require(at - begin <= 255, Fault::kNameTooLong);
      if (length == 0) return at;
    }
  }

  void question() {
    std::optional<std::size_t> pointer;
    const std::size_t end = name(12, m_.size(), pointer);
    require(!pointer, Fault::kCompressed);
    word(end);
    word(end + 2);
    r_.question_end = end + 4;
  }

  void rest() {
    std::size_t at = r_.question_end;
    bool opt = false;
    for (int section = 1; section <= 3; ++section) {
      for (unsigned left = word(4 + 2 * static_cast<std::size_t>(section)); left > 0; --left) {
        const RecordPlace place = record(at, section);
        if (place.type == 41) {
          require(section == 3, Fault::kOptPlace);
          require(!opt, Fault::kOptTwice);
          check_opt(place);
          opt = true;
        } else if (place.type == 6 && section == 2) {
          check_soa(place);
        }
        r_.records.push_back(place);
        at = place.rdata + place.rdlength;
      }
    }
    require(at == m_.size(), Fault::kTrailing);
  }

  RecordPlace record(std::size_t at, int section) const {
    RecordPlace p{};
    p.section = section;
    p.owner = at;
    p.fixed = name(at, m_.size(), p.pointer);
    p.type = word(p.fixed);
    p.klass = word(p.fixed + 2);
    p.ttl = long_word(p.fixed + 4);
    p.rdlength = word(p.fixed + 8);
    p.rdata = p.fixed + 10;
    require(p.rdata + p.rdlength <= m_.size(), Fault::kCut);
    return p;
  }

  void check_opt(const RecordPlace& p) const {
    require(p.fixed == p.owner + 1, Fault::kOptMalformed);
    std::size_t left = p.rdlength;
    for (std::size_t at = p.rdata; left > 0;) {
      require(left >= 4 && left - 4 >= word(at + 2), Fault::kOptMalformed);
      left -= 4u + word(at + 2);
      at += 4u + word(at + 2);
    }
  }

  void check_soa(const RecordPlace& p) const {
    const std::size_t end = p.rdata + p.rdlength;
    std::optional<std::size_t> pointer;
    try {
      const std::size_t numbers = name(name(p.rdata, end, pointer), end, pointer);
      require(numbers + 20 == end, Fault::kSoaMalformed);
    } catch (const Wrong&) {
      throw Wrong{Fault::kSoaMalformed};
    }
  }

  std::vector<std::uint8_t> m_;
  Reading r_;
};

}  // namespace shunt::testing
