#include "conf/rule_tokens.h"

namespace shunt::conf {
namespace {

bool is_blank(char c) {
  return c == ' ' || c == '\t';
}

/// Behind the escape that starts at `at`.
std::size_t after_escape(std::string_view line, std::size_t at) {
  return at + 2 < line.size() ? at + 2 : line.size();
}

}  // namespace

TokenError tokenize(std::string_view line, std::vector<Token>& into) {
  into.clear();
  std::size_t at = 0;
  for (;;) {
    while (at < line.size() && is_blank(line[at]))
      ++at;
    if (at == line.size() || line[at] == '#') return {};
    const std::size_t start = at;
    while (at < line.size() && !is_blank(line[at]) && line[at] != '#') {
      if (line[at] == '\\') {
        at = after_escape(line, at);
      } else if (line[at] == '"') {
        const std::size_t quote = at++;
        while (at < line.size() && line[at] != '"')
          at = line[at] == '\\' ? after_escape(line, at) : at + 1;
        if (at == line.size()) return {"the quote that starts here is never closed", quote};
        ++at;
      } else {
        ++at;
      }
    }
    into.push_back({line.substr(start, at - start), start});
  }
}

Result<std::string> plain_text(std::string_view word) {
  const bool quoted = word.size() >= 2 && word.front() == '"' && word.back() == '"';
  if (quoted) word = word.substr(1, word.size() - 2);
  std::string text;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '"') return Failure("quotes go around the whole text");
    if (word[i] == '\\' && ++i == word.size()) return Failure("it ends in a backslash");
    text += word[i];
  }
  return text;
}

}  // namespace shunt::conf
