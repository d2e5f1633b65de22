// Generations of small configurations, to ask about their rules.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "control/generation.h"
#include "tests/unit/conf/config_text.h"

namespace shunt::control {

inline constexpr dns::HashKey kRulesKey{1, 2};

/// The base configuration (config_text.h) with these rule sets, and one network "prod" that has them, in this
/// order; `list` is what stands between the brackets.
struct SetText {
  std::string name, list;
};

class Generations {
 public:
  std::shared_ptr<const Generation> make(const std::vector<SetText>& sets, std::string_view more = "") {
    const std::string base = conf::below("");
    std::string text = base.substr(0, base.find("[[rules]]"));
    std::string names;
    for (const SetText& set : sets) {
      text += "[[rules]]\nname = \"" + set.name + "\"\nlist = [" + set.list + "]\n\n";
      names += (names.empty() ? "\"" : ", \"") + set.name + "\"";
    }
    text += "[[network]]\nname = \"prod\"\nclients = [\"10.1.0.0/16\"]\nrules = [" + names +
            "]\ndefault = \"internet\"\n" + std::string(more);
    conf::Loaded loaded = conf::load_text(text, "shunt.toml", load_options(kRulesKey, registry_, {}));
    EXPECT_TRUE(loaded.config) << conf::to_text(loaded.errors);
    if (!loaded.config) return nullptr;
    auto made = make_generation(std::move(*loaded.config), std::move(loaded.rule_sets), ++number_, kRulesKey,
                                registry_);
    EXPECT_TRUE(made) << (made ? "" : made.error());
    return made ? *made : nullptr;
  }
  Registry& registry() { return registry_; }

 private:
  Registry registry_;
  std::uint64_t number_ = 0;
};

}  // namespace shunt::control
