// What the log tells of a query: its network, its rule, and the formats.
#include "control/query_record.h"

#include <nlohmann/json.hpp>
#include <protozero/pbf_reader.hpp>

#include "control/query_dnstap.h"
#include "control/query_json.h"
#include "tests/support/dns_messages.h"
#include "tests/unit/control/rules_fixture.h"

namespace shunt::control {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using shunt::testing::append16;
using shunt::testing::append32;
using shunt::testing::Bytes;
using shunt::testing::wire_name;

constexpr std::int64_t kTime = 1'700'000'000'000'250;  // 2023-11-14 22:13:20 UTC

/// A message with a question for `name`, and room for more.
Bytes message(std::string_view name, unsigned flags, unsigned answers = 0) {
  Bytes m;
  append16(m, 7);
  append16(m, flags);
  append16(m, 1);
  append16(m, answers);
  append16(m, 0);
  append16(m, 0);
  shunt::testing::append(m, wire_name(name));
  append16(m, 1);
  append16(m, 1);
  return m;
}

Bytes answer(std::string_view name) {
  Bytes m = message(name, 0x8180, 1);
  append16(m, 0xc00c);
  append16(m, 1);
  append16(m, 1);
  append32(m, 60);
  append16(m, 4);
  append32(m, 0xc0000201);
  return m;
}

class QueryRecordTest : public ::testing::Test {
 protected:
  QueryRecord record(const Bytes& octets, std::string_view client = "10.1.0.9") {
    octets_ = octets;
    QueryRecord r;
    r.asked_us = kTime;
    r.ended_us = kTime + 1500;
    r.client = {*IpAddress::parse(client), 4000};
    r.server = {*IpAddress::parse("10.53.0.53"), 53};
    r.end = state::QueryEnd::kUpstream;
    r.message = octets_;
    return r;
  }
  void generation(std::string list, std::string_view more = "") {
    places_.generations.set(generations_.make({{"corp", list}}, more), now_);
  }
  json line(QueryRecord r, std::uint64_t generation = 0) {
    places_.find(r, generation);
    return json::parse(query_json(r));
  }

  Bytes octets_;
  QueryPlaces places_{kRulesKey};
  Generations generations_;
  RecentGenerations::Clock::time_point now_{100s};
};

TEST_F(QueryRecordTest, TheWholeLine) {
  generation(R"("a.corp forward corp-dns")");
  EXPECT_EQ(line(record(answer("X.a.corp"))),
            json::parse(R"({"time": "2023-11-14T22:13:20.000250Z", "client": "10.1.0.9", "port": 4000,
              "server": "10.53.0.53", "transport": "udp", "network": "prod", "name": "x.a.corp.", "type": "A",
              "rule_set": "corp", "rule": "a.corp forward corp-dns", "answered_by": "upstream", "rcode": "NOERROR",
              "waited_us": 1500, "size": 42,
              "answers": [{"name": "X.a.corp.", "type": "A", "ttl": 60, "data": "192.0.2.1"}]})"));
}

TEST_F(QueryRecordTest, ARuleIsCalledByItsId) {
  generation(R"("a.corp forward corp-dns", "=x.a.corp block drop id=no-x")");
  QueryRecord r = record(message("x.a.corp", 0x0100));
  r.end = state::QueryEnd::kDropped;
  r.drop = QueryDrop::blocked;
  const json told = line(r);
  EXPECT_EQ(told["rule"], "no-x");
  EXPECT_EQ(told["dropped"], "blocked");
  for (const char* key : {"answered_by", "rcode", "waited_us", "size", "answers"})
    EXPECT_FALSE(told.contains(key)) << key;
}

TEST_F(QueryRecordTest, ANameWithoutRuleAndAClientWithoutNetwork) {
  generation(R"("a.corp forward corp-dns")");
  const json other = line(record(answer("other.example")));
  EXPECT_EQ(other["network"], "prod");
  EXPECT_FALSE(other.contains("rule"));
  const json nobody = line(record(answer("x.a.corp"), "192.0.2.9"));
  EXPECT_FALSE(nobody.contains("network"));
  EXPECT_FALSE(nobody.contains("rule"));
}

TEST_F(QueryRecordTest, TheGenerationBeforeIsUnderstoodForAWhile) {
  generation(R"("a.corp forward corp-dns")");
  generation(R"("a.corp block nxdomain")");
  places_.generations.retire(now_ + 4s);
  EXPECT_EQ(line(record(answer("a.corp")), 1)["rule"], "a.corp forward corp-dns");
  EXPECT_EQ(line(record(answer("a.corp")), 2)["rule"], "a.corp block nxdomain");
  EXPECT_EQ(line(record(answer("a.corp")), 0)["rule"], "a.corp block nxdomain");
  places_.generations.retire(now_ + RecentGenerations::kKeepBefore);
  const json gone = line(record(answer("a.corp")), 1);
  EXPECT_FALSE(gone.contains("rule"));
  EXPECT_FALSE(gone.contains("network"));
  EXPECT_EQ(gone["name"], "a.corp.");
}

TEST_F(QueryRecordTest, WhatCannotBeReadIsLeftOut) {
  generation(R"("a.corp forward corp-dns")");
  for (std::size_t length = 0; length < 42; ++length) {
    Bytes cut = answer("x.a.corp");
    cut.resize(length);
    const shunt::testing::ExactBuffer exact(cut);
    QueryRecord r = record({});
    r.message = exact.span();
    const json told = line(r);
    EXPECT_EQ(told.contains("name"), length >= 26) << length;
    EXPECT_EQ(told.contains("rcode"), length >= 12) << length;
    EXPECT_FALSE(told.contains("answers")) << length;
  }
}

TEST_F(QueryRecordTest, RcodesFlagsClassesAndTransports) {
  Bytes m = message("x.a.corp", 0x8383);
  m.back() = 3;  // CHAOS
  QueryRecord r = record(m);
  r.stream = StreamKind::kTls;
  const json told = line(r);
  EXPECT_EQ(told["rcode"], "NXDOMAIN");
  EXPECT_EQ(told["truncated"], true);
  EXPECT_EQ(told["class"], 3);
  EXPECT_EQ(told["transport"], "tls");
  EXPECT_EQ(line(record(message("x.a.corp", 0x818c)))["rcode"], "RCODE12");
}

TEST_F(QueryRecordTest, NameOctetsAreEscaped) {
  const std::string text = query_json(record(answer("x")));
  EXPECT_EQ(text.find('\n'), std::string::npos);
  Bytes m = answer("abc");
  m[13] = 0xff, m[14] = '"', m[15] = '\n';
  EXPECT_EQ(line(record(m))["name"], "\\255\\\"\\010.");
}

/// Field number -> value, of a level of a dnstap message.
struct Fields {
  std::map<unsigned, std::string> octets;
  std::map<unsigned, std::uint64_t> numbers;
};

Fields fields_of(const std::string& from) {
  Fields fields;
  protozero::pbf_reader reader(from);
  while (reader.next()) {
    const unsigned tag = reader.tag();  // reading forgets it
    switch (reader.wire_type()) {
      case protozero::pbf_wire_type::length_delimited:
        fields.octets[tag] = reader.get_string();
        break;
      case protozero::pbf_wire_type::fixed32:
        fields.numbers[tag] = reader.get_fixed32();
        break;
      default:
        fields.numbers[tag] = reader.get_uint64();
    }
  }
  return fields;
}

// By the numbers of dnstap.proto.
TEST_F(QueryRecordTest, Dnstap) {
  generation(R"("a.corp forward corp-dns")");
  QueryRecord r = record(answer("x.a.corp"), "10.1.2.3");
  places_.find(r, 0);
  const Fields whole = fields_of(query_dnstap(r, {"gw1", "shunt 1"}));
  EXPECT_EQ(whole.octets.at(1), "gw1");
  EXPECT_EQ(whole.octets.at(2), "shunt 1");
  EXPECT_EQ(json::parse(whole.octets.at(3)),
            json::parse(R"({"network": "prod", "rule_set": "corp", "rule": "a.corp forward corp-dns",
                            "answered_by": "upstream"})"));
  EXPECT_EQ(whole.numbers.at(15), 1u);
  const Fields told = fields_of(whole.octets.at(14));
  EXPECT_EQ(told.numbers, (std::map<unsigned, std::uint64_t>{{1, 6},
                                                             {2, 1},
                                                             {3, 1},
                                                             {6, 4000},
                                                             {7, 53},
                                                             {8, 1'700'000'000},
                                                             {9, 250'000},
                                                             {12, 1'700'000'000},
                                                             {13, 1'750'000}}));
  EXPECT_EQ(told.octets,
            (std::map<unsigned, std::string>{{4, "\x0a\x01\x02\x03"},
                                             {5, "\x0a\x35" + std::string(1, '\0') + "\x35"},
                                             {14, std::string(octets_.begin(), octets_.end())}}));
}

TEST_F(QueryRecordTest, DnstapOfADroppedQueryAndOfStreams) {
  QueryRecord r = record(message("x.a.corp", 0x0100), "fd00::9");
  r.end = state::QueryEnd::kDropped;
  r.stream = StreamKind::kHttps;
  const Fields told = fields_of(fields_of(query_dnstap(r, {"", ""})).octets.at(14));
  EXPECT_EQ(told.numbers.at(1), 5u);
  EXPECT_EQ(told.numbers.at(2), 2u);
  EXPECT_EQ(told.numbers.at(3), 4u);
  EXPECT_EQ(told.octets.at(4).size(), 16u);
  EXPECT_EQ(told.octets.at(10), std::string(octets_.begin(), octets_.end()));
  EXPECT_FALSE(told.octets.contains(14));
  EXPECT_FALSE(told.numbers.contains(12));
}

}  // namespace
}  // namespace shunt::control
