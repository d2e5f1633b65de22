#include "control/host_resolver.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <optional>
#include <set>

#include "tests/support/dns_messages.h"
#include "tests/unit/control/loopback.h"

namespace shunt::control {
namespace {

using namespace shunt::testing;
using std::chrono::milliseconds;

Bytes query(std::string_view name = "www.example.com", unsigned id = 0x1234) {
  return MessageBuilder(id).question(wire_name(name)).build();
}

/// `query` as an answer with one record.
Bytes answer_to(const Bytes& query, std::uint8_t last_octet = 1) {
  Bytes out = query;
  out[2] |= 0x80;
  out[3] |= 0x80;
  out[7] = 1;
  append(out, pointer(12));
  append16(out, 1);
  append16(out, 1);
  append32(out, 60);
  append16(out, 4);
  append(out, Bytes{192, 0, 2, last_octet});
  return out;
}

Bytes truncated(const Bytes& query) {
  Bytes out = query;
  out[2] |= 0x82;
  return out;
}

Bytes with_id(Bytes message, const Bytes& of) {
  message[0] = of[0];
  message[1] = of[1];
  return message;
}

/// An upstream that is driven by the test.
class Upstream {
 public:
  struct Datagram {
    Bytes message;
    sockaddr_in from;
  };
  Upstream() : udp_(bound_socket(SOCK_DGRAM)), port_(local_port(udp_)) {}
  ~Upstream() { ::close(udp_); }
  Upstream(const Upstream&) = delete;
  Upstream& operator=(const Upstream&) = delete;

  SocketAddress address() const { return loopback_address(port_); }
  void poll() {
    std::uint8_t buffer[2048];
    Datagram datagram{};
    socklen_t length = sizeof datagram.from;
    ssize_t got;
    while ((got = ::recvfrom(udp_, buffer, sizeof buffer, MSG_DONTWAIT,
                             reinterpret_cast<sockaddr*>(&datagram.from), &length)) > 0) {
      datagram.message.assign(buffer, buffer + got);
      asked.push_back(datagram);
    }
  }
  void send(const Bytes& message, const sockaddr_in& to) {
    ::sendto(udp_, message.data(), message.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
  }

  std::vector<Datagram> asked;

 private:
  int udp_;
  std::uint16_t port_;
};

class HostResolverTest : public ::testing::Test {
 protected:
  HostResolverTest() : random_(Random::Seed{1, 2, 3}) { resolver_.emplace(io_, random_); }

  Ask question(std::vector<SocketAddress> targets, std::uint32_t timeout_ms = 5000) {
    Ask ask;
    ask.targets = std::move(targets);
    ask.message = query();
    ask.timeout_ms = timeout_ms;
    return ask;
  }
  void ask(Ask ask) {
    resolver_->ask(std::move(ask), [this](Result<HostAnswer> answer) {
      ++calls_;
      answer_ = std::move(answer);
    });
  }
  bool run(auto condition, milliseconds limit = std::chrono::seconds(10)) {
    return run_until(
        io_,
        [&] {
          a_.poll();
          b_.poll();
          return condition();
        },
        limit);
  }
  bool done() {
    return run([&] { return calls_ != 0; });
  }
  bool still_waiting() {
    run([] { return false; }, milliseconds(30));
    return calls_ == 0;
  }
  std::uint64_t counter(HostCounter which) const { return resolver_->counters()[which]; }

  asio::io_context io_;
  Random random_;
  std::optional<HostResolver> resolver_;
  Upstream a_, b_;
  int calls_ = 0;
  Result<HostAnswer> answer_ = Failure("not asked");
};

TEST_F(HostResolverTest, AsksAndHandsTheAnswerBackUnderItsOwnId) {
  ask(question({a_.address()}));
  EXPECT_EQ(calls_, 0);  // never from inside ask()
  ASSERT_TRUE(run([&] { return a_.asked.size() == 1; }));
  EXPECT_EQ(with_id(a_.asked[0].message, query()), query());
  a_.send(answer_to(a_.asked[0].message), a_.asked[0].from);
  ASSERT_TRUE(done());
  ASSERT_TRUE(answer_) << answer_.error();
  EXPECT_EQ(answer_->message, answer_to(query()));
  EXPECT_EQ(answer_->target, 0u);
  EXPECT_FALSE(answer_->truncated);
  EXPECT_GT(answer_->latency.count(), 0);
  EXPECT_EQ(resolver_->in_flight(), 0u);
  EXPECT_EQ(resolver_->latency().count(), 1u);
}

TEST_F(HostResolverTest, WrongAnswersAreIgnoredAndTheTrueOneWins) {
  ask(question({a_.address()}));
  ASSERT_TRUE(run([&] { return a_.asked.size() == 1; }));
  const Bytes asked = a_.asked[0].message;
  const sockaddr_in to = a_.asked[0].from;
  const Bytes good = answer_to(asked);

  Bytes wrong_id = good;
  wrong_id[1] ^= 1;
  const Bytes wrong_name = with_id(answer_to(query("www.example.org")), asked);
  Bytes wrong_type = good;
  wrong_type[asked.size() - 3] = 28;
  Bytes wrong_class = good;
  wrong_class[asked.size() - 1] = 3;
  Bytes no_answer = good;
  no_answer[2] &= 0x7f;
  Bytes other_opcode = good;
  other_opcode[2] |= 0x10;
  Bytes no_question = Bytes(good.begin(), good.begin() + 12);
  no_question[5] = no_question[7] = 0;
  Bytes cut(good.begin(), good.end() - 1);
  Bytes longer = good;
  longer.push_back(0);
  const std::vector<Bytes> wrong{wrong_id,    wrong_name, wrong_type, wrong_class,  no_answer, other_opcode,
                                 no_question, cut,        longer,     Bytes(11, 0), Bytes{}};
  for (const Bytes& message : wrong)
    a_.send(message, to);
  b_.send(good, to);  // from another port: the kernel keeps it away
  ASSERT_TRUE(run([&] { return counter(HostCounter::answers_wrong) == wrong.size(); }));
  EXPECT_TRUE(still_waiting());
  EXPECT_EQ(counter(HostCounter::answers_wrong), wrong.size());
  a_.send(good, to);
  ASSERT_TRUE(done());
  EXPECT_EQ(answer_->message, answer_to(query()));
}

TEST_F(HostResolverTest, AFloodOfForgeriesDoesNotEndTheWait) {
  ask(question({a_.address()}));
  ASSERT_TRUE(run([&] { return a_.asked.size() == 1; }));
  const Bytes good = answer_to(a_.asked[0].message);
  for (unsigned i = 1; i < 3000; ++i) {
    Bytes forged = good;
    forged[0] = static_cast<std::uint8_t>(good[0] ^ (i >> 8));
    forged[1] = static_cast<std::uint8_t>(good[1] ^ i);
    a_.send(forged, a_.asked[0].from);
    if (i % 50 == 0) run([&] { return counter(HostCounter::answers_wrong) == i; });
  }
  EXPECT_TRUE(still_waiting());
  a_.send(good, a_.asked[0].from);
  ASSERT_TRUE(done());
  EXPECT_TRUE(answer_);
}

TEST_F(HostResolverTest, AnotherCaseOfTheQuestionIsTheSameQuestion) {
  ask(question({a_.address()}));
  ASSERT_TRUE(run([&] { return a_.asked.size() == 1; }));
  Bytes answer = answer_to(a_.asked[0].message);
  answer[13] = 'W';
  a_.send(answer, a_.asked[0].from);
  ASSERT_TRUE(done());
  EXPECT_EQ(answer_->message, with_id(answer, query()));
}

TEST_F(HostResolverTest, EachTryHasAPortAndAnIdOfItsOwn) {
  for (int i = 0; i < 64; ++i)
    resolver_->ask(question({a_.address()}), [](Result<HostAnswer>) {});
  ASSERT_TRUE(run([&] { return a_.asked.size() == 64; }));
  std::set<unsigned> ids, ports;
  for (const auto& datagram : a_.asked) {
    ids.insert(load_be16(datagram.message.data()));
    ports.insert(datagram.from.sin_port);
  }
  EXPECT_GT(ids.size(), 60u);
  EXPECT_EQ(ports.size(), 64u);
}

TEST_F(HostResolverTest, TriesTheNextTargetAndFailsAfterThat) {
  std::vector<SocketAddress> sent, failed;
  resolver_->observe({[&](const SocketAddress& target) { sent.push_back(target); },
                      [&](const SocketAddress& target, HostResolver::Observer::End end, std::uint8_t,
                          std::chrono::nanoseconds, bool first) {
                        EXPECT_TRUE(first);
                        EXPECT_EQ(end, HostResolver::Observer::End::kTimedOut);
                        failed.push_back(target);
                      }});
  ask(question({a_.address(), b_.address()}, 30));
  ASSERT_TRUE(run([&] { return b_.asked.size() == 1; }));
  EXPECT_EQ(a_.asked.size(), 1u);
  EXPECT_EQ(calls_, 0);
  ASSERT_TRUE(done());
  EXPECT_FALSE(answer_);
  EXPECT_NE(answer_.error().find(a_.address().to_string() + ": no answer in time"), std::string::npos);
  EXPECT_NE(answer_.error().find(b_.address().to_string() + ": no answer in time"), std::string::npos);
  EXPECT_EQ(sent, (std::vector{a_.address(), b_.address()}));
  EXPECT_EQ(failed, sent);
  EXPECT_EQ(counter(HostCounter::timeouts), 2u);
  EXPECT_EQ(counter(HostCounter::failed), 1u);
}

TEST_F(HostResolverTest, ALateAnswerToTheFirstTryStillCounts) {
  ask(question({a_.address(), b_.address()}, 50));
  ASSERT_TRUE(run([&] { return b_.asked.size() == 1; }));
  EXPECT_NE(load_be16(a_.asked[0].message.data()), load_be16(b_.asked[0].message.data()));
  a_.send(answer_to(a_.asked[0].message), a_.asked[0].from);
  ASSERT_TRUE(done());
  ASSERT_TRUE(answer_);
  EXPECT_EQ(answer_->target, 0u);
}

TEST_F(HostResolverTest, OneTargetIsAskedTwice) {
  ask(question({a_.address()}, 30));
  ASSERT_TRUE(run([&] { return a_.asked.size() == 2; }));
  EXPECT_NE(a_.asked[0].from.sin_port, a_.asked[1].from.sin_port);
  a_.send(answer_to(a_.asked[1].message), a_.asked[1].from);
  ASSERT_TRUE(done());
  EXPECT_TRUE(answer_);
}

TEST_F(HostResolverTest, PortUnreachableEndsNoWait) {
  const int probe = bound_socket(SOCK_DGRAM);
  const std::uint16_t port = local_port(probe);
  ::close(probe);
  Ask asked = question({loopback_address(port)}, 80);
  asked.tries = 1;
  const auto begin = std::chrono::steady_clock::now();
  ask(std::move(asked));
  ASSERT_TRUE(done());
  EXPECT_FALSE(answer_);
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(80));
}

TEST_F(HostResolverTest, TruncatedAnswersAreHandedBackAsTheyAre) {
  ask(question({a_.address()}));
  ASSERT_TRUE(run([&] { return a_.asked.size() == 1; }));
  a_.send(truncated(a_.asked[0].message), a_.asked[0].from);
  ASSERT_TRUE(done());
  EXPECT_TRUE(answer_->truncated);
  EXPECT_EQ(answer_->message, truncated(query()));
}

TEST_F(HostResolverTest, UsesTheSocketAndTheSourceItIsGiven) {
  Ask asked = question({a_.address()});
  asked.source = *IpAddress::parse("127.0.0.5");
  std::vector<std::pair<int, int>> made;
  asked.open_socket = [&](int family, int type) -> Result<int> {
    made.emplace_back(family, type);
    return ::socket(family, type, 0);
  };
  ask(std::move(asked));
  ASSERT_TRUE(run([&] { return a_.asked.size() == 1; }));
  EXPECT_EQ(a_.asked[0].from.sin_addr.s_addr, inet_addr("127.0.0.5"));
  EXPECT_EQ(made, (std::vector<std::pair<int, int>>{{AF_INET, SOCK_DGRAM}}));
}

TEST_F(HostResolverTest, TheTargetTellsTheFamily) {
  std::vector<std::pair<int, int>> made;
  Ask asked = question({{*IpAddress::parse("fd00::53"), 53}, a_.address()});
  asked.open_socket = [&](int family, int type) -> Result<int> {
    made.emplace_back(family, type);
    return Failure("only asking");
  };
  ask(asked);
  ASSERT_TRUE(done());
  EXPECT_EQ(made, (std::vector<std::pair<int, int>>{{AF_INET6, SOCK_DGRAM}, {AF_INET, SOCK_DGRAM}}));
}

TEST_F(HostResolverTest, SocketsThatCannotBeMadeAreFailures) {
  Ask asked = question({a_.address(), b_.address()}, 60000);
  asked.open_socket = [](int, int) -> Result<int> { return Failure("no sockets today"); };
  ask(asked);
  ASSERT_TRUE(done());
  EXPECT_FALSE(answer_);
  EXPECT_NE(answer_.error().find("no sockets today"), std::string::npos);
  EXPECT_EQ(counter(HostCounter::socket_errors), 2u);
  calls_ = 0;
  asked.open_socket = nullptr;
  asked.source = *IpAddress::parse("192.0.2.77");  // not ours
  ask(asked);
  ASSERT_TRUE(done());
  EXPECT_FALSE(answer_);
}

TEST_F(HostResolverTest, ASecondTryThatCannotStartLeavesTheFirstItsTime) {
  Ask asked = question({a_.address()}, 60);
  int sockets = 0;
  asked.open_socket = [&](int family, int type) -> Result<int> {
    if (++sockets > 1) return Failure("no more sockets");
    return ::socket(family, type, 0);
  };
  ask(asked);
  ASSERT_TRUE(run([&] { return sockets == 2; }));
  EXPECT_EQ(calls_, 0);
  a_.poll();
  ASSERT_EQ(a_.asked.size(), 1u);
  a_.send(answer_to(a_.asked[0].message), a_.asked[0].from);
  ASSERT_TRUE(done());
  EXPECT_TRUE(answer_);
  calls_ = sockets = 0;
  ask(asked);
  ASSERT_TRUE(done());
  EXPECT_FALSE(answer_);
}

TEST_F(HostResolverTest, WhatIsNoQuestionIsNotAsked) {
  for (const Bytes& message : {Bytes{}, Bytes(11, 0), MessageBuilder().build(), answer_to(query()),
                               MessageBuilder().question(pointer(12)).build(), Bytes(kMaxMessage + 1, 0)}) {
    calls_ = 0;
    Ask asked = question({a_.address()});
    asked.message = message;
    ask(std::move(asked));
    ASSERT_TRUE(done());
    EXPECT_FALSE(answer_);
  }
  calls_ = 0;
  ask(question({}));
  ASSERT_TRUE(done());
  EXPECT_FALSE(answer_);
  a_.poll();
  EXPECT_TRUE(a_.asked.empty());
}

TEST_F(HostResolverTest, QuestionsInFlightAreBounded) {
  resolver_.emplace(io_, random_, 2);
  int others = 0;
  for (int i = 0; i < 2; ++i)
    resolver_->ask(question({a_.address()}), [&](Result<HostAnswer>) { ++others; });
  ask(question({a_.address()}));
  EXPECT_EQ(calls_, 0);
  ASSERT_TRUE(done());
  EXPECT_FALSE(answer_);
  EXPECT_EQ(counter(HostCounter::refused), 1u);
  EXPECT_EQ(others, 0);
  EXPECT_EQ(resolver_->in_flight(), 2u);
}

TEST_F(HostResolverTest, CanBeDestroyedWithQuestionsInFlight) {
  ask(question({a_.address()}));
  ASSERT_TRUE(run([&] { return a_.asked.size() == 1; }));
  ask(question({a_.address()}));  // not begun yet
  resolver_.reset();
  a_.send(answer_to(a_.asked[0].message), a_.asked[0].from);
  run_for(io_, milliseconds(20));
  EXPECT_EQ(calls_, 0);
}

}  // namespace
}  // namespace shunt::control
