// Zone files: what they say, and what is wrong with them.
#include "conf/zone_file.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "conf/rule_answer.h"
#include "config_text.h"
#include "dataplane/dns/wire.h"

namespace shunt::conf {
namespace {

constexpr std::string_view kHead = "$ORIGIN corp.\n$TTL 300\n@ 1h SOA ns host 1 3600 600 86400 60\n@ NS ns\n";

std::uint16_t number(dns::Type type) {
  return static_cast<std::uint16_t>(type);
}

dns::Name name_of(std::string_view text) {
  return dns::parse_name(text).value_or(dns::Name{});
}

std::shared_ptr<const Zone> read_good(std::string_view text) {
  std::vector<Diagnostic> errors;
  auto zone = read_zone_text(text, "test.zone", errors);
  EXPECT_EQ(to_text(errors), "");
  EXPECT_NE(zone, nullptr);
  return zone;
}

/// The records of a name and type as text, in order.
std::vector<std::string> records(const Zone& zone, std::string_view name, dns::Type type) {
  std::vector<std::string> all;
  const ZoneNode* node = zone.find(name_of(name).octets());
  const RrSet* set = node == nullptr ? nullptr : node->find(number(type));
  if (set == nullptr) return all;
  for (const Rdata* data = set->first; data != nullptr; data = data->next)
    all.push_back(std::to_string(set->ttl) + " " + record_text(set->type, data->octets));
  EXPECT_EQ(all.size(), set->count);
  return all;
}

using Texts = std::vector<std::string>;

TEST(ZoneFile, ReadsRecordsOfAllForms) {
  const auto zone = read_good(std::string(kHead) +
                              "ns A 192.0.2.1 ; a comment\n"
                              "   60 A 192.0.2.2\n"
                              "\tIN AAAA 2001:db8::1\n"
                              "whole.corp. 1h30m IN A 192.0.2.3\r\n"
                              "other IN 7 MX 10 ns\n"
                              "many ( TXT \"a(b;c\"  ; text\n"
                              "  \"second\" )\n"
                              "$ORIGIN sub\n"
                              "@ CNAME ns\n"
                              "raw TYPE65280 \\# 3 010203\n"
                              "$TTL 9\n"
                              "UPPER A 192.0.2.4\n");
  EXPECT_EQ(dns::to_text(zone->apex().octets()), "corp.");
  EXPECT_EQ(zone->soa_line(), 3u);
  EXPECT_EQ(zone->negative_ttl(), 60u);
  EXPECT_EQ(zone->records(), 11u);
  EXPECT_EQ(records(*zone, "ns.corp", dns::Type::kA), (Texts{"60 A 192.0.2.1", "60 A 192.0.2.2"}));
  EXPECT_EQ(records(*zone, "ns.corp", dns::Type::kAaaa), Texts{"300 AAAA 2001:db8::1"});
  EXPECT_EQ(records(*zone, "whole.corp", dns::Type::kA), Texts{"5400 A 192.0.2.3"});
  EXPECT_EQ(records(*zone, "other.corp", dns::Type::kMx), Texts{"7 MX 10 ns.corp."});
  EXPECT_EQ(records(*zone, "many.corp", dns::Type::kTxt), Texts{"300 TXT \"a(b;c\" \"second\""});
  EXPECT_EQ(records(*zone, "sub.corp", dns::Type::kCname), Texts{"300 CNAME ns.sub.corp."});
  EXPECT_EQ(records(*zone, "upper.sub.corp", dns::Type::kA), Texts{"9 A 192.0.2.4"});
  EXPECT_NE(zone->find(name_of("raw.sub.corp").octets())->find(65280), nullptr);
}

TEST(ZoneFile, WithoutOriginTheSoaNamesIt) {
  const auto zone = read_good("corp. 60 SOA ns host 1 2 3 4 5\nwww A 192.0.2.1\n");
  EXPECT_EQ(records(*zone, "www.corp", dns::Type::kA), Texts{"60 A 192.0.2.1"});
  EXPECT_EQ(records(*zone, "corp", dns::Type::kSoa), Texts{"60 SOA ns.corp. host.corp. 1 2 3 4 5"});
}

TEST(ZoneFile, TtlsComeFromTheDirectiveThenTheLastThenTheSoa) {
  EXPECT_EQ(records(*read_good("corp. SOA ns host 1 2 3 4 77\na A 192.0.2.1\n"), "a.corp", dns::Type::kA),
            Texts{"77 A 192.0.2.1"});
  const auto zone =
      read_good("corp. 9 SOA ns host 1 2 3 4 77\na A 192.0.2.1\nb 5 A 192.0.2.1\nc A 192.0.2.1\n");
  EXPECT_EQ(records(*zone, "a.corp", dns::Type::kA), Texts{"9 A 192.0.2.1"});
  EXPECT_EQ(records(*zone, "c.corp", dns::Type::kA), Texts{"5 A 192.0.2.1"});
}

TEST(ZoneFile, NamesBetweenAreEmptyNonTerminals) {
  const auto zone = read_good(std::string(kHead) + "a.b.c A 192.0.2.1\n");
  for (const std::string_view name : {"b.c.corp", "c.corp"}) {
    ASSERT_NE(zone->find(name_of(name).octets()), nullptr) << name;
    EXPECT_EQ(zone->find(name_of(name).octets())->sets, nullptr) << name;
  }
  EXPECT_EQ(zone->find(name_of("d.corp").octets()), nullptr);
  EXPECT_EQ(zone->find(name_of(".").octets()), nullptr);
}

TEST(ZoneFile, ARecordTwiceIsOne) {
  const auto zone = read_good(std::string(kHead) + "a A 192.0.2.1\na A 192.0.2.1\nb CNAME a\nb CNAME a\n");
  EXPECT_EQ(records(*zone, "a.corp", dns::Type::kA).size(), 1u);
}

struct Mistake {
  const char* text;
  std::uint32_t line;
  const char* message;
};

class ZoneFileMistake : public testing::TestWithParam<Mistake> {};

TEST_P(ZoneFileMistake, HasItsLine) {
  std::vector<Diagnostic> errors;
  EXPECT_EQ(read_zone_text(std::string(kHead) + GetParam().text, "test.zone", errors), nullptr);
  ASSERT_EQ(errors.size(), 1u) << to_text(errors);
  EXPECT_EQ(errors[0].file, "test.zone");
  EXPECT_EQ(errors[0].position.line, GetParam().line);
  EXPECT_NE(errors[0].message.find(GetParam().message), std::string::npos) << errors[0].message;
  if (GetParam().line > 0) {
    EXPECT_GT(errors[0].position.column, 0u);
    EXPECT_NE(errors[0].source_line, "");
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, ZoneFileMistake,
    testing::Values(
        Mistake{"a A 192.0.2.256\n", 5, "A record"}, Mistake{"\na A 192.0.2.1 192.0.2.2\n", 6, "superfluous"},
        Mistake{"a MX (\n10\n) ; and no server\n", 5, "MX record"},
        Mistake{"a FOO x\n", 5, "\"FOO\" is no type"}, Mistake{"a ANY x\n", 5, "\"ANY\" is no type"},
        Mistake{"a CH A 192.0.2.1\n", 5, "class CH"}, Mistake{"a 3000000000 A 192.0.2.1\n", 5, "no TTL"},
        Mistake{"a 99999999999 A 192.0.2.1\n", 5, "no TTL"}, Mistake{"a 1x A 192.0.2.1\n", 5, "no TTL"},
        Mistake{"a\n", 5, "has no type"}, Mistake{"a TXT \"open\nb A 192.0.2.1\n", 5, "quote"},
        Mistake{"a A 192.0.2.1 )\n", 5, "closing"},
        Mistake{"a ( A 192.0.2.1\nb A 192.0.2.1\n", 5, "never closed"},
        Mistake{"a A \\# 5 0102030405\n", 5, "not that of"}, Mistake{"a MX \\# 4 000ac00c\n", 5, "MX"},
        Mistake{"b.example. A 192.0.2.1\n", 5, "outside the zone"},
        Mistake{"corp. SOA ns host 1 2 3 4 5\n", 5, "second SOA: the zone's stands in line 3"},
        Mistake{"a SOA ns host 1 2 3 4 5\n", 5, "second SOA"},
        Mistake{"a A 192.0.2.1\na CNAME b\n", 6, "must stand alone"},
        Mistake{"a CNAME b\na TXT x\n", 6, "no other record"}, Mistake{"@ CNAME b\n", 5, "must stand alone"},
        Mistake{"a CNAME b\na CNAME c\n", 6, "second CNAME"},
        Mistake{"a DNAME b\na DNAME c\n", 6, "second DNAME"}, Mistake{"$INCLUDE other\n", 5, "$INCLUDE"},
        Mistake{"$GENERATE 1-2 a A 192.0.2.1\n", 5, "$GENERATE"}, Mistake{"$TTL forever\n", 5, "no time"},
        Mistake{"$ORIGIN\n", 5, "without a name"}, Mistake{"$ORIGIN a..b\n", 5, "no domain name"},
        Mistake{"$FOO\n", 5, "no directive"}, Mistake{"a TXT x\\\n", 5, "backslash"}));

TEST(ZoneFile, AllMistakesAreTold) {
  std::vector<Diagnostic> errors;
  std::string text(kHead);
  for (int i = 0; i < 60; ++i)
    text += "a A x\n";
  EXPECT_EQ(read_zone_text(text, "test.zone", errors), nullptr);
  ASSERT_EQ(errors.size(), 51u);
  EXPECT_EQ(errors[49].position.line, 54u);
  EXPECT_EQ(errors[50].message, "10 more mistakes are not shown");
}

TEST(ZoneFile, TheFirstRecordIsTheSoa) {
  const auto error_of = [](std::string_view text) {
    std::vector<Diagnostic> errors;
    EXPECT_EQ(read_zone_text(text, "test.zone", errors), nullptr);
    EXPECT_EQ(errors.size(), 1u) << to_text(errors);
    return errors.empty() ? std::string() : errors[0].message;
  };
  EXPECT_NE(
      error_of("$ORIGIN corp.\na 1 A 192.0.2.1\nb 1 A 192.0.2.1\n").find("first record must be its SOA"),
      std::string::npos);
  EXPECT_NE(error_of("@ 60 SOA ns host 1 2 3 4 5\nb 1 A 192.0.2.1\n").find("no $ORIGIN"), std::string::npos);
  EXPECT_NE(error_of(" 60 SOA ns host 1 2 3 4 5\n").find("has no name"), std::string::npos);
  EXPECT_NE(error_of("corp\\. 60 SOA ns host 1 2 3 4 5\n").find("relative"), std::string::npos);
  EXPECT_NE(error_of("; nothing\n").find("no SOA"), std::string::npos);
  EXPECT_NE(error_of("").find("no SOA"), std::string::npos);
}

TEST(ZoneFile, WhatFitsNoMessageIsAMistake) {
  std::string text(kHead);
  const std::string piece(250, 'x');
  for (int i = 0; i < 300; ++i)
    text += "a TXT \"" + std::to_string(i) + piece.substr(0, 240) + "\"\n";
  std::vector<Diagnostic> errors;
  EXPECT_EQ(read_zone_text(text, "test.zone", errors), nullptr);
  ASSERT_FALSE(errors.empty());
  EXPECT_NE(errors[0].message.find("more than fit a message"), std::string::npos);
}

// --- [[zone]] in a configuration
// -----------------------------------------------------------------------------

/// A zone file in a folder of the test's own.
class ZoneTables : public testing::Test {
 protected:
  ZoneTables() : folder_(testing::TempDir() + "zones-" + std::to_string(::getpid()) + "/") {
    std::filesystem::create_directories(folder_);
  }
  ~ZoneTables() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& file, std::string_view text) { std::ofstream(folder_ + file) << text; }
  Loaded load(const std::string& tables) { return load_text(above("") + tables, folder_ + "shunt.toml"); }
  std::string errors(const std::string& tables) { return to_text(load(tables).errors); }

  std::string folder_;
};

TEST_F(ZoneTables, AreReadWithTheConfiguration) {
  write("corp.zone", kHead);
  const Loaded loaded = load("[[zone]]\nfile = \"corp.zone\"\nnetworks = [\"prod\"]\n");
  ASSERT_EQ(to_text(loaded.errors), "");
  ASSERT_EQ(loaded.config->zones.size(), 1u);
  EXPECT_EQ(loaded.config->zones[0].networks, std::vector<std::string>{"prod"});
  ASSERT_NE(loaded.config->zones[0].zone, nullptr);
  EXPECT_EQ(dns::to_text(loaded.config->zones[0].zone->apex().octets()), "corp.");
}

TEST_F(ZoneTables, MistakesOfTheFileAreTheConfigurations) {
  write("corp.zone", std::string(kHead) + "a A x\n");
  const std::string text = errors("[[zone]]\nfile = \"corp.zone\"\nnetworks = [\"prod\"]\n");
  EXPECT_NE(text.find("corp.zone:5:1: error: A record"), std::string::npos) << text;
  EXPECT_NE(text.find("a A x"), std::string::npos) << text;
}

TEST_F(ZoneTables, NeedFileAndNetworks) {
  write("corp.zone", kHead);
  EXPECT_NE(errors("[[zone]]\nnetworks = [\"prod\"]\n").find("file"), std::string::npos);
  EXPECT_NE(errors("[[zone]]\nfile = \"corp.zone\"\n").find("networks"), std::string::npos);
  EXPECT_NE(errors("[[zone]]\nfile = \"corp.zone\"\nnetworks = []\n").find("networks"), std::string::npos);
  EXPECT_NE(errors("[[zone]]\nfile = \"corp.zone\"\nnetworks = [\"prdo\"]\n").find("did you mean \"prod\"?"),
            std::string::npos);
  EXPECT_NE(errors("[[zone]]\nfile = \"corp.zone\"\nnetworks = [\"prod\", \"prod\"]\n").find("named twice"),
            std::string::npos);
  EXPECT_NE(errors("[[zone]]\nfile = \"none.zone\"\nnetworks = [\"prod\"]\n").find("No such file"),
            std::string::npos);
  EXPECT_NE(errors("[[zone]]\nfile = \"/\"\nnetworks = [\"prod\"]\n").find("Is a directory"),
            std::string::npos);
  EXPECT_NE(errors("[[zone]]\nfile = \"corp.zone\"\nnetworks = [\"prod\"]\nnetwork = 1\n").find("networks"),
            std::string::npos);
}

TEST_F(ZoneTables, ANetworkHasOneZoneOfAName) {
  write("corp.zone", kHead);
  write("again.zone", kHead);
  const std::string zone = "[[zone]]\nfile = \"corp.zone\"\nnetworks = [\"prod\"]\n";
  const std::string again = "[[zone]]\nfile = \"again.zone\"\nnetworks = [\"prod\"]\n";
  EXPECT_NE(errors(zone + again).find("network \"prod\" has a zone corp. already"), std::string::npos);
  const std::string network =
      "[[network]]\nname = \"test\"\nclients = [\"10.2.0.0/16\"]\n[[zone]]\nfile = \"again.zone\"\nnetworks "
      "= "
      "[\"test\"]\n";
  EXPECT_EQ(errors(zone + network), "");
}

}  // namespace
}  // namespace shunt::conf
