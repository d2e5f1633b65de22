// A zone file's entries: what its lines say, without comments, continued over lines by parentheses.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace shunt::conf {

/// Collects an entry line by line.
class ZoneEntry {
 public:
  /// Octets of an entry's text, at most: what ldns takes as the data of one record.
  static constexpr std::size_t kMax = 65000;

  /// Adds a line (without its end); returns what is wrong with it, or an empty string.
  std::string add(std::string_view line);
  /// Whether a parenthesis is open: the entry goes on in the next line.
  bool open() const { return depth_ > 0; }
  /// In one line; quotes and escapes as they were, parentheses as spaces. A space in front says that the
  /// entry has no name of its own.
  const std::string& text() const { return text_; }
  bool blank() const { return text_.find_first_not_of(" \t") == std::string::npos; }
  void clear() {
    text_.clear();
    depth_ = 0;
  }

 private:
  std::string text_;
  unsigned depth_ = 0;
};

/// The first word of `text`, blanks in front passed over; `text` becomes what follows it.
std::string_view take_word(std::string_view& text);

}  // namespace shunt::conf
