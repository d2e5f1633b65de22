// Splits a rule line into words, as zone files do (RFC 1035 section 5.1): blanks separate, "quotes" and
// backslashes protect, and "#" (not ";") starts a comment.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace shunt::conf {

/// A word as it was written, quotes and escapes included. `text` points into the line.
struct Token {
  std::string_view text;
  std::size_t offset = 0;  ///< of its first octet in the line
};

struct TokenError {
  std::string message;  ///< empty: none
  std::size_t offset = 0;
};

/// Fills `into` (cleared first) with the words of `line`, which has no line break.
TokenError tokenize(std::string_view line, std::vector<Token>& into);

/// The word without the quotes around it and the escapes in it: for words that are plain text. An error where
/// it ends in an escape, or has quotes inside.
Result<std::string> plain_text(std::string_view word);

}  // namespace shunt::conf
