// Rule lines: every form, every mistake with its place and hint, files, lists, and rules turned back into
// text.
#include "conf/rule_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace shunt::conf {
namespace {

using rules::Action;
using rules::Cover;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const dns::HashKey kKey{};

/// ".0.0.0": so many.
std::string zeros(unsigned count) {
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
    EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
    return texts();
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> texts;
    if (!built_.set) return texts;
    for (std::size_t i = 0; i < built_.set->size(); ++i)
      texts.push_back(texts_at(i));
    return texts;
  }
  std::string texts_at(std::size_t i) const {
    return rule_text(*built_.set, static_cast<rules::RuleIndex>(i),
                     [this](std::uint32_t handle) { return config_.upstreams.at(handle - 100).name; });
  }
  /// The one mistake of one line.
  Diagnostic mistake(std::string line) {
    list({std::move(line)});
    build();
    EXPECT_THAT(errors_, SizeIs(1)) << to_text(errors_);
    return errors_.empty() ? Diagnostic{} : errors_[0];
  }
  std::string message(std::string line) { return mistake(std::move(line)).message; }

  Config config_;
  RuleSet source_;
  std::string file_;
  std::vector<Diagnostic> errors_;
  BuiltRuleSet built_;
};

TEST_F(RuleLines, Names) {
  EXPECT_THAT(rules_of("onprem.corp system"), ElementsAre("onprem.corp system"));
  EXPECT_THAT(rules_of("OnPrem.CORP. system"), ElementsAre("onprem.corp system"));
  EXPECT_THAT(rules_of("*.onprem.corp system"), ElementsAre("*.onprem.corp system"));
  EXPECT_THAT(rules_of("=www.onprem.corp system"), ElementsAre("=www.onprem.corp system"));
  EXPECT_THAT(rules_of(". system"), ElementsAre(". system"));
  EXPECT_THAT(rules_of("=. system"), ElementsAre("=. system"));
  EXPECT_THAT(rules_of("*. system"), ElementsAre("*.. system"));
  EXPECT_THAT(rules_of("_dns.a\\.b.\\003x system"), ElementsAre("_dns.a\\.b.\\003x system"));
  EXPECT_THAT(rules_of("\"a.b\" system"), ElementsAre("a.b system"));
  EXPECT_THAT(rules_of("\\*.b system"), ElementsAre("\\*.b system"));
  EXPECT_THAT(rules_of("0/25.2.0.192.in-addr.arpa system"),
              ElementsAre("0\\/25.2.0.192.in-addr.arpa system"));
  EXPECT_THAT(rules_of("xn--bcher-kva.example system"), ElementsAre("xn--bcher-kva.example system"));
}

TEST_F(RuleLines, RootBelowReadsBack) {
  rules_of("*.. system");
  EXPECT_EQ(built_.set->rule(0).cover, Cover::kBelow);
  EXPECT_EQ(built_.set->rule(0).labels, 0);
}

TEST_F(RuleLines, Actions) {
  EXPECT_THAT(rules_of("a forward cloud"), ElementsAre("a forward cloud"));
  EXPECT_EQ(built_.set->rule(0).action, Action::kForward);
  EXPECT_EQ(built_.set->rule(0).argument, 101u);
  const std::map<std::string, Action> actions = {{"system", Action::kSystem},
                                                 {"block nxdomain", Action::kBlockNxdomain},
                                                 {"block nodata", Action::kBlockNodata},
                                                 {"block refused", Action::kBlockRefused},
                                                 {"block drop", Action::kBlockDrop}};
  for (const auto& [text, action] : actions) {
    EXPECT_THAT(rules_of("  a\t " + text + "   # why"), ElementsAre("a " + text));
    EXPECT_EQ(built_.set->rule(0).action, action);
  }
}

TEST_F(RuleLines, EmptyLinesAndComments) {
  list({"", "   ", "# a b c", "\t# \"", "a system#x", "b system # \"unclosed"});
  build();
  EXPECT_THAT(errors_, IsEmpty());
  EXPECT_THAT(texts(), ElementsAre("a system", "b system"));
}

TEST_F(RuleLines, Ipv4PrefixesBecomeExactlyTheirZones) {
  EXPECT_THAT(rules_of("10.20.0.0/15 system"),
              ElementsAre("20.10.in-addr.arpa system", "21.10.in-addr.arpa system"));
  EXPECT_THAT(rules_of("10.0.0.0/8 system"), ElementsAre("10.in-addr.arpa system"));
  EXPECT_THAT(rules_of("192.0.2.0/24 system"), ElementsAre("2.0.192.in-addr.arpa system"));
  EXPECT_THAT(rules_of("192.0.2.6/31 system"),
              ElementsAre("6.2.0.192.in-addr.arpa system", "7.2.0.192.in-addr.arpa system"));
  EXPECT_THAT(rules_of("192.0.2.1/32 system"), ElementsAre("1.2.0.192.in-addr.arpa system"));
  EXPECT_THAT(rules_of("0.0.0.0/0 system"), ElementsAre("in-addr.arpa system"));
  const auto half = rules_of("192.0.2.128/25 system");
  ASSERT_THAT(half, SizeIs(128));
  EXPECT_EQ(half.front(), "128.2.0.192.in-addr.arpa system");
  EXPECT_EQ(half.back(), "255.2.0.192.in-addr.arpa system");
  EXPECT_THAT(rules_of("128.0.0.0/1 system"), SizeIs(128));
}

TEST_F(RuleLines, Ipv6PrefixesBecomeExactlyTheirZones) {
  EXPECT_THAT(rules_of("fd00::/8 system"), ElementsAre("d.f.ip6.arpa system"));
  EXPECT_THAT(rules_of("fd00:12::/32 system"), ElementsAre("2.1.0.0.0.0.d.f.ip6.arpa system"));
  const auto four = ElementsAre("0.1.0.0.0.0.d.f.ip6.arpa system", "1.1.0.0.0.0.d.f.ip6.arpa system",
                                "2.1.0.0.0.0.d.f.ip6.arpa system", "3.1.0.0.0.0.d.f.ip6.arpa system");
  EXPECT_THAT(rules_of("fd00:10::/30 system"), four);
  EXPECT_THAT(rules_of("fd00:12::/30 system"), four) << "bits within the last label don't count";
  EXPECT_THAT(rules_of("8000::/1 system"), SizeIs(8));
  EXPECT_THAT(rules_of("::/0 system"), ElementsAre("ip6.arpa system"));
  EXPECT_THAT(rules_of("::1/128 system"), ElementsAre("1" + zeros(31) + ".ip6.arpa system"));
  EXPECT_THAT(message("fd00:12::1/30 system"), HasSubstr("bits set"));
}

TEST_F(RuleLines, EveryPrefixLengthCoversItsAddressesAndNoOthers) {
  for (unsigned length = 0; length <= 32; ++length) {
    const std::uint32_t mask = length == 0 ? 0 : ~std::uint32_t{0} << (32 - length);
    const std::uint32_t network = 0xc6336495u & mask;
    const auto dotted = [](std::uint32_t a, bool reverse) {
      std::string text;
      for (unsigned i = 0; i < 4; ++i) {
        const unsigned octet = a >> (reverse ? 8 * i : 24 - 8 * i) & 0xff;
        text += (i == 0 ? "" : ".") + std::to_string(octet);
      }
      return text;
    };
    rules_of(dotted(network, false) + "/" + std::to_string(length) + " system");
    for (const std::uint32_t a : {network, network | ~mask, network - 1, (network | ~mask) + 1}) {
      const auto name = dns::parse_name(dotted(a, true) + ".in-addr.arpa").value();
      EXPECT_EQ(!built_.set->find_all(name).empty(), (a & mask) == network)
          << dotted(a, false) << "/" << length;
    }
  }
}

TEST_F(RuleLines, AnswersAddUp) {
  list({"=a answer A 192.0.2.1", "=a answer A 192.0.2.2 ttl=5", "=a answer TXT \"x # y\" z",
        "=b answer AAAA 2001:db8::1", "*.c answer CNAME web.example", "d answer TYPE65280 \\# 2 0a0B",
        "e answer TYPE65280 \\# 0"});
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_THAT(texts(), ElementsAre("=a answer A 192.0.2.1 + A 192.0.2.2 ttl=5 + TXT \"x # y\" \"z\"",
                                   "=b answer AAAA 2001:db8::1", "*.c answer CNAME web.example.",
                                   "d answer TYPE65280 \\# 2 0a0b", "e answer TYPE65280 \\# 0"));
  const rules::AnswerGroup* cname = built_.set->answer(built_.set->rule(2).argument).find(5);
  ASSERT_NE(cname, nullptr);
  const std::vector<std::uint8_t> expected{0xc0, 0x0c, 0,   5, 0,   1,   0,   0,   0,   60,  0,   13, 3,
                                           'w',  'e',  'b', 7, 'e', 'x', 'a', 'm', 'p', 'l', 'e', 0};
  EXPECT_EQ(cname->wire, expected);
}

TEST_F(RuleLines, OptionsInEitherOrder) {
  list({"=a answer A 192.0.2.1 ttl=0 id=one", "=b answer A 192.0.2.1 id=\"two words\" ttl=7",
        "c system id=three", "=d answer TXT \"ttl=9\"", "e system"});
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_EQ(built_.id_of(0), "one");
  EXPECT_EQ(built_.id_of(1), "two words");
  EXPECT_EQ(built_.id_of(2), "three");
  EXPECT_EQ(built_.id_of(4), "");
  EXPECT_EQ(texts()[0], "=a answer A 192.0.2.1 ttl=0");
  EXPECT_EQ(texts()[1], "=b answer A 192.0.2.1 ttl=7");
  EXPECT_EQ(texts()[3], "=d answer TXT \"ttl=9\"");
}

TEST_F(RuleLines, MistakesInNames) {
  EXPECT_THAT(message("a..b system"), HasSubstr("empty label"));
  EXPECT_THAT(message(std::string(64, 'a') + " system"), HasSubstr("63"));
  EXPECT_THAT(message("bücher.example system"), HasSubstr("A-label"));
  EXPECT_THAT(message("a.*.b system"), HasSubstr("in front"));
  EXPECT_THAT(message("*a.b system"), HasSubstr("in front"));
  EXPECT_THAT(message("* system"), HasSubstr("in front"));
  EXPECT_THAT(message("=*.a system"), HasSubstr("only one of them"));
  EXPECT_THAT(message("= system"), HasSubstr("must follow"));
  EXPECT_THAT(message("||ads.example^ system"), HasSubstr("has no \"|\""));
  EXPECT_THAT(message("onprem.corp, system"), HasSubstr("has no \",\""));
  EXPECT_THAT(message("192.0.2.1 system"), HasSubstr("192.0.2.1/32"));
  EXPECT_THAT(message("fd00::1 system"), HasSubstr("fd00::1/128"));
  EXPECT_THAT(message("10.20.0.0/33 system"), HasSubstr("0 to 32"));
  EXPECT_THAT(message("10.20.0.0/x system"), HasSubstr("0 to 32"));
  EXPECT_THAT(message("10.20.0/15 system"), HasSubstr("not an IPv4"));
  EXPECT_THAT(message("10.20.0.1/15 system"), HasSubstr("10.20.0.0/15"));
  EXPECT_THAT(message("=10.0.0.0/8 system"), HasSubstr("takes no ="));
}

TEST_F(RuleLines, MistakesInActions) {
  Diagnostic d = mistake("onprem.corp froward corp-dns");
  EXPECT_EQ(d.file, "shunt.toml");
  EXPECT_EQ(d.position.line, 30u);
  EXPECT_EQ(d.position.column, 5u + 1 + 12);
  EXPECT_EQ(d.hint, "did you mean \"forward\"?");
  d = mistake("onprem.corp forward corp-dsn");
  EXPECT_THAT(d.message, HasSubstr("no upstream \"corp-dsn\""));
  EXPECT_EQ(d.hint, "did you mean \"corp-dns\"?");
  EXPECT_EQ(d.position.column, 5u + 1 + 20);
  EXPECT_THAT(mistake("onprem.corp").hint, HasSubstr("forward UPSTREAM"));
  EXPECT_THAT(mistake("forward onprem.corp corp-dns").hint, HasSubstr("name comes first"));
  EXPECT_THAT(mistake("a forward").hint, HasSubstr("cloud"));
  EXPECT_THAT(message("a block"), HasSubstr("nxdomain, nodata, refused, drop"));
  EXPECT_THAT(mistake("a block nxdomian").hint, HasSubstr("nxdomain"));
  EXPECT_THAT(message("a system now"), HasSubstr("nothing is expected here"));
  EXPECT_THAT(message("a block drop drop"), HasSubstr("nothing is expected here"));
  EXPECT_THAT(message("a forward cloud internet"), HasSubstr("nothing is expected here"));
  EXPECT_THAT(message("a watch"), HasSubstr("not available in this version"));
  EXPECT_THAT(message("a \"b system"), HasSubstr("never closed"));
}

TEST_F(RuleLines, MistakesInAnswers) {
  EXPECT_THAT(message("a answer"), HasSubstr("type and its data"));
  EXPECT_THAT(message("a answer A"), HasSubstr("type and its data"));
  EXPECT_THAT(mistake("a answer AAA 192.0.2.1").hint, HasSubstr("\"A"));
  EXPECT_THAT(message("a answer ANY x"), HasSubstr("no record type"));
  EXPECT_THAT(message("a answer TYPE65536 \\# 0"), HasSubstr("no record type"));
  EXPECT_THAT(message("a answer TYPE1x \\# 0"), HasSubstr("no record type"));
  EXPECT_THAT(message("a answer A \\# 0"), HasSubstr("malformed"));
  EXPECT_THAT(message("a answer TYPE41 \\# 0"), HasSubstr("no record type"));
  EXPECT_THAT(message("a answer A 192.0.2"), HasSubstr("no data of type A"));
  EXPECT_THAT(message("a answer A 192.0.2.1 192.0.2.2"), HasSubstr("no data of type A"));
  EXPECT_THAT(message("a answer TXT a;b"), HasSubstr("comment"));
  EXPECT_THAT(message("a answer TXT \"x\001\""), HasSubstr("control character"));
  EXPECT_THAT(message("a answer TYPE5 \\# 2 c00c"), HasSubstr("no data of type"));
  EXPECT_THAT(message("a answer A 192.0.2.1 ttl=x"), HasSubstr("ttl= takes seconds"));
  EXPECT_THAT(message("a answer A 192.0.2.1 ttl=2147483648"), HasSubstr("ttl= takes seconds"));
  EXPECT_THAT(message("a answer A 192.0.2.1 ttl=1 ttl=2"), HasSubstr("twice"));
  EXPECT_THAT(message("a system ttl=1"), HasSubstr("belongs to answer"));
  EXPECT_THAT(message("a system id="), HasSubstr("1 to 128"));
  EXPECT_THAT(message("a system id=a id=b"), HasSubstr("twice"));
  EXPECT_EQ(mistake("a answer A 192.0.2").position.column, 5u + 1 + 11);
}

TEST_F(RuleLines, DuplicatesNameBothLines) {
  list({"a system", "b system"});
  file("# comment\nA. block drop\n");
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_EQ(errors_[0].file, file_);
  EXPECT_EQ(errors_[0].position.line, 2u);
  EXPECT_EQ(errors_[0].position.column, 1u);
  EXPECT_EQ(errors_[0].source_line, "A. block drop");
  EXPECT_THAT(errors_[0].message, HasSubstr("at shunt.toml:30"));
}

TEST_F(RuleLines, LinesTellWhereTheyWereWritten) {
  list({"a system", "b system"});
  file("c system\n\nd system id=dee");
  build();
  ASSERT_THAT(errors_, IsEmpty());
  const auto where = [&](rules::RuleIndex i) {
    return built_.describe_line(config_, source_, built_.set->rule(i).line);
  };
  EXPECT_EQ(where(0), "shunt.toml:30");
  EXPECT_EQ(where(1), "shunt.toml:31");
  EXPECT_EQ(where(2), file_ + ":1");
  EXPECT_EQ(where(3), file_ + ":3");
  EXPECT_EQ(built_.id_of(built_.set->rule(3).line), "dee");
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
  for (std::size_t i = 0; i < lines; i += 997)
    EXPECT_EQ(texts_at(i), "n" + std::to_string(i) + std::string(i % 50, 'x') + ".corp forward cloud");
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

TEST_F(RuleLines, AnswersThatCanNotStandTogether) {
  list({"=a answer CNAME b", "=a answer A 192.0.2.1", "=c answer A 192.0.2.1", "=c answer A 192.0.2.1 ttl=5",
        "=c system"});
  build();
  ASSERT_THAT(errors_, SizeIs(3));
  EXPECT_THAT(errors_[0].message, HasSubstr("CNAME is alone"));
  EXPECT_THAT(errors_[0].message, HasSubstr("shunt.toml:30"));
  EXPECT_THAT(errors_[1].message, HasSubstr("shunt.toml:32"));
  EXPECT_THAT(errors_[2].message, HasSubstr("shunt.toml:32"));
  std::string text = "b answer TXT";
  for (int i = 0; i < 6; ++i)
    text += " \"" + std::string(200, 'x') + "\"";
  EXPECT_THAT(message(text), HasSubstr("1152"));
}

TEST_F(RuleLines, TextsReadBackAsTheSameRules) {
  list({"*.. system", "\\=a.\\*.b\\#c system", "=\\049.2.3.4 block drop", "x\\/25 system",
        "\\000\\255\\032.y system", "*.a\\.b answer TXT \"\\\"quoted\\\" \\\\ text\" ttl=3",
        "a\\|\\^\\,\\'\\`b system"});
  build();
  ASSERT_THAT(errors_, IsEmpty()) << to_text(errors_);
  const auto before = texts();
  list(before);
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_EQ(texts(), before);
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
  for (const char* zone : {"0", "10", "16.172", "31.172", "168.192", "254.169", "2.0.192", "100.51.198",
                           "113.0.203", "255.255.255.255"})
    EXPECT_EQ(text_for(std::string("7.") + zone + ".in-addr.arpa"),
              std::string(zone) + ".in-addr.arpa block nxdomain");
  for (const char* name : {"15.172.in-addr.arpa", "32.172.in-addr.arpa", "11.in-addr.arpa", "c.f.ip6.arpa",
                           "7.e.f.ip6.arpa", "c.e.f.ip6.arpa", "example.com", "."})
    EXPECT_EQ(text_for(name), "") << name;
  for (rules::RuleIndex i = 0; i < set->size(); ++i)
    EXPECT_EQ(set->rule(i).cover, Cover::kSuffix);
}

}  // namespace
}  // namespace shunt::conf
