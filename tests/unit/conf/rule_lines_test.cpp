// Rule lines: every form, every mistake with its place and hint, and rules turned back into text.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "conf/rule_lines.h"
#include "tests/unit/conf/rule_lines_fixture.h"

namespace shunt::conf {
namespace {

using rules::Action;
using rules::Cover;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

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

/// The reverse name of an address (RFC 1035 section 3.5, RFC 3596 section 2.5), written by hand.
std::string reverse_name(const IpAddress& a) {
  std::string text;
  if (a.is_v4()) {
    for (int i = 15; i >= 12; --i)
      text += std::to_string(a.octets[static_cast<std::size_t>(i)]) + ".";
    return text + "in-addr.arpa";
  }
  for (int i = 15; i >= 0; --i)
    for (const unsigned shift : {0u, 4u})
      text += std::string(1, "0123456789abcdef"[a.octets[static_cast<std::size_t>(i)] >> shift & 0xfu]) + ".";
  return text + "ip6.arpa";
}

TEST_F(RuleLines, PrefixesOfBothFamiliesCoverByEveryBit) {
  std::mt19937 random(7);
  for (unsigned round = 0; round < 3 * (33 + 129); ++round) {
    const bool v4 = round % (33 + 129) < 33;
    const unsigned first = v4 ? 96 : 0;  // an address of IPv4 is the end of one of IPv6
    const unsigned length = v4 ? 96 + round % (33 + 129) : round % (33 + 129) - 33;
    std::uint8_t octets[16];
    for (std::uint8_t& octet : octets)
      octet = static_cast<std::uint8_t>(random());
    octets[0] = 0x20;
    const IpAddress network = [&] {
      IpAddress masked = v4 ? IpAddress::v4(octets) : IpAddress::v6(octets);
      for (unsigned bit = length; bit < 128; ++bit)
        masked.octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> bit % 8));
      return masked;
    }();
    const Prefix prefix{network, static_cast<std::uint8_t>(length)};
    rules_of(prefix.to_string() + " system");
    for (unsigned sample = 0; sample < 8; ++sample) {
      IpAddress inside = network;
      for (unsigned bit = length; bit < 128; ++bit)
        if (sample > 0 && (sample == 1 || random() % 2 == 0))
          inside.octets[bit / 8] |= static_cast<std::uint8_t>(0x80u >> bit % 8);
      const auto covered = [&](const IpAddress& a) {
        return !built_.set->find_all(dns::parse_name(reverse_name(a)).value()).empty();
      };
      ASSERT_TRUE(covered(inside)) << prefix.to_string() << " " << inside.to_string();
      for (unsigned bit = first; bit < 128; ++bit) {
        IpAddress flipped = inside;
        flipped.octets[bit / 8] ^= static_cast<std::uint8_t>(0x80u >> bit % 8);
        ASSERT_EQ(covered(flipped), bit >= length) << prefix.to_string() << " " << flipped.to_string();
      }
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
  EXPECT_THAT(message("a watch this"), HasSubstr("nothing is expected here"));
  EXPECT_THAT(message("a \"b system"), HasSubstr("never closed"));
}

TEST_F(RuleLines, WatchesStandBesideOtherRules) {
  list({"a.corp watch id=eye", "a.corp forward cloud", "*.a.corp watch", "10.0.0.0/15 watch"});
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_THAT(texts(), ElementsAre("a.corp forward cloud"));
  ASSERT_NE(built_.watches, nullptr);
  std::vector<std::string> watches;
  for (const rules::RuleIndex i : built_.watches->rules())
    watches.push_back(rule_text(*built_.watches, i, nullptr));
  EXPECT_THAT(watches, ElementsAre("a.corp watch", "*.a.corp watch", "0.10.in-addr.arpa watch",
                                   "1.10.in-addr.arpa watch"));
  EXPECT_EQ(built_.id_of(built_.watches->rule(0).line), "eye");
  EXPECT_EQ(built_.rules(), 5u);

  list({"a.corp watch", "b.corp system", "A.corp watch"});
  build();
  ASSERT_THAT(errors_, SizeIs(1));
  EXPECT_THAT(errors_[0].message, HasSubstr("\"a.corp\" is watched already, at shunt.toml:30"));
  list({"b.corp system"});
  build();
  EXPECT_EQ(built_.watches, nullptr);
}

TEST_F(RuleLines, AListMayBeWatched) {
  source_.list_action = "watch";
  list({"a.corp", "0.0.0.0 b.corp", "a.corp"});
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  ASSERT_NE(built_.watches, nullptr);
  EXPECT_EQ(built_.watches->size(), 2u);
  EXPECT_EQ(built_.set->size(), 0u);
}

TEST_F(RuleLines, MistakesInAnswers) {
  EXPECT_THAT(message("a answer"), HasSubstr("type and its data"));
  EXPECT_THAT(message("a answer A"), HasSubstr("type and its data"));
  EXPECT_THAT(mistake("a answer AAA 192.0.2.1").hint, HasSubstr("\"A"));
  EXPECT_THAT(message("a answer ANY x"), HasSubstr("no record type"));
  EXPECT_THAT(message("a answer TYPE65536 \\# 0"), HasSubstr("no record type"));
  EXPECT_THAT(message("a answer TYPE1x \\# 0"), HasSubstr("no record type"));
  EXPECT_THAT(message("a answer A \\# 0"), HasSubstr("malformed"));
  EXPECT_THAT(message("a answer HTTPS 1 b \\# 2 0a0b"), HasSubstr("malformed"));
  EXPECT_THAT(message("a answer HTTPS \\# 5 0001000a0b"), HasSubstr("malformed"));
  EXPECT_THAT(message("a answer HTTPS \\# 15 000100000300020035000300020035"), HasSubstr("malformed"))
      << "a key that is there twice";
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
        "a\\|\\^\\,\\'\\`b system", "z answer HTTPS \\# 10 00010000040003010203"});
  build();
  ASSERT_THAT(errors_, IsEmpty()) << to_text(errors_);
  const auto before = texts();
  list(before);
  build();
  EXPECT_THAT(errors_, IsEmpty()) << to_text(errors_);
  EXPECT_EQ(texts(), before);
}

}  // namespace
}  // namespace shunt::conf
