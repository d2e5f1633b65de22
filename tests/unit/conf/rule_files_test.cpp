// Rules from files, lists of bare names, hosts files, and the built-in rules.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "conf/rule_lines.h"
#include "tests/unit/conf/rule_lines_fixture.h"

namespace shunt::conf {
namespace {

using rules::Cover;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(RuleLines, LinesTellWhereTheyWereWritten) {
  list({"a system", "b system"});
  file("c system\n\nd system id=dee");
  build();
  ASSERT_THAT(errors_, IsEmpty());
  std::vector<std::string> where;
  std::string_view last_id;
  for (const rules::RuleIndex i : built_.set->rules()) {
    const std::uint32_t line = built_.set->rule(i).line;
    where.push_back(built_.describe_line(config_, source_, line));
    last_id = built_.id_of(line);
  }
  EXPECT_THAT(where, ElementsAre("shunt.toml:30", "shunt.toml:31", file_ + ":1", file_ + ":3"));
  EXPECT_EQ(last_id, "dee");
}

TEST_F(RuleLines, FilesInAllTheirShapes) {
  file(
      "\xef\xbb\xbf"
      "a system\r\n\r\nb system\r\nc system");
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_THAT(texts(), ElementsAre("a system", "b system", "c system"));
  file("");
  build();
  EXPECT_THAT(errors_, IsEmpty());
  EXPECT_EQ(built_.set->size(), 0u);
}

TEST_F(RuleLines, ColumnsCountCharacters) {
  file("a system\nb \"äöü\" system\n");
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_EQ(errors_[0].position.column, 3u);
  file("b id=\"äöü\" x");
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_EQ(errors_[0].position.column, 3u);
  file("\"äöü\" sistem");
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_EQ(errors_[0].position.column, 7u);
}

TEST_F(RuleLines, FilesThatCanNotBeRead) {
  source_.file = "/nonexistent/corp.rules";
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_EQ(errors_[0].file, "shunt.toml");
  EXPECT_EQ(errors_[0].position.line, 20u);
  EXPECT_THAT(errors_[0].message, HasSubstr("No such file"));
  source_.file = "/dev/zero";
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_THAT(errors_[0].message, HasSubstr("not a regular file"));
  source_.file = "/";
  build();
  EXPECT_THAT(errors_, SizeIs(1));
}

TEST_F(RuleLines, EndlessLinesAreToldAndPassedOver) {
  file("a system\n" + std::string(3 << 20, 'x') + "\nb system\n" + std::string(kMaxRuleLine + 1, ' ') +
       "\nc system\n" + std::string(kMaxRuleLine, ' ') + "\n" + std::string(2 << 20, 'y'));
  build();
  ASSERT_THAT(errors_, SizeIs(3));
  EXPECT_EQ(errors_[0].position.line, 2u);
  EXPECT_EQ(errors_[1].position.line, 4u);
  EXPECT_EQ(errors_[2].position.line, 7u);
  EXPECT_THAT(errors_[0].message, HasSubstr("65535"));
  EXPECT_LT(errors_[0].source_line.size(), 5000u);
  EXPECT_THAT(texts(), ElementsAre("a system", "b system", "c system"));
}

TEST_F(RuleLines, LinesAcrossBuffersStayWhole) {
  std::string text;
  std::size_t lines = 0;
  for (; text.size() < std::size_t{5} << 20; ++lines)
    text += "n" + std::to_string(lines) + std::string(lines % 50, 'x') + ".corp forward cloud\n";
  file(text);
  build();
  EXPECT_THAT(errors_, IsEmpty());
  ASSERT_EQ(built_.set->size(), lines);
  const std::vector<std::string> all = texts();
  for (std::size_t i = 0; i < lines; i += 997)
    EXPECT_EQ(all[i], "n" + std::to_string(i) + std::string(i % 50, 'x') + ".corp forward cloud");
}

TEST_F(RuleLines, MoreThanRulesMemoryIsRefused) {
  std::string text;
  for (int i = 0; i < 60'000; ++i)
    text += "n" + std::to_string(i) + ".corp system\n";
  file(text);
  config_.dataplane.rules_memory = 1 << 20;
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_THAT(errors_[0].message, HasSubstr("rules_memory = 1 MiB"));
  EXPECT_LT(built_.set->size(), 60'000u);
  config_.dataplane.rules_memory = 16 << 20;
  build();
  EXPECT_THAT(errors_, IsEmpty());
}

TEST_F(RuleLines, ManyMistakesAreCounted) {
  std::string text;
  for (int i = 0; i < 100; ++i)
    text += "a" + std::to_string(i) + " block\n";
  file(text);
  build(10);
  ASSERT_THAT(errors_, SizeIs(11));
  EXPECT_EQ(errors_[9].position.line, 10u);
  EXPECT_THAT(errors_[10].message, HasSubstr("90 more"));
}

TEST_F(RuleLines, ListActionTakesBareNamesAndHostsFiles) {
  source_.list_action = "block nxdomain";
  file(
      "ads.example.com\n"
      "*.tracker.example\n"
      "=one.example # alone\n"
      "good.example system\n"
      "127.0.0.1 localhost localhost.localdomain local\n"
      "255.255.255.255 broadcasthost\n"
      "::1 localhost ip6-localhost ip6-loopback\n"
      "0.0.0.0 0.0.0.0\n"
      "0.0.0.0 bad.example\tworse.example id=h # both\n"
      ":: sixth.example\n"
      "10.0.0.0/8\n"
      "ADS.example.com.\n"
      "0.0.0.0 bad.example\n");
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_THAT(texts(), ElementsAre("ads.example.com block nxdomain", "*.tracker.example block nxdomain",
                                   "=one.example block nxdomain", "good.example system",
                                   "=bad.example block nxdomain", "=worse.example block nxdomain",
                                   "=sixth.example block nxdomain", "10.in-addr.arpa block nxdomain"));
}

TEST_F(RuleLines, ListActionTakesEveryAction) {
  source_.list_action = "answer A 192.0.2.9 ttl=5";
  EXPECT_THAT(rules_of("a.example"), ElementsAre("a.example answer A 192.0.2.9 ttl=5"));
  file("a.example\n0.0.0.0 b.example\n");
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_THAT(texts(), SizeIs(2));
  source_.list_action = "forward cloud";
  build();
  EXPECT_THAT(texts(), ElementsAre("a.example forward cloud", "=b.example forward cloud"));
}

TEST_F(RuleLines, MistakesAroundListAction) {
  source_.list_action = "block nxdomain";
  EXPECT_THAT(message("192.0.2.1"), HasSubstr("without names"));
  EXPECT_THAT(message("192.0.2.1 *.a"), HasSubstr("plain names"));
  EXPECT_THAT(message("192.0.2.1 a..b"), HasSubstr("empty label"));
  EXPECT_THAT(message("192.0.2.1 forward cloud"), HasSubstr("192.0.2.1/32"));
  EXPECT_THAT(message("a.example b.example"), HasSubstr("no action"));
  EXPECT_THAT(message("a.example ttl=5"), HasSubstr("belongs to answer"));
  EXPECT_THAT(message("192.0.2.1 a ttl=5"), HasSubstr("belongs to answer"));
  list({"a.example system", "a.example"});
  build();
  ASSERT_THAT(errors_, SizeIs(1)) << "another action is a contradiction, not a repetition";
  EXPECT_THAT(errors_[0].message, HasSubstr("shunt.toml:30"));
  list({"a.example"});
  for (const char* wrong :
       {"blok nxdomain", "block", "forward nowhere", "answer A x", "block drop id=x", " ", "\"x"}) {
    source_.list_action = wrong;
    build();
    ASSERT_THAT(errors_, SizeIs(1)) << wrong;
    EXPECT_THAT(errors_[0].message, HasSubstr("list_action")) << wrong;
    EXPECT_EQ(errors_[0].position.line, 20u);
  }
}

TEST(BuiltinRules, AnswerLocalhostAndKeepPrivateZonesHere) {
  const auto set = build_builtin_rules(kKey);
  const auto text_for = [&](std::string_view text) -> std::string {
    const auto all = set->find_all(dns::parse_name(text).value());
    return all.empty() ? "" : rule_text(*set, all[0], [](std::uint32_t) { return ""; });
  };
  EXPECT_EQ(text_for("a.localhost"), "localhost answer A 127.0.0.1 + AAAA ::1");
  EXPECT_EQ(text_for("1.0.0.127.in-addr.arpa"), "1.0.0.127.in-addr.arpa answer PTR localhost.");
  EXPECT_EQ(text_for("2.0.0.127.in-addr.arpa"), "127.in-addr.arpa block nxdomain");
  EXPECT_EQ(text_for("1" + zeros(31) + ".ip6.arpa"), "1" + zeros(31) + ".ip6.arpa answer PTR localhost.");
  EXPECT_EQ(text_for("0" + zeros(31) + ".ip6.arpa"), "0" + zeros(31) + ".ip6.arpa block nxdomain");
  EXPECT_EQ(text_for("9.b.e.f.ip6.arpa"), "b.e.f.ip6.arpa block nxdomain");
  EXPECT_EQ(text_for("1.8.b.d.0.1.0.0.2.ip6.arpa"), "8.b.d.0.1.0.0.2.ip6.arpa block nxdomain");
  EXPECT_EQ(text_for("localhost.localdomain"), "localhost.localdomain answer A 127.0.0.1 + AAAA ::1");
  EXPECT_EQ(text_for("a.localdomain"), "localdomain block nxdomain");
  for (const char* zone : {"0", "10", "16.172", "31.172", "168.192", "64.100", "127.100", "254.169",
                           "2.0.192", "100.51.198", "113.0.203", "255.255.255.255"})
    EXPECT_EQ(text_for(std::string("7.") + zone + ".in-addr.arpa"),
              std::string(zone) + ".in-addr.arpa block nxdomain");
  for (const char* name :
       {"15.172.in-addr.arpa", "32.172.in-addr.arpa", "63.100.in-addr.arpa", "128.100.in-addr.arpa",
        "11.in-addr.arpa", "c.f.ip6.arpa", "7.e.f.ip6.arpa", "c.e.f.ip6.arpa", "example.com", "."})
    EXPECT_EQ(text_for(name), "") << name;
  for (const rules::RuleIndex i : set->rules())
    EXPECT_EQ(set->rule(i).cover, Cover::kSuffix);
}

}  // namespace
}  // namespace shunt::conf
