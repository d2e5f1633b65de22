// What explain says of rules: who wins, why others lost, what a `system` rule leaves a name to, which watch
// fires.
#include "control/explain.h"

#include "tests/unit/control/rules_fixture.h"

namespace shunt::control {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class Explain : public ::testing::Test {
 protected:
  void rules(const std::vector<SetText>& sets) { generation_ = generations_.make(sets); }
  json ask(const std::string& name) {
    auto result = explain(*generation_, kRulesKey, {}, nullptr, {name, "A", "10.1.0.1", ""});
    EXPECT_TRUE(result) << (result ? "" : result.error());
    return result ? *result : json();
  }
  /// Why the rule `text` lost; "" where it isn't among the losers.
  static std::string why(const json& result, const std::string& text) {
    for (const json& other : result["others"])
      if (other["text"] == text) return other["why"].get<std::string>();
    return "";
  }

  Generations generations_;
  std::shared_ptr<const Generation> generation_;
};

TEST_F(Explain, NamesTheWinnerAndWhyTheOthersLost) {
  rules({{"first", R"("corp forward corp-dns", "=a.corp block nodata id=exact", "*.corp block drop")"},
         {"second", R"("=a.corp system", "a.corp system", "localhost block refused")"}});
  json result = ask("a.corp");
  EXPECT_EQ(result["rule"]["text"], "=a.corp block nodata");
  EXPECT_EQ(result["rule"]["id"], "exact");
  EXPECT_EQ(result["rule"]["set"], "first");
  EXPECT_EQ(result["others"].size(), 4u);
  EXPECT_EQ(why(result, "corp forward corp-dns"), "its name is shorter");
  EXPECT_EQ(why(result, "*.corp block drop"), "its name is shorter");
  EXPECT_THAT(why(result, "a.corp system"), HasSubstr("over the plain suffix"));
  EXPECT_EQ(why(result, "=a.corp system"), "its rule set comes later");
  EXPECT_EQ(result["then"], nullptr);
  EXPECT_EQ(result["watch"], nullptr);
  result = ask("localhost");
  EXPECT_EQ(result["rule"]["set"], "second");
  ASSERT_EQ(result["others"].size(), 1u);
  EXPECT_EQ(result["others"][0]["set"], "built-in");
  EXPECT_EQ(result["others"][0]["why"], "a user's rule wins over zones and built-in names");
}

TEST_F(Explain, BuiltinNamesAreRulesLikeOthers) {
  rules({{"first", R"("arpa forward corp-dns")"}});
  const json result = ask("1.0.0.10.in-addr.arpa");
  EXPECT_EQ(result["rule"]["text"], "10.in-addr.arpa block nxdomain");
  EXPECT_EQ(result["rule"]["set"], "built-in");
  EXPECT_EQ(result["outcome"], "blocked: NXDOMAIN");
  EXPECT_EQ(why(result, "arpa forward corp-dns"), "its name is shorter");
}

TEST_F(Explain, ASystemRuleHasASecondStep) {
  rules({{"first", R"("corp forward corp-dns", "a.corp system", "*.localhost system")"}});
  json result = ask("x.a.corp");
  EXPECT_EQ(result["rule"]["text"], "a.corp system");
  EXPECT_EQ(result["then"], nullptr);
  EXPECT_THAT(result["outcome"].get<std::string>(), HasSubstr("default upstream internet"));
  EXPECT_EQ(why(result, "corp forward corp-dns"),
            "its name is shorter; and `system` passes over all users' rules");
  result = ask("x.localhost");
  EXPECT_EQ(result["rule"]["text"], "*.localhost system");
  EXPECT_THAT(result["then"]["text"].get<std::string>(), HasSubstr("localhost answer A 127.0.0.1"));
  EXPECT_EQ(result["then"]["set"], "built-in");
  EXPECT_TRUE(result["others"].empty()) << "what decides at last has not lost";
  EXPECT_EQ(result["outcome"], "answered at once by the rule");
}

TEST_F(Explain, ShowsTheWatchThatFires) {
  rules(
      {{"first", R"("a.corp forward corp-dns", "corp watch", "a.corp watch id=eye", "b.a.corp block drop")"},
       {"second", R"("a.corp watch", "*.c.corp watch")"}});
  json result = ask("x.a.corp");
  EXPECT_EQ(result["rule"]["text"], "a.corp forward corp-dns");
  EXPECT_EQ(result["watch"]["text"], "a.corp watch");
  EXPECT_EQ(result["watch"]["id"], "eye");
  EXPECT_EQ(result["watch"]["set"], "first");
  EXPECT_EQ(why(result, "corp watch"), "another watch fires: its name is shorter");
  EXPECT_EQ(why(result, "a.corp watch"), "another watch fires: its rule set comes later");
  result = ask("b.a.corp");
  EXPECT_EQ(result["watch"], nullptr);
  EXPECT_EQ(why(result, "a.corp watch"), "it would not have won: its name is shorter");
  result = ask("x.c.corp");
  EXPECT_EQ(result["rule"], nullptr);
  EXPECT_EQ(result["watch"]["text"], "*.c.corp watch");
  EXPECT_EQ(result["watch"]["set"], "second");
  EXPECT_THAT(result["outcome"].get<std::string>(), HasSubstr("no rule decides"));
}

}  // namespace
}  // namespace shunt::control
