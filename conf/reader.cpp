#include "conf/reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace shunt::conf {
namespace {

std::string for_example(const Key& key) {
  return key.example.empty() ? std::string() : fmt::format("for example: {} = {}", key.name, key.example);
}

bool is_control(char c) {
  return static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
}

}  // namespace

std::string_view type_name(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "an array";
    case toml::node_type::string:
      return "a string";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a floating-point number";
    case toml::node_type::boolean:
      return "a boolean";
    case toml::node_type::date:
    case toml::node_type::time:
    case toml::node_type::date_time:
      return "a date or time";
    case toml::node_type::none:
      break;
  }
  return "nothing";
}

Result<std::uint64_t> parse_size(std::string_view text) {
  std::uint64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number);
  const auto wrong = [text](std::string_view why) {
    return Failure(fmt::format("{} {}", in_quotes(text), why));
  };
  if (failure == std::errc::result_out_of_range) return wrong("is too large");
  if (failure != std::errc())
    return wrong("is not a size: a whole number and its unit, KiB, MiB, GiB or TiB");
  const std::string_view unit(rest, static_cast<std::size_t>(end - rest));
  constexpr std::pair<std::string_view, unsigned> kUnits[] = {
      {"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}};
  for (const auto& [name, shift] : kUnits) {
    if (unit != name) continue;
    if (number > (std::numeric_limits<std::uint64_t>::max() >> 1) >> shift) return wrong("is too large");
    return number << shift;
  }
  if (unit.empty() && number == 0) return std::uint64_t{0};
  if (unit.empty()) return wrong("has no unit: KiB, MiB, GiB or TiB");
  return wrong(fmt::format("has the unit {}; there are KiB, MiB, GiB and TiB", in_quotes(unit)));
}

std::string check_name(std::string_view name) {
  if (name.empty()) return "it is empty";
  if (name.size() > 64) return fmt::format("it has {} characters, at most 64 are allowed", name.size());
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  if (!std::all_of(name.begin(), name.end(), allowed))
    return "only letters, digits, dot, underscore and hyphen are allowed";
  return {};
}

Reader::Reader(Report& report, Places& places, const toml::table& table, std::string_view kind,
               std::size_t index, std::string title)
    : report_(report), places_(places), table_(table), kind_(kind), index_(index), title_(std::move(title)) {
  places_.record(kind_, index_, {}, Places::kWhole, position());
}

std::string Reader::label(const Key& key) const {
  return fmt::format("{}: {}", title_, key.name);
}

void Reader::record(const Key& key, std::size_t element, const toml::node& node) {
  record_at(key, element, position_of(node.source()));
}

void Reader::record_at(const Key& key, std::size_t element, Position where) {
  places_.record(kind_, index_, key.name, element, where);
}

void Reader::error(const toml::node& node, std::string message, std::string hint) {
  error_at(position_of(node.source()), std::move(message), std::move(hint));
}

void Reader::error_at(Position where, std::string message, std::string hint) {
  report_.error(where, std::move(message), std::move(hint));
}

const toml::node* Reader::find(const Key& key) {
  known_.insert(key.name);
  const toml::node* node = table_.get(key.name);
  if (node != nullptr) {
    record(key, Places::kWhole, *node);
  } else if (key.need == Need::kRequired) {
    report_.error(position(), fmt::format("{} is missing", label(key)), for_example(key));
  }
  return node;
}

void Reader::wrong_type(const Key& key, const toml::node& node, std::string_view expected) {
  error(node, fmt::format("{} must be {}, not {}", label(key), expected, type_name(node)), for_example(key));
}

bool Reader::as_text(const Key& key, const toml::node& node, std::string_view& into) {
  const auto* string = node.as_string();
  if (string == nullptr) {
    wrong_type(key, node, "a string");
    return false;
  }
  into = string->get();
  if (std::any_of(into.begin(), into.end(), is_control)) {
    error(node, fmt::format("{} must be one line without control characters", label(key)), for_example(key));
    return false;
  }
  return true;
}

bool Reader::as_integer(const Key& key, const toml::node& node, std::int64_t& into, std::int64_t first,
                        std::int64_t last) {
  const auto* integer = node.as_integer();
  if (integer == nullptr) {
    wrong_type(key, node, "an integer");
    return false;
  }
  into = integer->get();
  if (into >= first && into <= last) return true;
  error(node, fmt::format("{} is {}, it must be from {} to {}", label(key), into, first, last),
        for_example(key));
  return false;
}

void Reader::boolean(const Key& key, bool& into) {
  const toml::node* node = find(key);
  if (node == nullptr) return;
  if (const auto* flag = node->as_boolean())
    into = flag->get();
  else
    wrong_type(key, *node, "true or false");
}

void Reader::text(const Key& key, std::string& into) {
  text(key, into, [](std::string_view) { return std::string(); });
}

void Reader::text(const Key& key, std::string& into,
                  const std::function<std::string(std::string_view)>& check) {
  const toml::node* node = find(key);
  std::string_view written;
  if (node == nullptr || !as_text(key, *node, written)) return;
  into = written;  // kept where it is wrong too: what refers to it is not wrong as well
  if (const std::string wrong = check(written); !wrong.empty())
    error(*node, fmt::format("{} {}: {}", label(key), in_quotes(written), wrong), for_example(key));
}

void Reader::name(const Key& key, std::string& into) {
  text(key, into, check_name);
}

void Reader::size(const Key& key, std::uint64_t& into) {
  value<std::uint64_t>(key, into, parse_size);
}

bool Reader::whole_number(const Key& key, std::int64_t& into, std::int64_t first, std::int64_t last) {
  const toml::node* node = find(key);
  return node != nullptr && as_integer(key, *node, into, first, last);
}

std::size_t Reader::word(const Key& key, const std::vector<std::string_view>& known,
                         std::initializer_list<std::string_view> unavailable) {
  constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
  const toml::node* node = find(key);
  std::string_view written;
  if (node == nullptr || !as_text(key, *node, written)) return kNone;
  if (const auto found = std::find(known.begin(), known.end(), written); found != known.end())
    return static_cast<std::size_t>(found - known.begin());
  std::string list;
  for (std::size_t i = 0; i < known.size(); ++i)
    list += fmt::format("{}\"{}\"", i == 0 ? "" : i + 1 == known.size() ? " or " : ", ", known[i]);
  if (std::find(unavailable.begin(), unavailable.end(), written) != unavailable.end()) {
    error(*node,
          fmt::format("{}: \"{}\" is not available in this version; use {}", label(key), written, list),
          for_example(key));
  } else {
    error(*node, fmt::format("{} is {}, it must be {}", label(key), in_quotes(written), list),
          hint_for(written, known, "values"));
  }
  return kNone;
}

void Reader::not_right(const Key& key, const toml::node& node, const std::string& why) {
  error(node, fmt::format("{}: {}", label(key), why), for_example(key));
}

const toml::array* Reader::as_array(const Key& key, std::string_view of) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    wrong_type(key, *node, fmt::format("an array of {}", of));
    return nullptr;
  }
  if (array->empty() && key.need != Need::kOptional)
    error(*node, fmt::format("{} is empty, it needs at least one entry", label(key)), for_example(key));
  return array;
}

void Reader::for_each_text(const Key& key,
                           const std::function<void(const toml::node&, std::string_view)>& use) {
  const toml::array* array = as_array(key, "strings");
  if (array == nullptr) return;
  for (const toml::node& node : *array) {
    std::string_view written;
    if (node.as_string() == nullptr)
      error(node, fmt::format("{}: every entry must be a string, not {}", label(key), type_name(node)),
            for_example(key));
    else if (as_text(key, node, written))
      use(node, written);
  }
}

void Reader::integers(const Key& key, std::vector<unsigned>& into, std::int64_t first, std::int64_t last) {
  const toml::array* array = as_array(key, "integers");
  if (array == nullptr) return;
  into.clear();
  for (const toml::node& node : *array) {
    std::int64_t value = 0;
    if (node.as_integer() == nullptr) {
      error(node, fmt::format("{}: every entry must be an integer, not {}", label(key), type_name(node)),
            for_example(key));
    } else if (as_integer(key, node, value, first, last)) {
      record(key, into.size(), node);
      into.push_back(static_cast<unsigned>(value));
    }
  }
}

void Reader::range(const Key& key, std::uint16_t& first, std::uint16_t& last, std::int64_t least,
                   std::int64_t most) {
  const toml::array* array = as_array(key, "two integers");
  if (array == nullptr) return;
  if (array->size() != 2) {
    error(*array,
          fmt::format("{} must have two integers, the first and the last; it has {}", label(key),
                      array->size()),
          for_example(key));
    return;
  }
  std::int64_t ends[2] = {};
  for (std::size_t i = 0; i < 2; ++i)
    if (!as_integer(key, (*array)[i], ends[i], least, most)) return;
  if (ends[0] > ends[1]) {
    error(*array, fmt::format("{}: the first, {}, is larger than the last, {}", label(key), ends[0], ends[1]),
          for_example(key));
    return;
  }
  first = static_cast<std::uint16_t>(ends[0]);
  last = static_cast<std::uint16_t>(ends[1]);
}

const toml::table* Reader::table(const Key& key) {
  const toml::node* node = find(key);
  if (node == nullptr) return nullptr;
  if (node->as_table() == nullptr) wrong_type(key, *node, "a table in braces");
  return node->as_table();
}

const toml::table* Reader::single_table(std::string_view name) {
  known_.insert(name);
  const toml::node* node = table_.get(name);
  if (node == nullptr) return nullptr;
  if (node->as_table() == nullptr)
    error(*node, fmt::format("{} must be a single table, not {}", in_quotes(name), type_name(*node)),
          fmt::format("write [{}], once, and its keys below", name));
  return node->as_table();
}

std::vector<const toml::table*> Reader::table_list(std::string_view name) {
  known_.insert(name);
  std::vector<const toml::table*> tables;
  const toml::node* node = table_.get(name);
  if (node == nullptr) return tables;
  record({name, {}}, Places::kWhole, *node);
  const std::string hint =
      fmt::format("write [[{}]] in double brackets, once for each, and its keys below", name);
  const toml::array* array = node->as_array();
  if (array == nullptr) {
    error(*node, fmt::format("{} must be a list of tables, not {}", in_quotes(name), type_name(*node)), hint);
    // Read all the same, so that what refers to it isn't reported too.
    if (node->as_table() != nullptr) tables.push_back(node->as_table());
    return tables;
  }
  for (const toml::node& element : *array) {
    if (element.as_table() != nullptr)
      tables.push_back(element.as_table());
    else
      error(element,
            fmt::format("{} must be a list of tables, not of {}", in_quotes(name), type_name(element)), hint);
  }
  return tables;
}

void Reader::for_each_entry(
    const Key& key,
    const std::function<void(std::string_view, Position, const toml::node&, std::string_view)>& use) {
  const toml::table* entries = table(key);
  if (entries == nullptr) return;
  for (auto&& [name, node] : *entries) {
    std::string_view written;
    if (as_text(key, node, written)) use(name.str(), position_of(name.source()), node, written);
  }
}

void Reader::unavailable(std::string_view key, std::string_view instead) {
  known_.insert(key);
  const auto found = table_.find(key);
  if (found == table_.end()) return;
  report_.error(position_of(found->first.source()),
                fmt::format("{}: \"{}\" is not available in this version", title_, key),
                std::string(instead));
}

void Reader::finish() {
  const std::vector<std::string_view> known(known_.begin(), known_.end());
  for (auto&& [key, node] : table_) {
    if (known_.contains(key.str())) continue;
    report_.error(position_of(key.source()), fmt::format("{}: unknown key {}", title_, in_quotes(key.str())),
                  hint_for(key.str(), known, "keys"));
  }
}

}  // namespace shunt::conf
