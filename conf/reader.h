// Typed access to one table of a parsed configuration file. Every mistake is reported where it stands, with
// an example of what would be right, and leaves the default in place, so that reading goes on; what nobody
// asked for is an unknown key.
#pragma once

#include <toml++/toml.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "conf/report.h"
#include "dataplane/base/result.h"

namespace shunt::conf {

enum class Need : std::uint8_t {
  kOptional,
  kNotEmpty,  ///< may be absent; a list that is there needs entries
  kRequired,  ///< likewise, and must be there
};

/// A key that a table may have. `example` is a value as one would write it, and the hint of every mistake
/// here.
struct Key {
  std::string_view name;
  std::string_view example;
  Need need = Need::kOptional;
};

/// A word that a key takes, and what it means.
template <typename T>
struct Word {
  std::string_view word;
  T value;
};

inline Position position_of(const toml::source_region& region) {
  return {region.begin.line, region.begin.column};
}

class Reader {
 public:
  /// `kind` (a literal) and `index` name the table in Places; `title` names it to people: "[[port]] \"lan\"".
  Reader(Report& report, Places& places, const toml::table& table, std::string_view kind, std::size_t index,
         std::string title);

  Position position() const { return position_of(table_.source()); }
  /// Puts the table's name into messages, once it is known.
  void set_title(std::string title) { title_ = std::move(title); }

  // Each takes the value at `key` into `into`, where it is there and right.
  void boolean(const Key& key, bool& into);
  void text(const Key& key, std::string& into);
  /// Text that `check` accepts: it returns what is wrong, or an empty string.
  void text(const Key& key, std::string& into, const std::function<std::string(std::string_view)>& check);
  /// An identifier: 1 to 64 of A-Z a-z 0-9 . _ -
  void name(const Key& key, std::string& into);
  /// "512MiB", "4GiB", "64KiB", or "0": octets.
  void size(const Key& key, std::uint64_t& into);
  template <typename T>
  void integer(const Key& key, T& into, std::int64_t first, std::int64_t last) {
    std::int64_t value = 0;
    if (whole_number(key, value, first, last)) into = static_cast<T>(value);
  }
  /// One of `words`; `unavailable` are words that the format knows and this version doesn't.
  template <typename T>
  void choice(const Key& key, T& into, std::initializer_list<Word<T>> words,
              std::initializer_list<std::string_view> unavailable = {}) {
    std::vector<std::string_view> known;
    for (const Word<T>& w : words)
      known.push_back(w.word);
    const std::size_t i = word(key, known, unavailable);
    if (i < words.size()) into = words.begin()[i].value;
  }
  /// Text that `parse` turns into a T; its error is a sentence that names the text.
  template <typename T>
  void value(const Key& key, T& into,
             const std::type_identity_t<std::function<Result<T>(std::string_view)>>& parse) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    std::string_view written;
    if (!as_text(key, *node, written)) return;
    if (Result<T> parsed = parse(written))
      into = std::move(*parsed);
    else
      not_right(key, *node, parsed.error());
  }
  /// A list of texts that `parse` turns into T; not empty. The n-th element of `into` is recorded in Places
  /// under n.
  template <typename T>
  void list(const Key& key, std::vector<T>& into,
            const std::type_identity_t<std::function<Result<T>(std::string_view)>>& parse) {
    for_each_text(key, [&](const toml::node& node, std::string_view written) {
      if (Result<T> parsed = parse(written)) {
        record(key, into.size(), node);
        into.push_back(std::move(*parsed));
      } else {
        not_right(key, node, parsed.error());
      }
    });
  }
  /// A list of integers; not empty.
  void integers(const Key& key, std::vector<unsigned>& into, std::int64_t first, std::int64_t last);
  /// Exactly two integers, first <= last.
  void range(const Key& key, std::uint16_t& first, std::uint16_t& last, std::int64_t least,
             std::int64_t most);

  /// The elements of a list of texts, in order; an empty list is an error where the key is required.
  void for_each_text(const Key& key, const std::function<void(const toml::node&, std::string_view)>& use);
  /// Key and text of each entry of an inline table, with the position of its key.
  void for_each_entry(const Key& key,
                      const std::function<void(std::string_view name, Position, const toml::node& value,
                                               std::string_view text)>& use);
  /// An inline table.
  const toml::table* table(const Key& key);
  /// [NAME]
  const toml::table* single_table(std::string_view name);
  /// [[NAME]]
  std::vector<const toml::table*> table_list(std::string_view name);

  /// A key of the format that this version doesn't have.
  void unavailable(std::string_view key, std::string_view instead);

  void record(const Key& key, std::size_t element, const toml::node& node);
  void record_at(const Key& key, std::size_t element, Position where);
  void error(const toml::node& node, std::string message, std::string hint);
  void error_at(Position where, std::string message, std::string hint);
  /// "TITLE: KEY"
  std::string label(const Key& key) const;

  /// Reports the keys that were not asked for.
  void finish();

 private:
  const toml::node* find(const Key& key);
  void wrong_type(const Key& key, const toml::node& node, std::string_view expected);
  bool as_text(const Key& key, const toml::node& node, std::string_view& into);
  const toml::array* as_array(const Key& key, std::string_view of);
  bool as_integer(const Key& key, const toml::node& node, std::int64_t& into, std::int64_t first,
                  std::int64_t last);
  bool whole_number(const Key& key, std::int64_t& into, std::int64_t first, std::int64_t last);
  std::size_t word(const Key& key, const std::vector<std::string_view>& known,
                   std::initializer_list<std::string_view> unavailable);
  void not_right(const Key& key, const toml::node& node, const std::string& why);

  Report& report_;
  Places& places_;
  const toml::table& table_;
  std::string_view kind_;
  std::size_t index_;
  std::string title_;
  std::set<std::string_view> known_;
};

/// "a string", "an integer": what a node is, for messages.
std::string_view type_name(const toml::node& node);

/// "512MiB" and the like, in octets.
Result<std::uint64_t> parse_size(std::string_view text);

/// What is wrong with an identifier, or an empty string.
std::string check_name(std::string_view name);

}  // namespace shunt::conf
