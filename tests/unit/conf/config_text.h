// Configurations to try: a small right one, and changes to it that mark where a mistake is expected.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "conf/load.h"

namespace shunt::conf {

/// A configuration without mistakes and warnings.
inline constexpr std::string_view kBase = R"([[port]]
name = "lan"
device = "net_memif0"
addresses = ["10.53.0.53/24", "fd53::53/64"]
gateways = ["10.53.0.1"]

[[inbound]]
name = "from-onprem"
addresses = ["10.53.0.53"]
allow = ["10.0.0.0/8"]

[[outbound]]
name = "to-onprem"
addresses = ["10.53.0.53"]

[[upstream]]
name = "corp-dns"
outbound = "to-onprem"
targets = ["192.168.1.53"]

[[upstream]]
name = "internet"
targets = ["192.0.2.53"]

[[rules]]
name = "corp"
list = ["onprem.corp forward corp-dns"]

[[network]]
name = "prod"
clients = ["10.1.0.0/16"]
rules = ["corp"]
default = "internet"
)";

/// `text` with `from`, which stands there once, replaced by `to`.
inline std::string change(std::string_view from, std::string_view to, std::string_view text = kBase) {
  std::string out(text);
  const std::size_t at = out.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  EXPECT_EQ(out.find(from, at + 1), std::string::npos) << from << " is not unique";
  if (at != std::string::npos) out.replace(at, from.size(), to);
  return out;
}

inline std::string above(std::string_view text) {
  return std::string(text) + std::string(kBase);
}
inline std::string below(std::string_view text) {
  return std::string(kBase) + std::string(text);
}

/// Where a mistake is expected: in front of the character at which its caret should stand.
inline constexpr std::string_view kMark = "<!>";

struct Marked {
  std::string text;  ///< without the mark
  Position position;
  std::string line;
};

inline Marked without_mark(std::string_view text) {
  const std::size_t at = text.find(kMark);
  EXPECT_NE(at, text.npos) << "no mark";
  if (at == text.npos) return {};
  Marked m{std::string(text.substr(0, at)) + std::string(text.substr(at + kMark.size())), {1, 1}, {}};
  for (const char c : text.substr(0, at)) {
    if (c == '\n')
      m.position = {m.position.line + 1, 1};
    else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80)
      ++m.position.column;
  }
  const std::size_t start = m.text.rfind('\n', at == 0 ? std::string::npos : at - 1);
  const std::size_t first = at == 0 || start == std::string::npos ? 0 : start + 1;
  m.line = m.text.substr(first, m.text.find('\n', first) - first);
  return m;
}

inline void expect_diagnostic(const Diagnostic& d, const Marked& marked, std::string_view message,
                              std::string_view hint) {
  EXPECT_EQ(d.file, "shunt.toml");
  EXPECT_EQ(d.position.line, marked.position.line) << d.message;
  EXPECT_EQ(d.position.column, marked.position.column) << d.message;
  EXPECT_EQ(d.source_line, marked.line);
  EXPECT_NE(d.message.find(message), std::string::npos) << d.message;
  EXPECT_NE(d.hint.find(hint), std::string::npos) << d.hint;
  EXPECT_FALSE(d.hint.empty());
}

/// `text` has this one mistake, at the mark.
inline void expect_mistake(std::string_view text, std::string_view message, std::string_view hint) {
  const Marked marked = without_mark(text);
  const Loaded loaded = load_text(marked.text, "shunt.toml");
  EXPECT_FALSE(loaded.config.has_value());
  ASSERT_EQ(loaded.errors.size(), 1u) << to_text(loaded.errors);
  expect_diagnostic(loaded.errors[0], marked, message, hint);
}

/// `text` is right, but deserves this one warning.
inline void expect_warning(std::string_view text, std::string_view message, std::string_view hint) {
  const Marked marked = without_mark(text);
  const Loaded loaded = load_text(marked.text, "shunt.toml");
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  ASSERT_EQ(loaded.warnings.size(), 1u) << to_text(loaded.warnings, "warning");
  expect_diagnostic(loaded.warnings[0], marked, message, hint);
}

/// The configuration that `text`, which has no mistakes, stands for.
inline Config load_right(std::string_view text) {
  Loaded loaded = load_text(text, "shunt.toml");
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  return loaded.config.value_or(Config{});
}

}  // namespace shunt::conf
