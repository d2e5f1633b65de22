// Collects the mistakes of one file, and makes them readable: the line they stand on, and the nearest known
// word.
#pragma once

#include <compare>
#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "conf/load.h"

namespace shunt::conf {

/// The diagnostics of one configuration file. One thread; `text` must outlive it.
class Report {
 public:
  Report(std::string path, std::string_view text);

  void error(Position position, std::string message, std::string hint);
  void warning(Position position, std::string message, std::string hint);
  /// Mistakes that others found, in rule lines for example; fills in source lines where they lie in this
  /// file.
  void add_errors(std::vector<Diagnostic> errors) { add(std::move(errors), errors_, dropped_errors_); }
  void add_warnings(std::vector<Diagnostic> warnings) {
    add(std::move(warnings), warnings_, dropped_warnings_);
  }

  bool has_errors() const { return !errors_.empty(); }
  const std::string& path() const { return path_; }

  /// In the order of the file; more than kMaxDiagnostics are cut off, and the last one says how many.
  std::vector<Diagnostic> take_errors() { return finish(errors_, dropped_errors_, "further error"); }
  std::vector<Diagnostic> take_warnings() { return finish(warnings_, dropped_warnings_, "further warning"); }

 private:
  std::string line(std::uint32_t number) const;
  void add(std::vector<Diagnostic> found, std::vector<Diagnostic>& into, std::size_t& dropped) const;
  std::vector<Diagnostic> finish(std::vector<Diagnostic>& list, std::size_t dropped,
                                 std::string_view what) const;

  std::string path_;
  std::string_view text_;
  std::vector<std::size_t> line_starts_;
  std::vector<Diagnostic> errors_, warnings_;
  std::size_t dropped_errors_ = 0, dropped_warnings_ = 0;
};

/// Where things were written: "upstream" 2 "targets" 1 is the second target of the third upstream of the
/// Config.
class Places {
 public:
  static constexpr std::size_t kWhole = static_cast<std::size_t>(-1);

  /// `kind` and `key` must be literals: they are kept by reference.
  void record(std::string_view kind, std::size_t index, std::string_view key, std::size_t element,
              Position where);
  /// The nearest thing that was recorded: the element, the key, the table; else nowhere.
  Position at(std::string_view kind, std::size_t index, std::string_view key = {},
              std::size_t element = kWhole) const;
  /// Whether the file says anything there.
  bool has(std::string_view kind, std::size_t index, std::string_view key) const;

 private:
  using Key = std::tuple<std::string_view, std::size_t, std::string_view, std::size_t>;
  std::map<Key, Position> places_;
};

/// `text` with every octet that isn't UTF-8 replaced by '?': diagnostics also travel as JSON.
std::string clean_utf8(std::string_view text);

/// `word` in double quotes, cut and escaped so that it is safe to print.
std::string in_quotes(std::string_view word);

/// "1 worker", "2 workers".
std::string counted(std::size_t number, std::string_view noun);

/// The candidate that `word` was probably meant to be: few typing mistakes away (insertions, deletions,
/// replacements and swaps of neighbours; capitals don't count). Empty where none is near.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// `did you mean "NEAREST"?`, or else the known words: `known keys: "a", "b"`.
std::string hint_for(std::string_view word, std::span<const std::string_view> candidates,
                     std::string_view what);

}  // namespace shunt::conf
