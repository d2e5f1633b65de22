// Questions over kept TCP and TLS connections, and targets that do what they should not.
#include "control/upstream_resolver.h"

#include <gtest/gtest.h>

#include <set>

#include "tests/unit/control/stream_server.h"

namespace shunt::control {
namespace {

using namespace shunt::testing;
using std::chrono::milliseconds;

constexpr unsigned kKeepalive = 11, kPadding = 12;

Bytes query(std::string_view name = "www.example.com", unsigned id = 0x1234) {
  return MessageBuilder(id).question(wire_name(name)).opt().build();
}

/// What is behind the header, without OPT: the question.
Bytes question_of(const Bytes& message) {
  std::size_t end = 12;
  while (message[end] != 0)
    end += message[end] + 1u;
  return Bytes(message.begin() + 12, message.begin() + static_cast<std::ptrdiff_t>(end) + 5);
}

unsigned id_of(const Bytes& message) {
  return load_be16(message.data());
}

/// `asked` as an answer with one record; `opt`: options of its OPT record, none without.
Bytes answer_to(const Bytes& asked, std::uint8_t last_octet = 1, const Bytes& opt = {}) {
  Bytes out;
  append16(out, id_of(asked));
  append16(out, 0x8180);
  for (const unsigned count : {1u, 1u, 0u, opt.empty() ? 0u : 1u})
    append16(out, count);
  append(out, question_of(asked));
  append(out, pointer(12));
  append16(out, 1);
  append16(out, 1);
  append32(out, 60);
  append16(out, 4);
  append(out, Bytes{192, 0, 2, last_octet});
  if (opt.empty()) return out;
  append(out, Bytes{0, 0, 41, 4, 208, 0, 0, 0, 0});
  append16(out, static_cast<unsigned>(opt.size()));
  append(out, opt);
  return out;
}

Bytes with_rcode(Bytes message, unsigned rcode) {
  message[3] = static_cast<std::uint8_t>(message[3] | rcode);
  return message;
}

Bytes framed(const Bytes& message) {
  Bytes out;
  append16(out, static_cast<unsigned>(message.size()));
  append(out, message);
  return out;
}

/// Codes and lengths of the options in a question's OPT record.
std::vector<std::pair<unsigned, unsigned>> options_of(const Bytes& message) {
  std::vector<std::pair<unsigned, unsigned>> out;
  std::size_t at = 12 + question_of(message).size() + 11;
  const std::size_t end = at + load_be16(&message[at - 2]);
  EXPECT_EQ(end, message.size());
  while (at + 4 <= end) {
    out.emplace_back(load_be16(&message[at]), load_be16(&message[at + 2]));
    at += 4u + out.back().second;
  }
  return out;
}

const Certificate& authority() {
  static const Certificate made = Certificate::authority("a test's authority");
  return made;
}
const Certificate& leaf() {
  static const Certificate made = authority().sign("DNS:dns.example,DNS:*.wild.example,IP:127.0.0.1");
  return made;
}

class UpstreamResolverTest : public ::testing::Test {
 protected:
  struct Outcome {
    int calls = 0;
    Result<UpstreamAnswer> answer = Failure("not asked");
    std::uint8_t last_octet() const { return answer->message.back(); }
  };
  struct Told {
    int sent = 0, answered = 0, timed_out = 0;
    std::vector<std::string> failed;
  };

  UpstreamResolverTest() : random_(Random::Seed{1, 2, 3}) { resolver_.emplace(io_); }

  std::shared_ptr<UpstreamTarget> target(const SocketAddress& address, const std::string& tls_name = "",
                                         const std::string& trust = authority().pem()) {
    UpstreamTargetOptions options;
    options.address = address;
    if (!tls_name.empty()) {
      tls_ = std::make_shared<UpstreamTls>(*UpstreamTrust::create(trust), tls_name);
      options.tls = tls_;
    }
    return target(options);
  }
  std::shared_ptr<UpstreamTarget> target(UpstreamTargetOptions options) {
    return std::make_shared<UpstreamTarget>(
        io_, random_, resolver_->counters(), std::move(options),
        UpstreamObserver{
            [this] { ++told_.sent; }, [this](std::chrono::nanoseconds, std::uint8_t) { ++told_.answered; },
            [this] { ++told_.timed_out; }, [this](const std::string& why) { told_.failed.push_back(why); }});
  }
  std::shared_ptr<Outcome> ask(std::vector<std::shared_ptr<UpstreamTarget>> targets,
                               std::uint32_t timeout_ms = 2000, const Bytes& message = query()) {
    auto outcome = std::make_shared<Outcome>();
    resolver_->ask({std::move(targets), message, timeout_ms, 2, probe_},
                   [outcome](Result<UpstreamAnswer> answer) {
                     ++outcome->calls;
                     outcome->answer = std::move(answer);
                   });
    EXPECT_EQ(outcome->calls, 0);
    return outcome;
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
  bool done(const std::shared_ptr<Outcome>& outcome) {
    return run([&] { return outcome->calls != 0; });
  }
  /// Question `n` of connection `c` of `server`, once it has come.
  Bytes question(StreamServer& server, std::size_t c = 0, std::size_t n = 0) {
    const bool came =
        run([&] { return server.connections.size() > c && server.at(c).questions().size() > n; });
    EXPECT_TRUE(came) << "connection " << c << ", question " << n;
    return came ? server.at(c).questions()[n] : query();
  }
  std::uint64_t counter(StreamCounter which) const { return resolver_->counters()[which]; }

  asio::io_context io_;
  Random random_;
  std::optional<UpstreamResolver> resolver_;
  std::shared_ptr<UpstreamTls> tls_;
  StreamServer a_, b_;
  Told told_;
  bool probe_ = false;
};

TEST_F(UpstreamResolverTest, QuestionsShareAConnectionAndItIsKept) {
  const auto at = target(a_.address());
  for (std::size_t i = 0; i < 5; ++i) {
    const auto outcome = ask({at});
    const Bytes asked = question(a_, 0, i);
    EXPECT_EQ(question_of(asked), question_of(query()));
    a_.at(0).send(answer_to(asked));
    ASSERT_TRUE(done(outcome));
    ASSERT_TRUE(outcome->answer) << outcome->answer.error();
    EXPECT_EQ(outcome->answer->message, answer_to(query()));
    EXPECT_FALSE(outcome->answer->truncated);
  }
  EXPECT_EQ(a_.connections.size(), 1u);
  EXPECT_EQ(counter(StreamCounter::connections_opened), 1u);
  EXPECT_EQ(told_.sent, 5);
  EXPECT_EQ(told_.answered, 5);
  EXPECT_EQ(resolver_->in_flight(), 0u);
  EXPECT_EQ(at->in_flight(), 0u);
}

TEST_F(UpstreamResolverTest, AnswersInAnyOrderFindTheirQuestions) {
  const auto at = target(a_.address());
  std::vector<std::shared_ptr<Outcome>> outcomes;
  for (unsigned i = 0; i < 50; ++i)
    outcomes.push_back(ask({at}, 2000, query("n" + std::to_string(i) + ".example", 100 + i)));
  question(a_, 0, 49);
  const std::vector<Bytes> asked = a_.at(0).questions();
  std::set<unsigned> ids;
  for (std::size_t i = asked.size(); i-- > 0;) {
    ids.insert(id_of(asked[i]));
    a_.at(0).send(answer_to(asked[i], static_cast<std::uint8_t>(i)));
  }
  EXPECT_EQ(ids.size(), 50u);
  for (unsigned i = 0; i < 50; ++i) {
    ASSERT_TRUE(done(outcomes[i]));
    ASSERT_TRUE(outcomes[i]->answer);
    EXPECT_EQ(outcomes[i]->answer->message,
              answer_to(query("n" + std::to_string(i) + ".example", 100 + i), static_cast<std::uint8_t>(i)));
  }
}

TEST_F(UpstreamResolverTest, SplitAnswersAndAnswersTogetherAreTaken) {
  const auto at = target(a_.address());
  const auto one = ask({at}), two = ask({at});
  question(a_, 0, 1);
  Bytes octets = framed(answer_to(a_.at(0).questions()[1], 2));
  append(octets, framed(answer_to(a_.at(0).questions()[0], 1)));
  for (std::size_t i = 0; i < octets.size(); i += 7) {
    a_.at(0).send_octets(Bytes(octets.begin() + static_cast<std::ptrdiff_t>(i),
                               octets.begin() + static_cast<std::ptrdiff_t>(std::min(i + 7, octets.size()))));
    run([] { return false; }, milliseconds(1));
  }
  ASSERT_TRUE(done(one) && done(two));
  EXPECT_EQ(one->last_octet(), 1);
  EXPECT_EQ(two->last_octet(), 2);
}

TEST_F(UpstreamResolverTest, AnAnswerOfEveryOctetThatALengthCanSay) {
  const auto outcome = ask({target(a_.address())});
  Bytes large = answer_to(question(a_), 1);
  large[7] = 2;  // and a TXT record that fills it up
  append(large, pointer(12));
  append16(large, 16);
  append16(large, 1);
  append32(large, 60);
  const std::size_t rest = 65535 - large.size() - 2;
  append16(large, static_cast<unsigned>(rest));
  large.resize(65535, 0);
  a_.at(0).send(large);
  ASSERT_TRUE(done(outcome));
  ASSERT_TRUE(outcome->answer) << outcome->answer.error();
  EXPECT_EQ(outcome->answer->message.size(), 65535u);
}

TEST_F(UpstreamResolverTest, WrongIdsAndQuestionsAreIgnoredAndTheTrueAnswerWins) {
  const auto outcome = ask({target(a_.address())});
  const Bytes asked = question(a_);
  const Bytes good = answer_to(asked);
  Bytes wrong_id = good;
  wrong_id[1] ^= 1;
  Bytes wrong_name = good;
  wrong_name[14] ^= 1;
  Bytes no_answer = good;
  no_answer[2] &= 0x7f;
  Bytes longer = good;
  longer.push_back(0);
  const Bytes cut(good.begin(), good.end() - 1);
  const std::vector<Bytes> wrong{wrong_id, wrong_name, no_answer, longer, cut, Bytes(12, 0)};
  for (const Bytes& message : wrong)
    a_.at(0).send(message);
  ASSERT_TRUE(run([&] { return counter(StreamCounter::answers_wrong) == wrong.size(); }));
  EXPECT_EQ(outcome->calls, 0);
  a_.at(0).send(good);
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
}

TEST_F(UpstreamResolverTest, ATargetThatTalksNonsenseIsLeft) {
  const auto outcome = ask({target(a_.address()), target(b_.address())});
  const Bytes asked = question(a_);
  Bytes wrong = answer_to(asked);
  wrong[0] ^= 1;
  for (int i = 0; i < 16; ++i)
    a_.at(0).send(wrong);
  b_.poll();
  const Bytes again = question(b_);
  EXPECT_TRUE(run([&] { return a_.at(0).ended; }));
  b_.at(0).send(answer_to(again, 2));
  ASSERT_TRUE(done(outcome));
  EXPECT_EQ(outcome->answer->target, 1u);
  EXPECT_EQ(counter(StreamCounter::closed_broken), 1u);
  EXPECT_EQ(told_.failed, std::vector<std::string>{"messages that answer nothing"});
}

TEST_F(UpstreamResolverTest, ALengthBelowAHeaderEndsTheConnection) {
  const auto outcome = ask({target(a_.address())});
  question(a_);
  a_.at(0).send(Bytes(11, 0));
  const Bytes again = question(a_, 1);
  a_.at(1).send(answer_to(again));
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
  EXPECT_EQ(told_.failed, std::vector<std::string>{"a length that no DNS message has"});
}

TEST_F(UpstreamResolverTest, GarbageWhoseLengthIsLongIsTimedOutAndLeft) {
  const auto at = target(a_.address());
  const auto outcome = ask({at}, 60);
  question(a_);
  a_.at(0).send_octets(Bytes{'H', 'T', 'T', 'P', '/', '1', '.', '1', ' ', '4', '0', '0'});
  ASSERT_TRUE(done(outcome));
  EXPECT_FALSE(outcome->answer);
  EXPECT_EQ(told_.timed_out, 2);
  const auto next = ask({at});
  const Bytes asked = question(a_, 1);  // a fresh connection
  a_.at(1).send(answer_to(asked));
  ASSERT_TRUE(done(next));
  EXPECT_TRUE(next->answer);
  EXPECT_TRUE(run([&] { return a_.at(0).ended; }));
}

TEST_F(UpstreamResolverTest, ASilentTargetIsLeftForTheNextInTime) {
  const auto outcome = ask({target(a_.address()), target(b_.address())}, 50);
  question(a_);
  const Bytes asked = question(b_);
  b_.at(0).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  ASSERT_TRUE(outcome->answer);
  EXPECT_EQ(outcome->answer->target, 1u);
  EXPECT_EQ(told_.timed_out, 1);
  EXPECT_EQ(counter(StreamCounter::timeouts), 1u);
}

TEST_F(UpstreamResolverTest, NobodyAnswersAndEachIsNamed) {
  const auto at = target(a_.address()), other = target(b_.address());
  const auto outcome = ask({at, other}, 40);
  ASSERT_TRUE(done(outcome));
  ASSERT_FALSE(outcome->answer);
  EXPECT_EQ(outcome->answer.error(), a_.address().to_string() + ": no answer in time; " +
                                         b_.address().to_string() + ": no answer in time");
  EXPECT_EQ(counter(StreamCounter::failed), 1u);
}

TEST_F(UpstreamResolverTest, ALateAnswerToTheFirstTryStillCounts) {
  const auto first = target(a_.address()), second = target(b_.address());
  const auto outcome = ask({first, second}, 100);
  const Bytes asked = question(a_);
  question(b_);
  a_.at(0).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  EXPECT_EQ(outcome->answer->target, 0u);
  // The other's answer, when it comes, is nobody's.
  b_.at(0).send(answer_to(b_.at(0).questions()[0]));
  ASSERT_TRUE(run([&] { return counter(StreamCounter::answers_late) == 1; }));
}

TEST_F(UpstreamResolverTest, AServerThatClosesAfterEachAnswerIsAskedOneByOne) {
  const auto at = target(a_.address());
  std::vector<std::shared_ptr<Outcome>> outcomes;
  for (int i = 0; i < 10; ++i)
    outcomes.push_back(ask({at}, 2000, query("n" + std::to_string(i) + ".example")));
  std::set<const Accepted*> answered;
  ASSERT_TRUE(run([&] {
    for (Accepted& connection : a_.connections) {
      if (answered.contains(&connection) || connection.questions().empty()) continue;
      answered.insert(&connection);
      connection.send(answer_to(connection.questions()[0]));
      connection.close();
    }
    return std::all_of(outcomes.begin(), outcomes.end(), [](const auto& o) { return o->calls != 0; });
  }));
  for (const auto& outcome : outcomes)
    EXPECT_TRUE(outcome->answer) << outcome->answer.error();
  EXPECT_LE(a_.connections.size(), 12u);
}

TEST_F(UpstreamResolverTest, AClosedIdleConnectionIsReplacedWithoutATrace) {
  const auto at = target(a_.address());
  auto outcome = ask({at});
  question(a_);
  a_.at(0).send(answer_to(a_.at(0).questions()[0]));
  ASSERT_TRUE(done(outcome));
  a_.at(0).close();
  ASSERT_TRUE(run([&] { return counter(StreamCounter::closed_by_target) == 1; }));
  outcome = ask({at});
  const Bytes asked = question(a_, 1);
  a_.at(1).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
  EXPECT_TRUE(told_.failed.empty());
}

TEST_F(UpstreamResolverTest, AResetMidwayHasTheQuestionAskedAgainElsewhere) {
  const auto outcome = ask({target(a_.address()), target(b_.address())}, 60000);
  const Bytes asked = question(a_);
  const Bytes half = framed(answer_to(asked));
  a_.at(0).send_octets(Bytes(half.begin(), half.begin() + 20));
  run([] { return false; }, milliseconds(20));
  a_.at(0).reset();
  const Bytes again = question(b_);
  b_.at(0).send(answer_to(again));
  ASSERT_TRUE(done(outcome));
  EXPECT_EQ(outcome->answer->target, 1u);
  EXPECT_EQ(counter(StreamCounter::asked_again), 1u);
  EXPECT_EQ(told_.failed, std::vector<std::string>{"Connection reset by peer"});
}

TEST_F(UpstreamResolverTest, AnAnswerCutInHalfIsNoAnswer) {
  const auto outcome = ask({target(a_.address())});
  const Bytes half = framed(answer_to(question(a_)));
  a_.at(0).send_octets(Bytes(half.begin(), half.end() - 3));
  a_.at(0).close();
  const Bytes again = question(a_, 1);
  a_.at(1).send(answer_to(again));
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
  EXPECT_EQ(told_.failed, std::vector<std::string>{"closed in the middle of an answer"});
}

TEST_F(UpstreamResolverTest, AServerThatAlwaysBreaksIsGivenUp) {
  const auto outcome = ask({target(a_.address())}, 60000);
  ASSERT_TRUE(run([&] {
    for (Accepted& connection : a_.connections)
      if (!connection.questions().empty()) connection.reset();
    return outcome->calls != 0;
  }));
  EXPECT_FALSE(outcome->answer);
  EXPECT_EQ(a_.connections.size(), 3u);  // two tries, and once again
  EXPECT_EQ(counter(StreamCounter::asked_again), 1u);
}

TEST_F(UpstreamResolverTest, RefusedConnectionsFailAtOnceAndAreTriedLessAndLess) {
  a_.stop();
  const auto at = target(a_.address());
  auto outcome = ask({at, target(b_.address())}, 60000);
  const Bytes asked = question(b_);  // long before the timeout
  b_.at(0).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  EXPECT_EQ(told_.failed, std::vector<std::string>{"Connection refused"});
  for (int i = 0; i < 20; ++i) {
    outcome = ask({at}, 10);
    ASSERT_TRUE(done(outcome));
    EXPECT_FALSE(outcome->answer);
  }
  EXPECT_LE(counter(StreamCounter::connections_failed), 5u);
  EXPECT_FALSE(at->ready());
}

TEST_F(UpstreamResolverTest, AQuestionWaitsForTheNextConnectionWhereItHasTheTime) {
  a_.stop();
  const auto at = target(a_.address());
  auto outcome = ask({at}, 10);
  ASSERT_TRUE(done(outcome));
  ASSERT_FALSE(outcome->answer);
  a_.listen();
  outcome = ask({at}, 2000);
  const Bytes asked = question(a_);
  a_.at(0).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
}

TEST_F(UpstreamResolverTest, AProbeDoesNotWaitForTheBackoff) {
  a_.stop();
  const auto at = target(a_.address());
  for (int i = 0; i < 2; ++i) {
    const auto outcome = ask({at}, 60000);
    ASSERT_TRUE(done(outcome));
  }
  ASSERT_FALSE(at->ready());
  a_.listen();
  probe_ = true;
  const auto outcome = ask({at}, 100);
  const Bytes asked = question(a_);
  a_.at(0).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
}

TEST_F(UpstreamResolverTest, ManyQuestionsOpenASecondConnectionAndNoMore) {
  const auto at = target(a_.address());
  const auto came = [this] {
    std::size_t total = 0;
    for (const Accepted& connection : a_.connections)
      total += connection.questions().size();
    return total;
  };
  for (std::size_t i = 1; i <= 500; ++i) {
    ask({at});
    if (i % 100 != 0) continue;
    ASSERT_TRUE(run([&] { return came() == i; }));
  }
  EXPECT_EQ(a_.connections.size(), 2u);
  EXPECT_GT(a_.at(1).questions().size(), 100u);
}

TEST_F(UpstreamResolverTest, MoreQuestionsThanConnectionsTakeWaitAndThenAreRefused) {
  a_.mute = true;
  const auto at = target(a_.address(), "dns.example");  // no handshake: everything waits
  std::vector<std::shared_ptr<Outcome>> outcomes;
  for (std::size_t i = 0; i < UpstreamTarget::kMaxQueued + 10; ++i)
    outcomes.push_back(ask({at}, 60000));
  EXPECT_TRUE(run([&] { return resolver_->in_flight() == UpstreamTarget::kMaxQueued; }));
  EXPECT_EQ(counter(StreamCounter::failed), 10u);
  EXPECT_NE(outcomes.back()->answer.error().find("too many questions wait"), std::string::npos);
}

TEST_F(UpstreamResolverTest, TooManyQuestionsAreRefusedAtOnce) {
  resolver_.emplace(io_, 3);
  const auto at = target(a_.address());
  for (int i = 0; i < 3; ++i)
    ask({at});
  EXPECT_FALSE(resolver_->ask({{at}, query(), 100, 2, false}, [](const auto&) { FAIL(); }));
  EXPECT_EQ(counter(StreamCounter::refused), 1u);
  EXPECT_EQ(resolver_->in_flight(), 3u);
}

TEST_F(UpstreamResolverTest, AFailureHasTheNextTargetAsked) {
  for (const unsigned rcode : {2u, 5u}) {
    const auto outcome = ask({target(a_.address()), target(b_.address())});
    const std::size_t c = a_.connections.size();
    const Bytes asked = question(a_, c);
    a_.at(c).send(with_rcode(answer_to(asked, 1), rcode));
    const Bytes again = question(b_, c);
    b_.at(c).send(answer_to(again, 2));
    ASSERT_TRUE(done(outcome));
    EXPECT_EQ(outcome->last_octet(), 2);
  }
}

TEST_F(UpstreamResolverTest, WhereNoneKnowsBetterTheFailureIsTheAnswer) {
  auto outcome = ask({target(a_.address()), target(b_.address())}, 50);
  question(a_);
  a_.at(0).send(with_rcode(answer_to(a_.at(0).questions()[0]), 2));
  ASSERT_TRUE(done(outcome));  // b is silent
  ASSERT_TRUE(outcome->answer);
  EXPECT_EQ(outcome->answer->message[3] & 15, 2);
}

TEST_F(UpstreamResolverTest, IdleConnectionsAreClosedWhenTheTargetSaysSo) {
  const auto at = target(a_.address());
  auto outcome = ask({at});
  const Bytes first = question(a_);
  EXPECT_EQ(options_of(first), (std::vector<std::pair<unsigned, unsigned>>{{kKeepalive, 0}}));
  a_.at(0).send(answer_to(first, 1, Bytes{0, kKeepalive, 0, 2, 0, 1}));  // 100 ms
  ASSERT_TRUE(done(outcome));
  const auto begin = std::chrono::steady_clock::now();
  ASSERT_TRUE(run([&] { return a_.at(0).ended; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(80));
  EXPECT_EQ(counter(StreamCounter::closed_idle), 1u);
  outcome = ask({at});
  const Bytes asked = question(a_, 1);
  a_.at(1).send(answer_to(asked, 1, Bytes{0, kKeepalive, 0, 2, 0, 0}));  // at once
  ASSERT_TRUE(done(outcome));
  ASSERT_TRUE(run([&] { return a_.at(1).ended; }, milliseconds(500)));
}

TEST_F(UpstreamResolverTest, KeepaliveIsAskedForOncePerConnection) {
  const auto at = target(a_.address());
  for (std::size_t i = 0; i < 2; ++i) {
    const auto outcome = ask({at});
    const Bytes asked = question(a_, 0, i);
    EXPECT_EQ(options_of(asked).size(), i == 0 ? 1u : 0u);
    a_.at(0).send(answer_to(asked));
    ASSERT_TRUE(done(outcome));
  }
}

TEST_F(UpstreamResolverTest, AQuestionWithoutEdnsGetsNone) {
  const Bytes plain = MessageBuilder(7).question(wire_name("plain.example")).build();
  const auto outcome = ask({target(a_.address())}, 2000, plain);
  Bytes asked = question(a_);
  asked[0] = plain[0];
  asked[1] = plain[1];
  EXPECT_EQ(asked, plain);
}

TEST_F(UpstreamResolverTest, UsesTheSocketAndTheSourceItIsGiven) {
  UpstreamTargetOptions options;
  options.address = a_.address();
  options.sources = {*IpAddress::parse("127.0.0.9")};
  std::vector<std::pair<int, int>> made;
  options.open_socket = [&](int family, int type) -> Result<int> {
    made.emplace_back(family, type);
    return ::socket(family, type, 0);
  };
  const auto outcome = ask({target(options)});
  const Bytes asked = question(a_);
  EXPECT_EQ(made, (std::vector<std::pair<int, int>>{{AF_INET, SOCK_STREAM}}));
  EXPECT_EQ(a_.at(0).from(), "127.0.0.9");
  options.open_socket = [](int, int) -> Result<int> { return Failure("no sockets today"); };
  const auto none = ask({target(options)}, 60000);
  ASSERT_TRUE(done(none));
  EXPECT_NE(none->answer.error().find("no sockets today"), std::string::npos);
}

TEST_F(UpstreamResolverTest, ATargetMayGoWhileItsQuestionsAreInFlight) {
  auto at = target(a_.address());
  const auto outcome = ask({at});
  const Bytes asked = question(a_);
  const std::weak_ptr<UpstreamTarget> weak = at;
  at.reset();  // a reload
  a_.at(0).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
  EXPECT_TRUE(run([&] { return weak.expired() && a_.at(0).ended; }));
}

TEST_F(UpstreamResolverTest, QuestionsThatWaitedForATargetThatWentLeaveNothingBehind) {
  a_.mute = true;
  auto at = target(a_.address(), "dns.example");
  const auto outcome = ask({at}, 30);
  const std::weak_ptr<UpstreamTarget> weak = at;
  at.reset();
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(weak.expired());
}

TEST_F(UpstreamResolverTest, GoesWithQuestionsInFlight) {
  const auto at = target(a_.address());
  const auto outcome = ask({at});
  question(a_);
  const std::weak_ptr<UpstreamTarget> weak = at;
  resolver_.reset();
  run([] { return false; }, milliseconds(20));
  EXPECT_EQ(outcome->calls, 0);
  EXPECT_EQ(weak.use_count(), 1);
}

// TLS.

class UpstreamTlsTest : public UpstreamResolverTest {
 protected:
  void expect_refused(const std::string& why) {
    const auto outcome = ask({at_}, 60000);
    ASSERT_TRUE(done(outcome));
    ASSERT_FALSE(outcome->answer);
    EXPECT_NE(outcome->answer.error().find(why), std::string::npos) << outcome->answer.error();
    ASSERT_FALSE(told_.failed.empty());
    EXPECT_NE(told_.failed[0].find(why), std::string::npos) << told_.failed[0];
    EXPECT_TRUE(a_.connections.back().received.empty()) << "a question was told to a stranger";
  }
  void answer_one(std::size_t connection) {
    const auto outcome = ask({at_});
    const Bytes asked = question(a_, connection);
    a_.at(connection).send(answer_to(asked));
    ASSERT_TRUE(done(outcome));
    ASSERT_TRUE(outcome->answer) << outcome->answer.error();
  }
  std::shared_ptr<UpstreamTarget> at_;
};

TEST_F(UpstreamTlsTest, AsksByNameOverDotAndPadsItsQuestions) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  const auto one = ask({at_}),
             two = ask({at_}, 2000, query(std::string(60, 'x') + "." + std::string(60, 'y')));
  question(a_, 0, 1);
  EXPECT_EQ(a_.at(0).alpn(), "dot");
  EXPECT_EQ(a_.at(0).sni(), "dns.example");
  std::set<std::size_t> sizes;
  for (const Bytes& asked : a_.at(0).questions()) {
    sizes.insert(asked.size());
    EXPECT_EQ(options_of(asked).back().first, kPadding);
    a_.at(0).send(answer_to(asked));
  }
  EXPECT_EQ(sizes, (std::set<std::size_t>{128, 256}));
  ASSERT_TRUE(done(one) && done(two));
  EXPECT_TRUE(one->answer && two->answer);
  EXPECT_EQ(counter(StreamCounter::handshakes_full), 1u);
}

// A server may read one message of a record and then wait for the socket: NSD 4.6 does.
TEST_F(UpstreamTlsTest, OneRecordForEachOfTheQuestionsThatLeaveTogether) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  for (int i = 0; i < 5; ++i)
    ask({at_});
  question(a_, 0, 4);
  EXPECT_EQ(a_.at(0).records, std::vector<std::size_t>(5, 2 + 128));
}

TEST_F(UpstreamTlsTest, NamesByWildcardAndByAddress) {
  a_.use(ServerTls(leaf()));
  std::size_t c = 0;
  for (const std::string name : {"ns1.wild.example", "127.0.0.1"}) {
    at_ = target(a_.address(), name);
    answer_one(c);
    EXPECT_EQ(a_.at(c++).sni(), name == "127.0.0.1" ? "" : name);
  }
}

TEST_F(UpstreamTlsTest, WrongName) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example.org");
  expect_refused("certificate: not for \"dns.example.org\"");
}

TEST_F(UpstreamTlsTest, WrongAddress) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "127.0.0.2");
  expect_refused("certificate: not for \"127.0.0.2\"");
}

TEST_F(UpstreamTlsTest, ExpiredCertificate) {
  a_.use(ServerTls(authority().sign("DNS:dns.example", -7200, -3600)));
  at_ = target(a_.address(), "dns.example");
  expect_refused("certificate: certificate has expired");
}

TEST_F(UpstreamTlsTest, CertificateOfTomorrow) {
  a_.use(ServerTls(authority().sign("DNS:dns.example", 86400, 2 * 86400)));
  at_ = target(a_.address(), "dns.example");
  expect_refused("certificate: certificate is not yet valid");
}

TEST_F(UpstreamTlsTest, UntrustedAuthority) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example", Certificate::authority("another").pem());
  expect_refused("certificate: unable to get local issuer certificate");
}

TEST_F(UpstreamTlsTest, SelfSignedCertificateAndTheSystemsTrust) {
  a_.use(ServerTls(authority()));
  at_ = target(a_.address(), "dns.example", "");
  expect_refused("certificate: self-signed certificate");
}

TEST_F(UpstreamTlsTest, TooOldAVersion) {
  a_.use(ServerTls(leaf(), TLS1_1_VERSION));
  at_ = target(a_.address(), "dns.example");
  expect_refused("TLS: ");
}

TEST_F(UpstreamTlsTest, AServerWithoutTls) {
  at_ = target(a_.address(), "dns.example");
  const auto outcome = ask({at_}, 60000);
  ASSERT_TRUE(run([&] {
    for (Accepted& connection : a_.connections)
      if (!connection.received.empty()) connection.send_raw("220 mail.example ESMTP\r\n");
    return outcome->calls != 0;
  }));
  EXPECT_NE(outcome->answer.error().find("TLS: wrong version number"), std::string::npos)
      << outcome->answer.error();
}

TEST_F(UpstreamTlsTest, ClosedDuringTheHandshake) {
  a_.mute = true;
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  const auto outcome = ask({at_}, 60000);
  ASSERT_TRUE(run([&] {
    for (Accepted& connection : a_.connections)
      connection.close();
    return outcome->calls != 0;
  }));
  EXPECT_EQ(counter(StreamCounter::connections_failed), 2u);
}

TEST_F(UpstreamTlsTest, NoHandshakeInTime) {
  a_.mute = true;
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  const auto outcome = ask({at_}, 60000);
  ASSERT_TRUE(run([&] { return !told_.failed.empty(); }));
  EXPECT_EQ(told_.failed[0], "no TLS handshake in time");
}

TEST_F(UpstreamTlsTest, SilentAfterTheHandshake) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  const auto outcome = ask({at_, target(b_.address())}, 100);
  question(a_);
  const Bytes asked = question(b_);
  b_.at(0).send(answer_to(asked));
  ASSERT_TRUE(done(outcome));
  EXPECT_EQ(outcome->answer->target, 1u);
}

TEST_F(UpstreamTlsTest, GarbageBelowTls) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  const auto outcome = ask({at_}, 60000);
  question(a_);
  a_.at(0).send_raw(std::string(100, 'x'));
  const Bytes again = question(a_, 1);
  a_.at(1).send(answer_to(again));
  ASSERT_TRUE(done(outcome));
  EXPECT_TRUE(outcome->answer);
  ASSERT_EQ(told_.failed.size(), 1u);
  EXPECT_EQ(told_.failed[0].substr(0, 5), "TLS: ");
}

TEST_F(UpstreamTlsTest, SessionsAreResumed) {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const ServerTls tls(leaf(), version);
    a_.use(tls);
    at_ = target(a_.address(), "dns.example");
    const std::size_t c = a_.connections.size();
    answer_one(c);
    EXPECT_FALSE(a_.at(c).resumed());
    for (std::size_t i = 1; i <= 3; ++i) {
      a_.at(c + i - 1).close();
      run([&] { return at_->connections() == 0; });
      answer_one(c + i);
      EXPECT_TRUE(a_.at(c + i).resumed()) << "TLS " << version;
    }
  }
  EXPECT_EQ(counter(StreamCounter::handshakes_full), 2u);
  EXPECT_EQ(counter(StreamCounter::handshakes_resumed), 6u);
}

TEST_F(UpstreamTlsTest, ASessionThatTheServerForgotIsNoHindrance) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  answer_one(0);
  a_.at(0).close();
  run([&] { return at_->connections() == 0; });
  ASSERT_GT(tls_->sessions(), 0u);
  a_.use(ServerTls(leaf()));  // other keys for its tickets
  answer_one(1);
  EXPECT_EQ(counter(StreamCounter::handshakes_full), 2u);
}

TEST_F(UpstreamTlsTest, AResumedSessionIsNoWayAroundTheName) {
  a_.use(ServerTls(leaf()));
  at_ = target(a_.address(), "dns.example");
  answer_one(0);
  a_.at(0).close();
  run([&] { return at_->connections() == 0; });
  a_.use(ServerTls(authority().sign("DNS:other.example")));
  expect_refused("certificate: not for \"dns.example\"");
}

}  // namespace
}  // namespace shunt::control
