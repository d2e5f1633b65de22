#include "conf/zone_file.h"

#include <fmt/format.h>
#include <ldns/ldns.h>
#include <strings.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>
#include <utility>

#include "conf/line_file.h"
#include "conf/record_type.h"
#include "conf/report.h"
#include "conf/rule_answer.h"
#include "conf/zone_entry.h"
#include "dataplane/dns/wire.h"

namespace shunt::conf {
namespace {

constexpr std::uint32_t kMaxTtl = 0x7fffffff;

struct FreeName {
  void operator()(ldns_rdf* rdf) const { ldns_rdf_deep_free(rdf); }
};
using LdnsName = std::unique_ptr<ldns_rdf, FreeName>;
struct FreeRecord {
  void operator()(ldns_rr* rr) const { ldns_rr_free(rr); }
};
using Record = std::unique_ptr<ldns_rr, FreeRecord>;

bool same_word(std::string_view a, std::string_view b) {
  return a.size() == b.size() && strncasecmp(a.data(), b.data(), a.size()) == 0;
}

/// Whether a name's text ends in a dot that is none of a label's.
bool is_whole(std::string_view name) {
  if (!name.ends_with('.')) return false;
  std::size_t escapes = 0;
  for (std::size_t i = name.size() - 1; i > 0 && name[i - 1] == '\\'; --i)
    ++escapes;
  return escapes % 2 == 0;
}

std::vector<std::uint8_t> data_of(const ldns_rr& rr) {
  std::vector<std::uint8_t> data;
  for (std::size_t i = 0; i < ldns_rr_rd_count(&rr); ++i) {
    const ldns_rdf* field = ldns_rr_rdf(&rr, i);
    const std::uint8_t* octets = ldns_rdf_data(field);
    data.insert(data.end(), octets, octets + ldns_rdf_size(field));
  }
  return data;
}

/// Reads one file's lines, in order.
class ZoneFileReader {
 public:
  ZoneFileReader(const std::string& path, std::vector<Diagnostic>& errors, std::size_t max_errors)
      : path_(path), builder_(path), errors_(errors), max_errors_(max_errors) {}

  void add_line(std::string_view line) {
    if (lost_) return;
    ++line_;
    constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
    if (line_ == 1 && line.starts_with(kByteOrderMark)) line.remove_prefix(kByteOrderMark.size());
    if (!entry_.open()) {
      entry_.clear();
      first_line_ = line_;
      source_ = line.substr(0, kShown);
    }
    if (std::string wrong = entry_.add(line); !wrong.empty()) {
      source_ = line.substr(0, kShown);
      first_line_ = line_;
      // Whatever was open ends here: one mistake is not to make mistakes of all that follows.
      entry_.clear();
      return error(std::move(wrong), "");
    }
    if (!entry_.open() && !entry_.blank()) take_entry();
  }

  void add_too_long(std::string_view beginning) {
    if (lost_) return;
    ++line_;
    first_line_ = line_;
    source_ = beginning;
    entry_.clear();
    error(fmt::format("a line of more than {} octets", kMaxRuleLine), "");
  }

  std::shared_ptr<const Zone> finish(std::string_view read_error) {
    if (!read_error.empty()) whole_file(fmt::format("can't read the file: {}", read_error), "");
    if (entry_.open()) error("the entry that begins here has a parenthesis that is never closed", "");
    if (wrong_ == 0 && !builder_.has_soa())
      whole_file("the file has no SOA record", "the first record is the zone's SOA, at the zone's own name");
    if (wrong_ > max_errors_)
      whole_file(fmt::format("{} more mistakes are not shown", wrong_ - max_errors_), "");
    return wrong_ == 0 ? builder_.finish() : nullptr;
  }

  void whole_file(std::string message, std::string hint) {
    ++wrong_;
    errors_.push_back({path_, {}, std::move(message), std::move(hint), {}});
  }

 private:
  static constexpr std::size_t kShown = 200;

  void error(std::string message, std::string hint) {
    if (++wrong_ > max_errors_) return;
    const std::size_t begin = source_.find_first_not_of(" \t");
    const auto column = static_cast<std::uint32_t>(begin == source_.npos ? 1 : begin + 1);
    errors_.push_back(
        {path_, {first_line_, column}, std::move(message), std::move(hint), clean_utf8(source_)});
  }

  void take_entry() {
    std::string_view rest = entry_.text();
    const bool named = rest.front() != ' ';
    const std::string_view word = take_word(rest);
    if (word.starts_with('$')) return take_directive(word, rest);
    if (!named && previous_ == nullptr)
      return error("the first record has no name",
                   "a line that begins with a blank is about the name before");
    lost_ = origin_ == nullptr && !begin_at(word);
    if (lost_) return;
    const std::string_view owner = named ? word : std::string_view();
    if (read_head(named ? rest : std::string_view(entry_.text()))) take_record(owner);
  }

  /// TTL and class in either order, and the type: what stands between a record's name and its data. ldns
  /// wants the TTL first, passes over what it doesn't understand there, and says of an unknown type that the
  /// data is wrong.
  bool read_head(std::string_view rest) {
    ttl_.reset();
    std::string_view word = take_word(rest);
    for (unsigned i = 0; i < 2; ++i) {
      if (!word.empty() && word.front() >= '0' && word.front() <= '9') {
        ttl_ = parse_ttl(word);
        if (!ttl_) {
          error(fmt::format("{} is no TTL", in_quotes(word)),
                "TTLs are seconds, at most 2^31 - 1, or like 1h30m");
          return false;
        }
      } else if (!same_word(word, "IN")) {
        break;
      }
      word = take_word(rest);
    }
    if (same_word(word, "CH") || same_word(word, "HS") || same_word(word, "CS")) {
      error(fmt::format("the class {} is not IN", word), "leave the class out, or write IN");
      return false;
    }
    type_ = parse_type(word);
    if (type_ == 0) {
      error(word.empty() ? "the record has no type"
                         : fmt::format("{} is no type that a zone's record can have", in_quotes(word)),
            hint_for(word, common_types(), "types"));
      return false;
    }
    data_ = rest;
    if (std::string_view mark = rest; take_word(mark) == "\\#") {
      generic_octets_ = std::strtoul(std::string(take_word(mark)).c_str(), nullptr, 10);
    } else {
      generic_octets_.reset();
    }
    return true;
  }

  /// Takes the first record's name as the origin.
  bool begin_at(std::string_view name) {
    if (!is_whole(name)) {
      error(fmt::format("{} is relative, and there is no $ORIGIN before it", in_quotes(name)),
            "begin the file with the zone's name: $ORIGIN compute.internal.");
      return false;
    }
    return set_origin(name);
  }

  bool set_origin(std::string_view text) {
    LdnsName name(ldns_dname_new_frm_str(std::string(text).c_str()));
    if (name != nullptr && !is_whole(text) && origin_ != nullptr)
      name.reset(ldns_dname_cat_clone(name.get(), origin_.get()));
    if (name == nullptr || ldns_rdf_size(name.get()) > dns::kMaxName) {
      error(fmt::format("{} is no domain name", in_quotes(text)), "");
      return false;
    }
    origin_ = std::move(name);
    return true;
  }

  void take_directive(std::string_view word, std::string_view rest) {
    const std::string_view value = take_word(rest);
    if (same_word(word, "$ORIGIN")) {
      if (value.empty()) return error("$ORIGIN without a name", "for example: $ORIGIN compute.internal.");
      if (origin_ == nullptr && !is_whole(value))
        return error(fmt::format("the first $ORIGIN, {}, is relative", in_quotes(value)),
                     "end the name with a dot");
      set_origin(value);
    } else if (same_word(word, "$TTL")) {
      const std::optional<std::uint32_t> ttl = parse_ttl(value);
      if (!ttl) return error(fmt::format("$TTL: {} is no time", in_quotes(value)), "for example: $TTL 1h");
      default_ttl_ = ttl;
    } else if (same_word(word, "$INCLUDE")) {
      error("$INCLUDE is not available", "put the other file's records into this one");
    } else if (same_word(word, "$GENERATE")) {
      error("$GENERATE is not available", "write the records one by one");
    } else {
      error(fmt::format("{} is no directive", in_quotes(word)), "there are $ORIGIN and $TTL");
    }
  }

  /// Seconds, or numbers with units: "1h30m".
  static std::optional<std::uint32_t> parse_ttl(std::string_view text) {
    constexpr std::size_t kMost = 20;  // characters
    if (text.empty() || text.size() > kMost) return std::nullopt;
    constexpr std::pair<char, std::uint32_t> kUnits[] = {
        {'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}, {'w', 604800}};
    std::uint64_t ttl = 0, number = 0;
    bool digits = false;
    for (const char c : text) {
      if (c >= '0' && c <= '9') {
        number = number * 10 + static_cast<std::uint64_t>(c - '0');
        digits = true;
      } else {
        const auto* unit =
            std::ranges::find(kUnits, static_cast<char>(c | 0x20), &std::pair<char, std::uint32_t>::first);
        if (unit == std::end(kUnits) || !digits) return std::nullopt;
        ttl += number * unit->second;
        number = 0;
        digits = false;
      }
      if (number > kMaxTtl || ttl > kMaxTtl) return std::nullopt;
    }
    ttl += number;
    return ttl > kMaxTtl ? std::nullopt : std::optional(static_cast<std::uint32_t>(ttl));
  }

  void take_record(std::string_view owner) {
    const std::string text = fmt::format("{} 0 IN {} {}", owner, type_text(type_), data_);
    ldns_rr* parsed = nullptr;
    ldns_rdf* previous = previous_.release();
    const ldns_status status = ldns_rr_new_frm_str(&parsed, text.c_str(), 0, origin_.get(), &previous);
    previous_.reset(previous);
    const Record rr(parsed);
    if (status != LDNS_STATUS_OK || rr == nullptr)
      return error(fmt::format("{} record: {}", type_text(type_), ldns_get_errorstr_by_id(status)),
                   "NAME [TTL] [IN] TYPE DATA, as in RFC 1035 section 5");
    const std::vector<std::uint8_t> data = data_of(*rr);
    if (data.size() > kMaxRrSetOctets) return error("the record fits no message", "");
    const bool good = ldns_rr_get_type(rr.get()) == type_ &&
                      ldns_rr_get_class(rr.get()) == LDNS_RR_CLASS_IN &&
                      (!generic_octets_ || (*generic_octets_ == data.size() && is_well_formed(type_, data)));
    if (!good) return error(fmt::format("the data is not that of a {}", type_text(type_)), "");
    add(*rr, data);
  }

  void add(const ldns_rr& rr, std::span<const std::uint8_t> data) {
    dns::Name owner;
    const ldns_rdf* name = ldns_rr_owner(&rr);
    if (dns::read_name({ldns_rdf_data(name), ldns_rdf_size(name)}, owner) == 0)
      return error("the record's name is malformed", "");
    if (ttl_) last_ttl_ = ttl_;
    std::optional<std::uint32_t> ttl = ttl_ ? ttl_ : default_ttl_ ? default_ttl_ : last_ttl_;
    if (!ttl) {  // then it is the SOA: its MINIMUM
      if (data.size() < 4) return error("the record has no TTL, nor has any before it", "");
      ttl = last_ttl_ = std::min(load_be32(&data[data.size() - 4]), kMaxTtl);
    }
    if (std::string wrong = builder_.add(owner, type_, *ttl, data, first_line_); !wrong.empty())
      error(std::move(wrong), "");
    lost_ = !builder_.has_soa();
  }

  const std::string& path_;
  ZoneBuilder builder_;
  std::vector<Diagnostic>& errors_;
  const std::size_t max_errors_;
  std::size_t wrong_ = 0;
  bool lost_ = false;  ///< what the zone is could not be read: all that follows would be wrong for that alone
  std::uint32_t line_ = 0;
  std::uint32_t first_line_ = 0;  ///< of the entry
  std::string source_;            ///< that line's beginning
  ZoneEntry entry_;
  // Of the entry's record:
  std::optional<std::uint32_t> ttl_;
  std::string_view data_;
  std::uint16_t type_ = 0;
  std::optional<unsigned long> generic_octets_;  ///< what its data's generic form (RFC 3597) says of its size
  LdnsName origin_, previous_;
  std::optional<std::uint32_t> default_ttl_, last_ttl_;
};

/// Lines without their ends, "\r\n" among them.
std::string_view take_line(std::string_view& text) {
  const std::size_t end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text = end == text.npos ? std::string_view() : text.substr(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

std::shared_ptr<const Zone> read_zone_text(std::string_view text, const std::string& path,
                                           std::vector<Diagnostic>& errors, std::size_t max_errors) {
  ZoneFileReader reader(path, errors, max_errors);
  while (!text.empty()) {
    const std::string_view line = take_line(text);
    if (line.size() > kMaxRuleLine)
      reader.add_too_long(line.substr(0, kMaxRuleLine));
    else
      reader.add_line(line);
  }
  return reader.finish({});
}

std::shared_ptr<const Zone> read_zone_file(const std::string& path, std::vector<Diagnostic>& errors,
                                           std::size_t max_errors) {
  ZoneFileReader reader(path, errors, max_errors);
  LineFile file;
  if (const std::string why = file.open(path); !why.empty()) {
    reader.whole_file(fmt::format("can't read the zone file: {}", why),
                      "the path is taken from the folder of the configuration file");
    return nullptr;
  }
  std::size_t octets = 0;
  try {
    while (const std::optional<LineFile::Line> line = file.next()) {
      octets += line->text.size() + 1;
      if (octets > kMaxZoneFileOctets) {
        reader.whole_file(fmt::format("the file is larger than {} MiB", kMaxZoneFileOctets >> 20), "");
        return nullptr;
      }
      if (line->too_long)
        reader.add_too_long(line->text);
      else
        reader.add_line(line->text);
    }
  } catch (const std::bad_alloc&) {
    reader.whole_file("there is not enough memory for the zone", "");
    return nullptr;
  }
  return reader.finish(file.error());
}

}  // namespace shunt::conf
