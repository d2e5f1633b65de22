// Builds rule sets from lines, and gives their rules and mistakes as text.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/rule_lines.h"

namespace shunt::conf {

inline constexpr dns::HashKey kKey{};

/// ".0.0.0": so many.
inline std::string zeros(unsigned count) {
  std::string text;
  for (unsigned i = 0; i < count; ++i)
    text += ".0";
  return text;
}

class RuleLines : public testing::Test {
 protected:
  RuleLines() {
    config_.path = "shunt.toml";
    for (const char* name : {"corp-dns", "cloud", "internet"}) {
      Upstream u;
      u.name = name;
      config_.upstreams.push_back(u);
    }
    source_.name = "corp";
    source_.position = {20, 1};
  }
  ~RuleLines() override {
    if (!file_.empty()) std::remove(file_.c_str());
  }

  void list(std::vector<std::string> lines) {
    source_.list = std::move(lines);
    source_.list_positions.clear();
    for (std::uint32_t i = 0; i < source_.list.size(); ++i)
      source_.list_positions.push_back({30 + i, 5});
  }
  void file(std::string_view text) {
    file_ = testing::TempDir() + "shunt-rule-lines-" + std::to_string(getpid()) + ".rules";
    std::ofstream(file_, std::ios::binary) << text;
    source_.file = file_;
  }
  void build(std::size_t max_errors = 50) {
    errors_.clear();
    built_ = build_rule_set(
        config_, source_, kKey,
        [this](std::string_view name) -> std::optional<std::uint32_t> {
          for (std::uint32_t i = 0; i < config_.upstreams.size(); ++i)
            if (config_.upstreams[i].name == name) return 100 + i;
          return std::nullopt;
        },
        errors_, max_errors);
  }
  /// The rules of one line, as text.
  std::vector<std::string> rules_of(std::string line) {
    list({std::move(line)});
    build();
    EXPECT_THAT(errors_, testing::IsEmpty()) << to_text(errors_);
    return texts();
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> texts;
    if (!built_.set) return texts;
    for (const rules::RuleIndex i : built_.set->rules())
      texts.push_back(text_of(i));
    return texts;
  }
  std::string text_of(rules::RuleIndex i) const {
    return rule_text(*built_.set, i,
                     [this](std::uint32_t handle) { return config_.upstreams.at(handle - 100).name; });
  }
  /// The one mistake of one line.
  Diagnostic mistake(std::string line) {
    list({std::move(line)});
    build();
    EXPECT_THAT(errors_, testing::SizeIs(1)) << to_text(errors_);
    return errors_.empty() ? Diagnostic{} : errors_[0];
  }
  std::string message(std::string line) { return mistake(std::move(line)).message; }

  Config config_;
  RuleSet source_;
  std::string file_;
  std::vector<Diagnostic> errors_;
  BuiltRuleSet built_;
};

}  // namespace shunt::conf
