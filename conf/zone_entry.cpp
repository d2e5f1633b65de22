#include "conf/zone_entry.h"

namespace shunt::conf {

std::string ZoneEntry::add(std::string_view line) {
  if (!text_.empty()) text_ += ' ';
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (c == '\0') return "a NUL character";
    if (c == '\\') {
      if (i + 1 == line.size()) return "the line ends in a backslash, which begins an escape";
      text_ += c;
      text_ += line[++i];
    } else if (c == '"') {
      quoted = !quoted;
      text_ += c;
    } else if (quoted) {
      text_ += c;
    } else if (c == ';') {
      break;
    } else if (c == '(') {
      ++depth_;
      text_ += ' ';
    } else if (c == ')') {
      if (depth_ == 0) return "a closing parenthesis without an opening one";
      --depth_;
      text_ += ' ';
    } else {
      text_ += c == '\t' || c == '\r' || c == '\v' || c == '\f' ? ' ' : c;
    }
  }
  if (quoted) return "a quote is not closed in its line";
  if (text_.size() > kMax) return "the entry is longer than any record can be";
  return {};
}

std::string_view take_word(std::string_view& text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == text.npos) return text = {};
  std::size_t end = begin;
  while (end < text.size() && text[end] != ' ' && text[end] != '\t')
    end += text[end] == '\\' ? 2u : 1u;
  if (end > text.size()) end = text.size();
  const std::string_view word = text.substr(begin, end - begin);
  text.remove_prefix(end);
  return word;
}

}  // namespace shunt::conf
