#include "conf/load.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "conf/certificates.h"
#include "conf/check.h"
#include "conf/reader.h"
#include "conf/report.h"
#include "conf/rule_lines.h"
#include "conf/tables.h"

namespace shunt::conf {
namespace {

/// More dots than this outside quotes on one line nest keys deeper than any of ours.
constexpr unsigned kMaxDots = 16;

/// The parser and the tables it makes work by recursion, one level for each part of a dotted key, without a
/// bound: a key of a million parts would exhaust the stack. Returns the place of the first that goes too
/// deep, line 0 where none does. Quotes are followed within their line only: a line of a multi-line string
/// counts as keys, which may refuse a strange file, and never accepts a bad one.
Position first_deep_key(std::string_view text) {
  Position at{1, 0};
  unsigned dots = 0;
  char quote = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    ++at.column;
    if (c == '\n') {
      at = {at.line + 1, 0};
      dots = 0;
      quote = 0;
    } else if (quote != 0) {
      if (c == '\\' && quote == '"' && i + 1 < text.size() && text[i + 1] != '\n') {
        ++i;
        ++at.column;
      } else if (c == quote) {
        quote = 0;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#') {
      i = std::min(text.find('\n', i), text.size()) - 1;
    } else if (c == '.' && ++dots > kMaxDots) {
      return at;
    }
  }
  return {};
}

std::string hint_for_syntax(std::string_view description) {
  if (description.find("could not determine value type") != std::string_view::npos)
    return "text stands in quotes: name = \"lan\"";
  if (description.find("cannot redefine") != std::string_view::npos)
    return "each key and each [table] may be given once; tables that may be many have double brackets: "
           "[[port]]";
  if (description.find("utf-8") != std::string_view::npos) return "the file must be UTF-8 text";
  return "the file is TOML: key = \"text\", key = 12, key = true, key = [\"a\", \"b\"], [table], [[list of "
         "tables]]";
}

/// toml++ reports mistakes of syntax by exception; this is the only place that catches one.
std::optional<toml::table> parse(std::string_view text, Report& report) {
  if (const Position deep = first_deep_key(text); deep.line > 0) {
    report.error(deep, fmt::format("more than {} dots outside quotes on one line", kMaxDots),
                 "no key is nested that deep; addresses and names stand in quotes");
    return std::nullopt;
  }
  try {
    return toml::parse(text);
  } catch (const toml::parse_error& e) {
    report.error(position_of(e.source()), fmt::format("syntax: {}", e.description()),
                 hint_for_syntax(e.description()));
    return std::nullopt;
  }
}

struct Descriptor {
  int fd;
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
};

/// The whole file, or why not.
Result<std::string> read_file(const std::string& path) {
  const Descriptor file{open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
  if (file.fd < 0) return Failure(fmt::format("can't open the file: {}", std::strerror(errno)));
  std::string text;
  char block[65536];
  for (;;) {
    const ssize_t n = read(file.fd, block, sizeof block);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return Failure(fmt::format("can't read the file: {}", std::strerror(errno)));
    if (n == 0) return text;
    text.append(block, static_cast<std::size_t>(n));
    if (text.size() > kMaxConfigOctets)
      return Failure(fmt::format("the file is larger than {} MiB", kMaxConfigOctets >> 20));
  }
}

}  // namespace

Loaded load_text(std::string_view text, const std::string& path, const LoadOptions& options) {
  Report report(path, text);
  Loaded loaded;
  Config config;
  config.path = path;
  if (text.size() > kMaxConfigOctets) {
    report.error({}, fmt::format("the configuration is larger than {} MiB", kMaxConfigOctets >> 20),
                 "put rules into files of their own: [[rules]] file = \"corp.rules\"");
  } else if (const std::optional<toml::table> root = parse(text, report)) {
    Places places;
    read_tables(*root, report, places, config);
    if (options.rule_files) load_certificates(config, places, report);
    check({config, places, report}, options, loaded);
    if (options.rule_files) load_zones(config, places, report);
    if (options.dead_rules && !report.has_errors()) check_meaning({config, places, report}, loaded.rule_sets);
  }
  if (!report.has_errors()) {
    loaded.config = std::move(config);
  } else {
    loaded.rule_sets.clear();
  }
  loaded.errors = report.take_errors();
  loaded.warnings = report.take_warnings();
  return loaded;
}

Loaded load_file(const std::string& path, const LoadOptions& options) {
  const Result<std::string> text = read_file(path);
  if (text) return load_text(*text, path, options);
  Loaded loaded;
  loaded.errors.push_back(
      {path, {}, text.error(), "give the path of a readable shunt.toml: shuntd --config FILE", {}});
  return loaded;
}

}  // namespace shunt::conf
