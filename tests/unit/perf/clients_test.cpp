// Queries are sound, and what isn't their answer is counted for what it is. The servers of shuntperf answer.
#include "bench/perf/clients.h"

#include <gtest/gtest.h>

#include <set>

#include "bench/perf/servers.h"
#include "tests/unit/perf/packets.h"

namespace shunt::perf {
namespace {

constexpr std::uint64_t kHz = 1'000'000;  // a cycle is a microsecond

class ClientsTest : public testing::TestWithParam<bool> {
 protected:
  ClientsTest() {
    const bool v4 = GetParam();
    options_.role = Role::kBoth;
    options_.client.target = {*IpAddress::parse(v4 ? "10.9.0.53" : "fd09::53"), 53};
    options_.client.first = *IpAddress::parse(v4 ? "10.9.1.0" : "fd09::1:0");
    options_.client.clients = 3;
    options_.client.ports = 2;
    options_.client.in_flight = 64;
    options_.client.timeout_ms = 100;
    options_.server.addresses = {options_.client.target.address};
    options_.server.answer4 = *IpAddress::parse("192.0.2.1");
    options_.server.answer6 = *IpAddress::parse("2001:db8::1");
    options_.names.count = 10;
  }

  void start() {
    auto made = Questions::make(options_.names, options_.seed, 7);
    ASSERT_TRUE(made) << made.error();
    questions_ = std::move(*made);
    clients_ = Clients::make(options_, questions_, counters_, kHz);
    clients_->set_stations({{2, 0, 0, 0, 0, 1}}, {{2, 0, 0, 0, 0, 2}});
  }
  /// One query in packets_[0], sent at 1000; `edit` then changes its answer, whose checksum is made right.
  template <typename Edit>
  void answer_edited(Edit edit) {
    start();
    ask(1, 1000);
    ASSERT_TRUE(servers_.answer(packets_[0]));
    edit(packets_.frame(0));
    fix_checksum(packets_.frame(0));
    clients_->receive(packets_.data(), 1, 1005);
  }
  void ask(unsigned count, std::uint64_t now) {
    clients_->write(packets_.data(), count);
    clients_->stamp(now, nullptr);
  }
  void answer_all(unsigned count) {
    for (unsigned i = 0; i < count; ++i)
      ASSERT_TRUE(servers_.answer(packets_[i]));
  }
  void expire_all(std::uint64_t now) {
    for (int i = 0; i < 16; ++i)
      clients_->expire(now);
  }
  std::size_t udp() const { return GetParam() ? 34 : 54; }
  std::size_t question() const { return udp() + 20; }

  Options options_;
  Counters counters_;
  Questions questions_;
  Servers servers_{options_.server, counters_};
  std::unique_ptr<Clients> clients_;
  Packets packets_{kBurst};
};

INSTANTIATE_TEST_SUITE_P(Families, ClientsTest, testing::Values(true, false),
                         [](const auto& family) { return family.param ? "IPv4" : "IPv6"; });

TEST_P(ClientsTest, QueriesAreSound) {
  start();
  ask(kBurst, 1000);
  std::set<std::uint16_t> ids;
  std::set<std::string> sources;
  std::set<std::uint16_t> ports;
  for (unsigned i = 0; i < kBurst; ++i) {
    const Dissected d = dissect(packets_.frame(i));
    EXPECT_TRUE(d.sound) << i;
    EXPECT_EQ(d.v4, GetParam());
    EXPECT_EQ(d.destination_port, 53);
    EXPECT_EQ(d.name, "n" + std::to_string(i % 10) + ".example.com");
    EXPECT_EQ(d.type, 1);
    EXPECT_EQ(d.flags, 0x0100);
    EXPECT_EQ(d.counts, (std::array<std::uint16_t, 4>{1, 0, 0, 0}));
    EXPECT_EQ(d.rest, "");
    EXPECT_EQ(packets_.octets(i)[0], 2);
    EXPECT_EQ(packets_.octets(i)[5], 2);   // to the peer
    EXPECT_EQ(packets_.octets(i)[11], 1);  // from us
    ids.insert(d.id);
    sources.insert(d.source);
    ports.insert(d.source_port);
  }
  EXPECT_EQ(ids.size(), kBurst);
  EXPECT_EQ(sources.size(), 3U);
  EXPECT_EQ(ports, (std::set<std::uint16_t>{20000, 20001}));
}

TEST_P(ClientsTest, AnswersAreCountedWithTheirLatency) {
  start();
  ask(kBurst, 1000);
  EXPECT_EQ(clients_->in_flight(), kBurst);
  answer_all(kBurst);
  clients_->receive(packets_.data(), kBurst, 1017);
  EXPECT_EQ(counters_.answered, kBurst);
  EXPECT_EQ(counters_.wrong() + counters_.unexpected + counters_.others, 0U);
  EXPECT_EQ(counters_.rcodes[0], kBurst);
  EXPECT_EQ(counters_.latency.total(), kBurst);
  EXPECT_EQ(counters_.latency.percentile(0.5), 17U);
  EXPECT_EQ(clients_->in_flight(), 0U);
  EXPECT_EQ(counters_.served, kBurst);
}

TEST_P(ClientsTest, LatencyOfAMixedBurst) {
  start();
  Packets early(2);
  clients_->write(early.data(), 2);
  clients_->stamp(1000, nullptr);
  ask(2, 1010);
  answer_all(2);
  std::array<rte_mbuf*, 4> burst{early[0], packets_[0], early[1], packets_[1]};
  ASSERT_TRUE(servers_.answer(early[0]) && servers_.answer(early[1]));
  clients_->receive(burst.data(), 4, 1020);
  EXPECT_EQ(counters_.latency.total(), 4U);
  EXPECT_EQ(counters_.latency.percentile(0.4), 10U);
  EXPECT_EQ(counters_.latency.percentile(0.6), 20U);
}

TEST_P(ClientsTest, ThousandsOfQueriesOverTheSameSlots) {
  options_.names.mixed_case = true;
  options_.names.edns = 1232;
  options_.names.edns_share = 0.5;
  options_.names.miss_share = 0.3;
  options_.names.type = "A:2,AAAA:1,TXT:1";
  options_.names.pattern = "some%d.odd.or.even.example";
  options_.names.count = 1000;
  start();
  constexpr unsigned kRounds = 200;
  std::set<std::string> fresh;
  for (unsigned round = 0; round < kRounds; ++round) {
    ask(kBurst, round);
    for (unsigned i = 0; i < kBurst; ++i) {
      const Dissected d = dissect(packets_.frame(i));
      ASSERT_TRUE(d.sound);
      ASSERT_EQ(d.rest.size(), d.counts[3] == 0 ? 0U : 11U);
      if (d.name.size() == sizeof "x0123456789abcdef.miss.example.com" - 1) fresh.insert(d.name);
    }
    answer_all(kBurst);
    for (unsigned i = 0; i < kBurst; ++i)
      ASSERT_TRUE(dissect(packets_.frame(i)).sound);
    clients_->receive(packets_.data(), kBurst, round + 1);
  }
  constexpr double kAll = kRounds * kBurst;
  EXPECT_EQ(counters_.answered, kAll);
  EXPECT_EQ(counters_.wrong() + counters_.unexpected, 0U);
  EXPECT_NEAR(static_cast<double>(counters_.sent_edns) / kAll, 0.5, 0.05);
  EXPECT_NEAR(static_cast<double>(counters_.sent_fresh) / kAll, 0.3, 0.05);
  EXPECT_NEAR(static_cast<double>(counters_.without_records) / kAll, 0.25, 0.05);  // TXT
  EXPECT_EQ(fresh.size(), counters_.sent_fresh);
}

TEST_P(ClientsTest, WrongId) {
  for (const std::size_t at : {8U, 9U}) {  // another slot's; this slot's, but of another use
    counters_.forget_clients();
    answer_edited([&](auto frame) { frame[udp() + at] ^= 0x01; });
    EXPECT_EQ(counters_.unexpected, 1U);
    EXPECT_EQ(counters_.answered, 0U);
    EXPECT_EQ(clients_->in_flight(), 1U);
  }
}

TEST_P(ClientsTest, WrongPort) {
  answer_edited([&](auto frame) { frame[udp() + 3] ^= 1; });
  EXPECT_EQ(counters_.unexpected, 1U);
}

TEST_P(ClientsTest, ToAnotherClient) {
  if (GetParam()) return;  // an IPv4 address lies in the slot as a whole
  for (const std::size_t at : {38U, 45U, 49U, 50U, 53U}) {
    counters_.forget_clients();
    answer_edited([&](auto frame) { frame[at] ^= 1; });
    EXPECT_EQ(counters_.unexpected, 1U) << at;
    EXPECT_EQ(counters_.answered, 0U) << at;
  }
}

TEST_P(ClientsTest, WrongSourceAddressOrPort) {
  answer_edited([&](auto frame) {
    frame[GetParam() ? 29 : 37] ^= 1;
    if (!GetParam()) return;
    const auto sum =
        static_cast<unsigned>(frame[24] << 8 | frame[25]);  // of IP, where the source was even or odd
    const unsigned fixed = (frame[29] & 1) != 0 ? sum - 1 : sum + 1;
    frame[24] = static_cast<std::uint8_t>(fixed >> 8);
    frame[25] = static_cast<std::uint8_t>(fixed);
  });
  EXPECT_EQ(counters_.wrong_source, 1U);
  counters_.forget_clients();
  answer_edited([&](auto frame) { frame[udp() + 1] ^= 1; });
  EXPECT_EQ(counters_.wrong_source, 1U);
}

TEST_P(ClientsTest, WrongQuestion) {
  for (const std::size_t at : {1U, 4U, 14U, 16U}) {  // a name's first letter and a later one, type, class
    counters_.forget_clients();
    answer_edited([&](auto frame) { frame[question() + at] ^= 1; });
    EXPECT_EQ(counters_.wrong_question, 1U) << at;
    EXPECT_EQ(counters_.answered, 0U);
  }
}

TEST_P(ClientsTest, OtherCaseIsAWrongQuestion) {
  answer_edited([&](auto frame) { frame[question() + 1] ^= 0x20; });
  EXPECT_EQ(counters_.wrong_question, 1U);
}

TEST_P(ClientsTest, WrongQuestionOfAFreshName) {
  options_.names.miss_share = 1;
  constexpr std::size_t kLength = 40;
  for (std::size_t at = 0; at <= kLength; ++at) {  // the last one is the record's
    counters_.forget_clients();
    answer_edited([&](auto frame) { frame[question() + at] ^= 1; });
    EXPECT_EQ(counters_.wrong_question, at < kLength ? 1U : 0U) << at;
    EXPECT_EQ(counters_.answered, at < kLength ? 0U : 1U) << at;
  }
}

TEST_P(ClientsTest, WrongChecksums) {
  start();
  ask(2, 1000);
  answer_all(2);
  packets_.octets(0)[question() + 20] ^= 1;
  if (GetParam()) packets_.octets(1)[15] ^= 1;  // the IP header's; IPv6 has none
  clients_->receive(packets_.data(), 2, 1001);
  EXPECT_EQ(counters_.wrong_checksum, GetParam() ? 2U : 1U);
  EXPECT_EQ(counters_.answered, GetParam() ? 0U : 1U);
}

TEST_P(ClientsTest, DuplicatesInOneBurstAndLater) {
  start();
  ask(1, 1000);
  answer_all(1);
  std::array<rte_mbuf*, 2> twice{packets_[0], packets_[0]};
  clients_->receive(twice.data(), 2, 1001);
  clients_->receive(twice.data(), 1, 1002);
  EXPECT_EQ(counters_.answered, 1U);
  EXPECT_EQ(counters_.unexpected, 2U);
  EXPECT_EQ(counters_.latency.total(), 1U);
}

TEST_P(ClientsTest, QueriesAndEmptyPromisesAreNoAnswers) {
  answer_edited([&](auto frame) { frame[udp() + 10] &= 0x7f; });  // QR
  EXPECT_EQ(counters_.wrong_message, 1U);
  counters_.forget_clients();
  options_.names.type = "TXT";  // without a record, but with a count of one
  answer_edited([&](auto frame) { frame[udp() + 15] = 1; });
  EXPECT_EQ(counters_.wrong_message, 1U);
}

TEST_P(ClientsTest, ErrorsAndTruncationAreAnswers) {
  answer_edited([&](auto frame) {
    frame[udp() + 10] |= 0x02;  // TC
    frame[udp() + 11] |= 3;     // NXDOMAIN
  });
  EXPECT_EQ(counters_.answered, 1U);
  EXPECT_EQ(counters_.truncated, 1U);
  EXPECT_EQ(counters_.rcodes[3], 1U);
}

TEST_P(ClientsTest, LostAndLate) {
  start();
  ask(1, 1000);
  answer_all(1);
  expire_all(1000 + 99'999);
  EXPECT_EQ(counters_.lost, 0U);
  expire_all(1000 + 100'000);
  EXPECT_EQ(counters_.lost, 1U);
  EXPECT_EQ(clients_->in_flight(), 0U);
  clients_->receive(packets_.data(), 1, 101'001);
  EXPECT_EQ(counters_.unexpected, 1U);
  EXPECT_EQ(counters_.answered, 0U);
}

TEST_P(ClientsTest, OtherFrames) {
  start();
  packets_.put(0, std::vector<std::uint8_t>(80));
  clients_->receive(packets_.data(), 1, 1);
  EXPECT_EQ(counters_.others, 1U);
}

TEST_P(ClientsTest, BehindScheduleLatencyCountsFromWhenTheQueryWasDue) {
  start();
  Schedule schedule(1000, kHz / 10.0, kHz);  // one every ten microseconds
  clients_->write(packets_.data(), 3);
  clients_->stamp(1030, &schedule);  // due at 1010, 1020, 1030
  answer_all(3);
  clients_->receive(packets_.data(), 3, 1040);
  EXPECT_EQ(counters_.latency.max(), 30U);
  EXPECT_EQ(counters_.latency.percentile(0), 10U);
  EXPECT_EQ(schedule.at_end(1040).late, 2U);
}

TEST_P(ClientsTest, ALateQueryIsNotLostBeforeItsTime) {
  start();
  Schedule schedule(0, 1000, kHz);
  clients_->write(packets_.data(), 1);
  clients_->stamp(500'000, &schedule);
  expire_all(500'001);
  EXPECT_EQ(counters_.lost, 0U);
  expire_all(600'000);
  EXPECT_EQ(counters_.lost, 1U);
}

TEST_P(ClientsTest, PrimingAsksForEachNameOnceInOrder) {
  options_.names.order = Order::kUniform;
  options_.names.miss_share = 0.5;
  start();
  clients_->set_priming(true);
  ask(20, 0);
  for (unsigned i = 0; i < 20; ++i)
    EXPECT_EQ(dissect(packets_.frame(i)).name, "n" + std::to_string(i % 10) + ".example.com");
  EXPECT_EQ(counters_.sent_fresh, 0U);
}

}  // namespace
}  // namespace shunt::perf
