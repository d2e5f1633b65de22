// Diagnostics as a person reads them.
#include <fmt/format.h>

#include <algorithm>
#include <cstddef>

#include "conf/load.h"

namespace shunt::conf {
namespace {

/// Columns of a source line that are shown; a longer line is cut around its caret.
constexpr std::size_t kShown = 100;

/// One element a code point, as columns count them. Control characters, which a terminal would obey, become
/// '?'; tabs become spaces, so that the caret stands where it should.
std::vector<std::string> code_points(std::string_view line) {
  std::vector<std::string> out;
  for (const char c : line) {
    const auto octet = static_cast<unsigned char>(c);
    const bool continues = (octet & 0xc0) == 0x80;
    if (continues && !out.empty())
      out.back() += c;
    else if (c == '\t')
      out.emplace_back(" ");
    else if (octet < 0x20 || octet == 0x7f)
      out.emplace_back("?");
    else
      out.emplace_back(1, c);
  }
  return out;
}

std::string excerpt(const Diagnostic& d) {
  const std::vector<std::string> points = code_points(d.source_line);
  const std::size_t column = std::max<std::size_t>(d.position.column, 1) - 1;
  const std::size_t first = column < kShown * 3 / 4 ? 0 : column - kShown / 2;
  const std::size_t last = std::min(points.size(), first + kShown);
  std::string text = first > 0 ? "..." : "";
  for (std::size_t i = first; i < last; ++i)
    text += points[i];
  if (last < points.size()) text += "...";
  std::string out = fmt::format("{:>5} | {}\n", d.position.line, text);
  if (d.position.column > 0 && column <= points.size())
    out += fmt::format("      | {}^\n", std::string(column - first + (first > 0 ? 3 : 0), ' '));
  return out;
}

}  // namespace

std::string to_text(const Diagnostic& d, std::string_view severity) {
  std::string where = d.file;
  if (d.position.line > 0) where += fmt::format(":{}", d.position.line);
  if (d.position.line > 0 && d.position.column > 0) where += fmt::format(":{}", d.position.column);
  std::string out = fmt::format("{}: {}: {}\n", where, severity, d.message);
  if (!d.source_line.empty() && d.position.line > 0) out += excerpt(d);
  if (!d.hint.empty()) out += fmt::format("      = hint: {}\n", d.hint);
  return out;
}

std::string to_text(const std::vector<Diagnostic>& diagnostics, std::string_view severity) {
  std::string out;
  for (const Diagnostic& d : diagnostics)
    out += to_text(d, severity);
  return out;
}

}  // namespace shunt::conf
