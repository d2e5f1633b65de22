#include "conf/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace shunt::conf {
namespace {

/// Words longer than this have no near ones: bounds the work of a hostile file.
constexpr std::size_t kMaxWord = 64;
/// A source line is kept so far: lines are cut around their caret when printed.
constexpr std::size_t kMaxSourceLine = 4096;
/// So many known words a hint lists.
constexpr std::size_t kMaxListed = 16;

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

/// Octets of the well-formed UTF-8 sequence at the front of `text` (RFC 3629 section 4), or 0.
std::size_t sequence_length(std::string_view text) {
  const auto at = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = at(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((at(i) & 0xc0) != 0x80) return 0;
  const unsigned second = at(1);
  const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
  const bool outside = (first == 0xed && second >= 0xa0) || (first == 0xf4 && second >= 0x90);
  return overlong || outside ? 0 : length;
}

/// Optimal string alignment distance: Levenshtein with swaps of neighbours.
std::size_t distance(std::string_view a, std::string_view b) {
  using Row = std::array<std::size_t, kMaxWord + 1>;
  Row before{}, last{}, row{};
  for (std::size_t j = 0; j <= b.size(); ++j)
    last[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t same = lower(a[i - 1]) == lower(b[j - 1]) ? 0 : 1;
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + same});
      if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
    before = last;
    last = row;
  }
  return last[b.size()];
}

}  // namespace

Report::Report(std::string path, std::string_view text) : path_(std::move(path)), text_(text) {
  line_starts_.push_back(0);
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n') line_starts_.push_back(i + 1);
}

std::string Report::line(std::uint32_t number) const {
  if (number == 0 || number > line_starts_.size()) return {};
  std::string_view rest = text_.substr(line_starts_[number - 1]);
  rest = rest.substr(0, std::min(rest.find('\n'), kMaxSourceLine));
  if (!rest.empty() && rest.back() == '\r') rest.remove_suffix(1);
  return clean_utf8(rest);
}

void Report::error(Position position, std::string message, std::string hint) {
  add({{path_, position, std::move(message), std::move(hint), {}}}, errors_, dropped_errors_);
}

void Report::warning(Position position, std::string message, std::string hint) {
  add({{path_, position, std::move(message), std::move(hint), {}}}, warnings_, dropped_warnings_);
}

void Report::add(std::vector<Diagnostic> found, std::vector<Diagnostic>& into, std::size_t& dropped) const {
  for (Diagnostic& d : found) {
    if (into.size() >= kMaxDiagnostics) {
      ++dropped;
      continue;
    }
    if (d.file == path_ && d.source_line.empty()) d.source_line = line(d.position.line);
    d.message = clean_utf8(d.message);
    d.source_line = clean_utf8(d.source_line);
    into.push_back(std::move(d));
  }
}

std::vector<Diagnostic> Report::finish(std::vector<Diagnostic>& list, std::size_t dropped,
                                       std::string_view what) const {
  // This file's in the order of its lines, those of rule files behind, as they came.
  std::stable_sort(list.begin(), list.end(), [this](const Diagnostic& a, const Diagnostic& b) {
    if (a.file != path_ || b.file != path_) return a.file == path_ && b.file != path_;
    return std::pair(a.position.line, a.position.column) < std::pair(b.position.line, b.position.column);
  });
  if (dropped > 0)
    list.push_back({path_, {}, fmt::format("{} not shown", counted(dropped, what)), "mend these first", {}});
  return std::move(list);
}

void Places::record(std::string_view kind, std::size_t index, std::string_view key, std::size_t element,
                    Position where) {
  places_.insert_or_assign({kind, index, key, element}, where);
}

Position Places::at(std::string_view kind, std::size_t index, std::string_view key,
                    std::size_t element) const {
  for (const Key& k :
       {Key{kind, index, key, element}, Key{kind, index, key, kWhole}, Key{kind, index, {}, kWhole}})
    if (const auto found = places_.find(k); found != places_.end()) return found->second;
  return {};
}

bool Places::has(std::string_view kind, std::size_t index, std::string_view key) const {
  return places_.contains({kind, index, key, kWhole});
}

std::string clean_utf8(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0)
      out += '?';
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out;
}

std::string in_quotes(std::string_view word) {
  constexpr std::size_t kMaxShown = 80;
  std::string_view shown = word.substr(0, kMaxShown);
  if (shown.size() < word.size())  // not in the middle of a character
    while (!shown.empty() && (static_cast<unsigned char>(word[shown.size()]) & 0xc0) == 0x80)
      shown.remove_suffix(1);
  std::string out = "\"";
  for (const char c : shown) {
    const auto octet = static_cast<unsigned char>(c);
    if (octet < 0x20 || octet == 0x7f)
      out += fmt::format("\\x{:02x}", octet);
    else if (c == '"' || c == '\\')
      (out += '\\') += c;
    else
      out += c;
  }
  if (shown.size() < word.size()) out += "...";
  return out + '"';
}

std::string counted(std::size_t number, std::string_view noun) {
  return fmt::format("{} {}{}", number, noun, number == 1 ? "" : noun.ends_with('s') ? "es" : "s");
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  if (word.empty() || word.size() > kMaxWord) return {};
  std::size_t best = std::max<std::size_t>(2, word.size() / 3) + 1;
  std::string_view found;
  for (const std::string_view candidate : candidates) {
    if (candidate.empty() || candidate.size() > kMaxWord) continue;
    const std::size_t d = distance(word, candidate);
    // As many mistakes as letters would make any short word the nearest of any other.
    if (d < best && d < std::max(word.size(), candidate.size())) {
      best = d;
      found = candidate;
    }
  }
  return found;
}

std::string hint_for(std::string_view word, std::span<const std::string_view> candidates,
                     std::string_view what) {
  if (const std::string_view near = nearest(word, candidates); !near.empty())
    return fmt::format("did you mean {}?", in_quotes(near));
  std::string list;
  for (std::size_t i = 0; i < std::min(candidates.size(), kMaxListed); ++i)
    list += fmt::format("{}{}", i == 0 ? "" : ", ", in_quotes(candidates[i]));
  if (candidates.size() > kMaxListed) list += ", ...";
  return list.empty() ? fmt::format("there are no {}", what) : fmt::format("known {}: {}", what, list);
}

}  // namespace shunt::conf
