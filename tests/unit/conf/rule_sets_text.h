// Configurations with rule sets and networks to try, for what the check says of rules.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/conf/config_text.h"

namespace shunt::conf {

/// kBase with these sets, and networks with these lists of sets.
inline std::string with_rules(const std::vector<std::pair<std::string, std::string>>& sets,
                              const std::vector<std::string>& networks) {
  std::string text = change("[[rules]]\nname = \"corp\"\nlist = [\"onprem.corp forward corp-dns\"]\n", "",
                            change("rules = [\"corp\"]\n", ""));
  for (const auto& [name, list] : sets)
    text += "[[rules]]\nname = \"" + name + "\"\nlist = [" + list + "]\n";
  int n = 0;
  for (const std::string& rules : networks) {
    ++n;
    text += "[[network]]\nname = \"n" + std::to_string(n) + "\"\nclients = [\"192.168." + std::to_string(n) +
            ".0/24\"]\nrules = [" + rules + "]\n";
  }
  return text;
}

inline void expect_told(const std::string& text, std::string_view message, std::string_view hint) {
  const Marked marked = without_mark(text);
  const Loaded loaded = load_text(marked.text, "shunt.toml", {.dead_rules = true});
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  ASSERT_EQ(loaded.warnings.size(), 1u) << to_text(loaded.warnings, "warning");
  expect_diagnostic(loaded.warnings[0], marked, message, hint);
  EXPECT_TRUE(load_text(marked.text, "shunt.toml").warnings.empty()) << "only when asked for";
}

inline void expect_quiet(const std::string& text) {
  const Loaded loaded = load_text(text, "shunt.toml", {.dead_rules = true});
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_TRUE(loaded.warnings.empty()) << to_text(loaded.warnings, "warning");
}

}  // namespace shunt::conf
