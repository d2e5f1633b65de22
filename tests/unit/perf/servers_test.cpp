// Answers are sound although their checksums are patched.
#include "bench/perf/servers.h"

#include <gtest/gtest.h>

#include "bench/perf/clients.h"
#include "tests/unit/perf/packets.h"

namespace shunt::perf {
namespace {

class ServersTest : public testing::TestWithParam<bool> {
 protected:
  ServersTest() {
    options_.client.target = {*IpAddress::parse(GetParam() ? "10.9.0.53" : "fd09::53"), 53};
    options_.client.first = *IpAddress::parse(GetParam() ? "10.9.1.7" : "fd09::1:7");
    options_.server.addresses = {*IpAddress::parse("192.0.2.53"), *IpAddress::parse("2001:db8::53"),
                                 options_.client.target.address};
    options_.server.answer4 = *IpAddress::parse("192.0.2.1");
    options_.server.answer6 = *IpAddress::parse("2001:db8::1");
  }
  void ask(const std::string& name, const std::string& type, std::uint16_t edns = 0, bool dnssec = false) {
    NameOptions& names = options_.names;
    names.pattern = name;
    names.count = 1;
    names.type = type;
    names.edns = edns;
    names.dnssec = dnssec;
    questions_ = *Questions::make(names, 1, 1);
    const auto clients = Clients::make(options_, questions_, counters_, 1000);
    clients->write(packets_.data(), 1);
    ASSERT_TRUE(dissect(packets_.frame(0)).sound);
  }
  bool answer() { return Servers(options_.server, counters_).answer(packets_[0]); }
  std::size_t dns() const { return GetParam() ? 42 : 62; }
  /// Adds octets to the query, lengths and checksums made right.
  void append(std::size_t count) {
    rte_mbuf& m = *packets_[0];
    for (std::size_t i = 0; i < count; ++i)
      packets_.octets(0)[m.data_len++] = static_cast<std::uint8_t>(0x91 + 7 * i);
    auto frame = packets_.frame(0);
    frame[dns() - 3] = static_cast<std::uint8_t>(frame[dns() - 3] + count);
    const std::size_t length = GetParam() ? 17 : 19;
    frame[length] = static_cast<std::uint8_t>(frame[length] + count);
    if (GetParam()) frame[25] = static_cast<std::uint8_t>(frame[25] - count);
    fix_checksum(frame);
    ASSERT_TRUE(dissect(frame).sound);
  }

  Options options_;
  Counters counters_;
  Questions questions_;
  Packets packets_{1};
};

INSTANTIATE_TEST_SUITE_P(Families, ServersTest, testing::Values(true, false),
                         [](const auto& family) { return family.param ? "IPv4" : "IPv6"; });

std::string octets(std::initializer_list<int> values) {
  return {values.begin(), values.end()};
}

TEST_P(ServersTest, AnswersGoBackWithOneRecord) {
  for (const char* name : {"odd.example", "even.example"}) {
    ask(name, "A");
    const Dissected query = dissect(packets_.frame(0));
    ASSERT_TRUE(answer());
    const Dissected d = dissect(packets_.frame(0));
    EXPECT_TRUE(d.sound) << name;
    EXPECT_EQ(d.source, query.destination);
    EXPECT_EQ(d.destination, query.source);
    EXPECT_EQ(d.source_port, 53);
    EXPECT_EQ(d.destination_port, query.source_port);
    EXPECT_EQ(d.id, query.id);
    EXPECT_EQ(d.flags, 0x8580);
    EXPECT_EQ(d.counts, (std::array<std::uint16_t, 4>{1, 1, 0, 0}));
    EXPECT_EQ(d.name, name);
    EXPECT_EQ(d.rest, octets({0xc0, 12, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 1}));
  }
  EXPECT_EQ(counters_.served, 2U);
}

TEST_P(ServersTest, EveryTypeWithAndWithoutEdns) {
  for (const char* name : {"odd.example", "even.example", "."}) {
    for (const std::size_t record : {16U, 28U, 0U}) {
      for (const int edns : {0, 1, 2}) {
        ask(name, record == 16 ? "A" : (record == 28 ? "AAAA" : "TXT"), edns == 0 ? 0 : 4096, edns == 2);
        ASSERT_TRUE(answer());
        const Dissected d = dissect(packets_.frame(0));
        EXPECT_TRUE(d.sound) << name << record << edns;
        EXPECT_EQ(d.counts[1], record == 0 ? 0 : 1);
        EXPECT_EQ(d.counts[3], edns == 0 ? 0 : 1);
        ASSERT_EQ(d.rest.size(), record + (edns == 0 ? 0 : 11));
        if (edns == 0) continue;
        EXPECT_EQ(d.rest.substr(record), octets({0, 0, 41, 0x04, 0xd0, 0, 0, edns == 2 ? 0x80 : 0, 0, 0, 0}));
      }
    }
  }
}

TEST_P(ServersTest, WhatStandsBehindTheQuestionIsReplaced) {
  for (const char* name : {"odd.example", "even.example"}) {
    for (const std::size_t more : {1U, 2U, 7U, 8U, 20U, 33U}) {
      ask(name, "A");
      append(more);
      ASSERT_TRUE(answer());
      const Dissected d = dissect(packets_.frame(0));
      EXPECT_TRUE(d.sound) << name << more;
      EXPECT_EQ(d.rest.size(), 16U);
    }
  }
}

TEST_P(ServersTest, AQueryWithoutChecksum) {
  ask("n.example", "A");
  auto frame = packets_.frame(0);
  frame[dns() - 2] = frame[dns() - 1] = 0;
  ASSERT_EQ(answer(), GetParam());  // IPv6 must have one (RFC 8200)
  if (!GetParam()) return;
  EXPECT_TRUE(dissect(packets_.frame(0)).sound);
}

TEST_P(ServersTest, AnyTimeToLive) {
  for (const int ttl : {1, 63, 64, 65, 255}) {
    ask("n.example", "A");
    auto frame = packets_.frame(0);
    if (!GetParam()) {
      frame[21] = static_cast<std::uint8_t>(ttl);
    } else {
      const int sum = (frame[24] << 8 | frame[25]) - ((ttl - 64) << 8);
      const int folded = sum < 0 ? sum + 0xffff : (sum > 0xffff ? sum - 0xffff : sum);
      frame[22] = static_cast<std::uint8_t>(ttl);
      frame[24] = static_cast<std::uint8_t>(folded >> 8);
      frame[25] = static_cast<std::uint8_t>(folded);
    }
    ASSERT_TRUE(answer()) << ttl;
    EXPECT_TRUE(dissect(packets_.frame(0)).sound) << ttl;
    EXPECT_EQ(packets_.octets(0)[GetParam() ? 22 : 21], 64);
  }
}

TEST_P(ServersTest, WhatIsNoQueryGetsNoAnswer) {
  const auto refused = [&](auto edit) {
    ask("n.example", "A");
    auto frame = packets_.frame(0);
    edit(frame);
    fix_checksum(frame);
    return !answer();
  };
  EXPECT_TRUE(refused([&](auto f) { f[dns() + 2] |= 0x80; }));         // QR
  EXPECT_TRUE(refused([&](auto f) { f[dns() + 2] |= 0x28; }));         // opcode UPDATE
  EXPECT_TRUE(refused([&](auto f) { f[dns() + 5] = 2; }));             // QDCOUNT
  EXPECT_TRUE(refused([&](auto f) { f[dns() + 12] = 0xc0; }));         // a pointer
  EXPECT_TRUE(refused([&](auto f) { f[dns() + 12] = 60; }));           // a label beyond the end
  EXPECT_TRUE(refused([&](auto f) { f[GetParam() ? 23 : 20] = 6; }));  // TCP
  ask("n.example", "A");
  packets_.octets(0)[dns() + 13] ^= 1;  // the checksum is left wrong
  EXPECT_FALSE(answer());
  options_.server.addresses.pop_back();
  ask("n.example", "A");
  EXPECT_FALSE(answer());
  EXPECT_EQ(counters_.served, 0U);
  EXPECT_EQ(counters_.not_served, 8U);
}

}  // namespace
}  // namespace shunt::perf
