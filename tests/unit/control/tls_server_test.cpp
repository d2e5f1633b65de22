// DNS over TLS: what TCP promises, and what TLS adds.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <list>

#include "control/tcp_options.h"
#include "dataplane/dns/reply.h"
#include "tests/unit/control/tls_server_fixture.h"

namespace shunt::control {
namespace {

constexpr StreamKind kTls = StreamKind::kTls;

Bytes with_option(unsigned code, std::size_t octets) {
  Bytes option;
  append16(option, code);
  append16(option, static_cast<unsigned>(octets));
  option.resize(option.size() + octets);
  Bytes message = MessageBuilder(1).question(wire_name("www.example.com")).opt().build();
  message[message.size() - 1] = static_cast<std::uint8_t>(option.size());
  append(message, option);
  return message;
}

/// What a worker makes of a query: its OPT without options.
Bytes bare_answer(const Bytes& message) {
  Bytes wire = message;
  wire.resize(wire.size() + 64);
  dns::Question question;
  EXPECT_EQ(dns::parse_query(message, question), dns::QueryVerdict::kGood);
  wire.resize(
      dns::make_reply(wire.data(), wire.size(), question, {.rcode = dns::Rcode::kNxDomain, .stream = true}));
  return wire;
}

TEST_F(TlsServerTest, HandsAQueryOverAndWritesItsAnswer) {
  start_tls();
  TlsPeer peer(tls_port_);
  peer.send(framed(query(1)));
  ASSERT_TRUE(run([&] { return peer.poll() && !taken_.empty(); }));
  EXPECT_EQ(taken_[0].message, query(1));
  EXPECT_EQ(taken_[0].endpoint, 7);
  EXPECT_EQ(peer.protocol(), "dot");
  EXPECT_EQ(server_->queries_in_flight(kTls), 1u);
  EXPECT_EQ(server_->connections(kTls), 1u);
  EXPECT_EQ(server_->connections(StreamKind::kTcp), 0u);
  answer(taken_[0]);
  ASSERT_TRUE(run([&] { return peer.messages().size() == 1; }));
  EXPECT_EQ(peer.messages()[0], answer_to(query(1)));
  EXPECT_EQ(counter_of(kTls, TcpCounter::handshakes), 1u);
  EXPECT_EQ(counter_of(kTls, TcpCounter::queries), 1u);
  EXPECT_EQ(counter_of(kTls, TcpCounter::answers), 1u);
  EXPECT_EQ(counter(TcpCounter::queries), 0u);
}

TEST_F(TlsServerTest, TicketsOfAllKindsLeaveTheOwnersBitsAlone) {
  start_tls();
  Peer plain = connect();
  TlsPeer tls(tls_port_);
  HttpPeer https(https_port_);
  plain.send(framed(query(1)));
  tls.send(framed(query(2)));
  https.post(query(3));
  ASSERT_TRUE(run([&] { return tls.poll() && https.poll() && taken_.size() == 3; }));
  for (const Taken& t : taken_)
    EXPECT_EQ(t.ticket >> 62, 0u);
}

TEST_F(TlsServerTest, PipelinedQueriesAreAnsweredOutOfOrder) {
  start_tls();
  TlsPeer peer(tls_port_);
  Bytes all;
  for (unsigned id = 0; id < 50; ++id)
    append(all, framed(query(id)));
  peer.send(all);
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 50; }));
  for (std::size_t i = 50; i-- > 0;)
    answer(taken_[i]);
  ASSERT_TRUE(run([&] { return peer.messages().size() == 50; }));
  for (unsigned i = 0; i < 50; ++i)
    EXPECT_EQ(peer.messages()[i], answer_to(query(49 - i)));
}

TEST_F(TlsServerTest, QueriesBeyondTheLimitWaitUntilOneIsAnswered) {
  TcpLimits limits = quick();
  limits.queries_per_connection = 3;
  start_tls(limits);
  TlsPeer peer(tls_port_);
  Bytes all;
  for (unsigned id = 0; id < 10; ++id)
    append(all, framed(query(id)));
  peer.send(all);
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 3; }));
  for (std::size_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() > i; }));
    EXPECT_LE(server_->queries_in_flight(), 3u);
    answer(taken_[i]);
  }
  EXPECT_TRUE(run([&] { return peer.messages().size() == 10; }));
}

TEST_F(TlsServerTest, AnswersOfManyRecordsArriveWhole) {
  start_tls();
  TlsPeer peer(tls_port_);
  peer.send(framed(query(1)));
  ASSERT_TRUE(run([&] { return peer.poll() && !taken_.empty(); }));
  answer(taken_[0], 65535);
  ASSERT_TRUE(run([&] { return peer.messages().size() == 1; }));
  EXPECT_EQ(peer.messages()[0], answer_to(query(1), 65535));
}

TEST_F(TlsServerTest, AHandshakeThatNeverEndsIsClosed) {
  TcpLimits limits = quick();
  limits.handshake_ms = 60;
  start_tls(limits);
  Peer silent = Peer::tcp(tls_port_), half = Peer::tcp(tls_port_);
  half.send(std::string_view("\x16\x03\x01\x02\x00\x01", 6));
  EXPECT_TRUE(ended(silent));
  EXPECT_TRUE(ended(half));
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_handshake), 2u);
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(TlsServerTest, UnderPressureHandshakesHaveLessTime) {
  TcpLimits limits = quick();
  limits.connections = 4;
  limits.handshake_ms = 60000;
  limits.pressed_idle_ms = 40;
  start_tls(limits);
  Peer a = Peer::tcp(tls_port_), b = Peer::tcp(tls_port_), c = Peer::tcp(tls_port_);
  ASSERT_TRUE(connected(3));
  run_for(io_, milliseconds(100));
  EXPECT_EQ(server_->connections(), 3u);
  Peer d = Peer::tcp(tls_port_);
  EXPECT_TRUE(run([&] { return counter_of(kTls, TcpCounter::closed_handshake) >= 1; }));
}

TEST_F(TlsServerTest, GarbageInPlaceOfAHandshakeClosesTheConnection) {
  start_tls();
  std::uint64_t failed = 0;
  for (const std::string& garbage : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100, '\0'),
                                     std::string("\x16\x03\x01\xff\xff") + std::string(70000, '\1')}) {
    Peer peer = Peer::tcp(tls_port_);
    peer.send(garbage);
    EXPECT_TRUE(ended(peer));
    EXPECT_EQ(counter_of(kTls, TcpCounter::handshakes_failed), ++failed);
  }
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(TlsServerTest, GarbageBehindTheHandshakeClosesTheConnection) {
  start_tls();
  TlsPeer peer(tls_port_);
  ASSERT_TRUE(run([&] { return peer.ready(); }));
  ASSERT_TRUE(run([&] { return counter_of(kTls, TcpCounter::handshakes) == 1; }));
  peer.raw.send(std::string(200, '\x55'));
  EXPECT_TRUE(run([&] { return peer.ended(); }));
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_error), 1u);
}

TEST_F(TlsServerTest, AClientThatOffersOtherProtocolsIsRefused) {
  start_tls();
  TlsPeer other(tls_port_, {.protocol = "h2"}), none(tls_port_, {.protocol = ""});
  EXPECT_TRUE(run([&] { return other.poll() && other.failed; }));
  EXPECT_EQ(counter_of(kTls, TcpCounter::handshakes_failed), 1u);
  EXPECT_TRUE(run([&] { return none.ready(); }));  // many clients offer nothing
}

TEST_F(TlsServerTest, VersionsBelowTls12AreRefused) {
  start_tls();
  TlsPeer old(tls_port_, {.most_version = TLS1_1_VERSION}), fine(tls_port_, {.most_version = TLS1_2_VERSION});
  EXPECT_TRUE(run([&] { return old.poll() && old.failed; }));
  EXPECT_TRUE(run([&] { return fine.ready(); }));
}

TEST_F(TlsServerTest, ASessionIsResumedByItsTicketAndAcrossAReload) {
  start_tls();
  SSL_SESSION* session = nullptr;
  {
    TlsPeer first(tls_port_, {.most_version = TLS1_2_VERSION});
    ASSERT_TRUE(run([&] { return first.ready(); }));
    session = SSL_get1_session(first.ssl());
  }
  ASSERT_TRUE(server_->set_endpoints({plain(), tls(), https()}));
  TlsPeer again(tls_port_, {.most_version = TLS1_2_VERSION, .session = session});
  EXPECT_TRUE(run([&] { return again.ready() && counter_of(kTls, TcpCounter::handshakes) == 2; }));
  EXPECT_EQ(SSL_session_reused(again.ssl()), 1);
  EXPECT_EQ(counter_of(kTls, TcpCounter::handshakes_resumed), 1u);
  SSL_SESSION_free(session);
}

TEST_F(TlsServerTest, TicketsEndWithTheirKey) {
  start_tls();
  SSL_SESSION* session = nullptr;
  {
    TlsPeer first(tls_port_, {.most_version = TLS1_2_VERSION});
    ASSERT_TRUE(run([&] { return first.ready(); }));
    session = SSL_get1_session(first.ssl());
  }
  const auto resumed = [&](TlsContext::Clock::duration later) {
    SSL_free(context_->new_session(kTls, TlsContext::Clock::now() + later));
    TlsPeer again(tls_port_, {.most_version = TLS1_2_VERSION, .session = session});
    EXPECT_TRUE(run([&] { return again.ready(); }));
    return SSL_session_reused(again.ssl()) == 1;
  };
  EXPECT_TRUE(resumed(TlsContext::kTicketKeyAge - std::chrono::hours(1)));
  EXPECT_FALSE(resumed(TlsContext::kTicketKeyAge));
  SSL_SESSION_free(session);
}

TEST_F(TlsServerTest, TheClientIsToldOfTheEnd) {
  TcpLimits limits = quick();
  start_tls(limits);
  TlsPeer peer(tls_port_);
  ASSERT_TRUE(run([&] { return peer.ready(); }));
  ASSERT_TRUE(run([&] { return peer.poll() && counter_of(kTls, TcpCounter::handshakes) == 1; }));
  ASSERT_TRUE(server_->set_endpoints({plain()}));
  EXPECT_TRUE(run([&] { return peer.poll() && peer.closed; }));
  EXPECT_FALSE(peer.raw.reset);
}

TEST_F(TlsServerTest, AClientThatGoesWithoutAWordIsNoError) {
  start_tls();
  TlsPeer peer(tls_port_);
  ASSERT_TRUE(run([&] { return peer.ready(); }));
  ASSERT_TRUE(run([&] { return peer.poll() && counter_of(kTls, TcpCounter::handshakes) == 1; }));
  peer.raw.close();
  EXPECT_TRUE(connected(0));
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_error), 0u);
}

TEST_F(TlsServerTest, IdleConnectionsAndSlowSendersAreClosed) {
  TcpLimits limits = quick();
  limits.idle_ms = 80;
  limits.message_ms = 80;
  start_tls(limits);
  TlsPeer idle(tls_port_), slow(tls_port_);
  slow.send(std::string_view("\0\x20\x12", 3));
  EXPECT_TRUE(run([&] { return slow.poll() && idle.ended() && slow.ended(); }));
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_idle), 1u);
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_slow_sender), 1u);
}

TEST_F(TlsServerTest, AReaderThatNeverReadsPaysAlone) {
  TcpLimits limits = quick();
  limits.unsent_octets = 128 * 1024;
  start_tls(limits);
  TlsPeer deaf(tls_port_, {.receive_buffer = 2048}), good(tls_port_);
  Bytes all;
  for (unsigned i = 0; i < 100; ++i)
    append(all, framed(query(i)));
  deaf.send(all);
  ASSERT_TRUE(run([&] { return deaf.poll() && taken_.size() == 100; }));
  for (const Taken& t : taken_)
    answer(t, 65535);
  taken_.clear();
  good.send(framed(query(9)));
  ASSERT_TRUE(run([&] { return good.poll() && !taken_.empty(); }));
  answer(taken_[0]);
  EXPECT_TRUE(run([&] { return good.messages().size() == 1; }));
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_slow_reader), 1u);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(TlsServerTest, OfTooManyHandshakesTheOneGivesWayWhoseClientHasMost) {
  TcpLimits limits = quick();
  limits.handshakes = 3;
  limits.handshake_ms = 60000;
  start_tls(limits);
  TlsPeer good(tls_port_, {.from = "127.0.0.9"});
  ASSERT_TRUE(connected(1));
  Peer a = Peer::tcp(tls_port_), b = Peer::tcp(tls_port_);
  ASSERT_TRUE(connected(3));
  Peer c = Peer::tcp(https_port_), d = Peer::tcp(tls_port_);
  EXPECT_TRUE(ended(a));
  EXPECT_TRUE(ended(b));
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_handshake_full), 2u);
  EXPECT_EQ(server_->handshakes(), 3u);
  EXPECT_TRUE(run([&] { return good.ready() && counter_of(kTls, TcpCounter::handshakes) == 1; }));
  EXPECT_EQ(server_->handshakes(), 2u);
  c.close();
  d.close();
  EXPECT_TRUE(connected(1));
  EXPECT_EQ(server_->handshakes(), 0u);
}

TEST_F(TlsServerTest, HandshakesWaitWhereTheirShareIsSpentAndAllComeToAnEnd) {
  TcpLimits limits = quick();
  limits.handshake_share = 2;
  start_tls(limits);
  std::list<TlsPeer> peers;
  for (int i = 0; i < 20; ++i)
    peers.emplace_back(tls_port_);
  const auto ready = [&] {
    return std::count_if(peers.begin(), peers.end(), [](TlsPeer& peer) { return peer.ready(); });
  };
  EXPECT_FALSE(run_until(
      io_, [&] { return ready() == 20; }, milliseconds(40)));
  EXPECT_TRUE(run([&] { return ready() == 20; }));
}

TEST_F(TlsServerTest, ConnectionsWhoseHandshakeWaitsAreClosedInTime) {
  TcpLimits limits = quick();
  limits.handshake_share = 1;
  limits.handshake_ms = 60;
  start_tls(limits);
  {
    std::list<TlsPeer> peers;
    for (int i = 0; i < 40; ++i)
      peers.emplace_back(tls_port_);
    EXPECT_TRUE(run([&] {
      for (TlsPeer& peer : peers)
        peer.poll();
      return counter_of(kTls, TcpCounter::closed_handshake) >= 5;
    }));
  }
  EXPECT_TRUE(connected(0));
}

TEST_F(TlsServerTest, AFloodOfKeyUpdatesIsClosedAndOthersAreServedMeanwhile) {
  start_tls();
  TlsPeer flood(tls_port_), good(tls_port_);
  ASSERT_TRUE(
      run([&] { return flood.ready() && good.ready() && counter_of(kTls, TcpCounter::handshakes) == 2; }));
  for (int i = 0; i < 5000; ++i) {
    SSL_key_update(flood.ssl(), SSL_KEY_UPDATE_NOT_REQUESTED);
    SSL_do_handshake(flood.ssl());
  }
  flood.poll();
  good.send(framed(query(1)));
  ASSERT_TRUE(run([&] { return good.poll() && !taken_.empty(); }));
  EXPECT_EQ(server_->connections(), 2u) << "the flood took the thread until its end";
  EXPECT_TRUE(run([&] { return flood.ended(); }));
  EXPECT_EQ(counter_of(kTls, TcpCounter::closed_flood), 1u);
  EXPECT_EQ(server_->connections(), 1u);
}

TEST_F(TlsServerTest, NowAndThenAKeyUpdateIsFine) {
  start_tls();
  TlsPeer peer(tls_port_);
  ASSERT_TRUE(run([&] { return peer.ready(); }));
  for (unsigned i = 0; i < 200; ++i) {
    for (int n = 0; n < 10; ++n) {
      SSL_key_update(peer.ssl(), SSL_KEY_UPDATE_REQUESTED);
      SSL_do_handshake(peer.ssl());
    }
    peer.send(framed(query(i)));
    ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == i + 1; })) << i;
    answer(taken_[i]);
    ASSERT_TRUE(run([&] { return peer.messages().size() == i + 1; })) << i;
  }
}

TEST_F(TlsServerTest, IdleTimeShortensAsConnectionsFill) {
  TcpLimits limits = quick();
  limits.connections = 8;
  limits.idle_ms = 8000;
  limits.pressed_idle_ms = 700;
  start_tls(limits);
  std::list<TlsPeer> peers;
  std::vector<unsigned> told;  // by edns-tcp-keepalive, in units of 100 ms
  for (std::size_t i = 0; i < 8; ++i) {
    TlsPeer& peer = peers.emplace_back(tls_port_);
    peer.send(framed(with_option(11, 0)));
    ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == i + 1; }));
    server_->answer(taken_[i].ticket, bare_answer(taken_[i].message));
    ASSERT_TRUE(run([&] { return peer.messages().size() == 1; }));
    const Bytes message = peer.messages()[0];
    told.push_back(load_be16(&message[message.size() - 2]));
  }
  EXPECT_EQ(told, (std::vector<unsigned>{80, 80, 80, 80, 60, 40, 7, 7}));
  EXPECT_TRUE(run([&] { return server_->connections() <= 6; })) << "but no more than it takes";
  EXPECT_GE(counter_of(kTls, TcpCounter::closed_idle), 2u);
}

TEST_F(TlsServerTest, ConnectionsAreLimitedOverAllKinds) {
  TcpLimits limits = quick();
  limits.connections_per_client = 3;
  start_tls(limits);
  Peer a = connect(), b = Peer::tcp(tls_port_), c = Peer::tcp(https_port_);
  ASSERT_TRUE(connected(3));
  Peer d = Peer::tcp(tls_port_);
  EXPECT_TRUE(ended(d));
  EXPECT_EQ(counter_of(kTls, TcpCounter::connections_client_limit), 1u);
}

TEST_F(TlsServerTest, ANewCertificateIsForNewConnections) {
  start_tls();
  TlsPeer old(tls_port_);
  ASSERT_TRUE(run([&] { return old.ready(); }));
  EXPECT_EQ(old.serial(), 1);
  context_ = *TlsContext::make(tls_of(make_certificate({.serial = 2})));
  ASSERT_TRUE(server_->set_endpoints({plain(), tls(), https()}));
  TlsPeer fresh(tls_port_);
  ASSERT_TRUE(run([&] { return fresh.ready(); }));
  EXPECT_EQ(fresh.serial(), 2);
  old.send(framed(query(1)));
  ASSERT_TRUE(run([&] { return old.poll() && !taken_.empty(); }));
  answer(taken_[0]);
  EXPECT_TRUE(run([&] { return old.messages().size() == 1; }));
}

TEST_F(TlsServerTest, StopAndDestructionEndHandshakesToo) {
  start_tls();
  Peer silent = Peer::tcp(tls_port_);
  TlsPeer idle(tls_port_);
  ASSERT_TRUE(run([&] { return idle.ready() && counter_of(kTls, TcpCounter::handshakes) == 1; }));
  bool done = false;
  server_->stop(2000, [&] { done = true; });
  EXPECT_TRUE(run([&] { return idle.poll() && done; }));
  EXPECT_TRUE(ended(silent));
  server_.reset();
}

TEST_F(TlsServerTest, DestructionWithQueriesAndWritesUnderWay) {
  start_tls();
  TlsPeer peer(tls_port_, {.receive_buffer = 2048});
  for (unsigned id = 0; id < 4; ++id)
    peer.send(framed(query(id)));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 4; }));
  answer(taken_[0], 65535);
  server_.reset();
  run_for(io_, milliseconds(20));
  EXPECT_TRUE(run([&] { return peer.ended(); }));
}

TEST(HopOptions, AreThoseOfTheQuery) {
  EXPECT_TRUE(asked_options(with_option(12, 0)).padding);
  EXPECT_TRUE(asked_options(with_option(12, 100)).padding);
  EXPECT_TRUE(asked_options(with_option(11, 0)).keepalive);
  EXPECT_FALSE(asked_options(with_option(11, 0)).padding);
  EXPECT_FALSE(asked_options(with_option(10, 8)).padding);
  EXPECT_FALSE(asked_options(query(1)).padding);
  EXPECT_FALSE(asked_options(Bytes(12, 0xff)).padding);
}

TEST(HopOptions, PadToTheBlockAndStayWellFormed) {
  const Bytes message = with_option(12, 4);
  Bytes padded = bare_answer(message);
  add_options(padded, {.padding = true, .keepalive = true}, 10000);
  EXPECT_EQ(padded.size(), kPaddingBlock);
  dns::Reply reply;
  dns::Name name;
  ASSERT_EQ(dns::parse_reply(padded, reply, name), dns::ReplyVerdict::kGood);
  EXPECT_EQ(reply.opt_end, padded.size());
  const std::size_t options = reply.edns.options_offset;
  EXPECT_EQ(load_be16(&padded[options]), 11u);
  EXPECT_EQ(load_be16(&padded[options + 4]), 100u);  // units of 100 ms
  EXPECT_EQ(load_be16(&padded[options + 6]), 12u);
}

TEST(HopOptions, NeverExceedWhatAMessageMayHave) {
  for (const std::size_t size : {std::size_t{467}, std::size_t{464}, std::size_t{468}, std::size_t{65520},
                                 std::size_t{65533}, std::size_t{65535}}) {
    // A record of opaque data fills the answer up to `size`.
    Bytes filled = MessageBuilder(1).question(wire_name("www.example.com")).opt().build();
    filled[2] |= 0x80;
    const Bytes opt(filled.end() - 11, filled.end());
    filled.resize(filled.size() - 11);
    filled[7] = 1;
    append(filled, Bytes{0xc0, 12, 0, 10, 0, 1, 0, 0, 1, 0});
    const std::size_t data = size - filled.size() - 2 - 11;
    append16(filled, static_cast<unsigned>(data));
    filled.resize(filled.size() + data);
    append(filled, opt);
    ASSERT_EQ(filled.size(), size);
    const Bytes before = filled;
    add_options(filled, {.padding = true}, 0);
    EXPECT_LE(filled.size(), 65535u);
    if (size <= 65531) {
      EXPECT_TRUE(filled.size() % kPaddingBlock == 0 || filled.size() == 65535) << size;
    } else {
      EXPECT_EQ(filled, before);
    }
    dns::Reply reply;
    dns::Name name;
    EXPECT_EQ(dns::parse_reply(filled, reply, name), dns::ReplyVerdict::kGood) << size;
  }
}

TEST(HopOptions, NeedAnOpt) {
  Bytes plain = answer_to(query(1));
  const Bytes before = plain;
  add_options(plain, {.padding = true, .keepalive = true}, 10000);
  EXPECT_EQ(plain, before);
}

TEST_F(TlsServerTest, PaddingIsForEncryptedStreamsOnly) {
  start_tls();
  TlsPeer tls(tls_port_);
  Peer plain = connect();
  tls.send(framed(with_option(12, 4)));
  ASSERT_TRUE(run([&] { return tls.poll() && taken_.size() == 1; }));
  plain.send(framed(with_option(12, 4)));
  ASSERT_TRUE(taken(2));
  for (const Taken& t : taken_)
    server_->answer(t.ticket, bare_answer(t.message));
  ASSERT_TRUE(
      run([&] { return tls.messages().size() == 1 && plain.poll() && plain.messages().size() == 1; }));
  EXPECT_EQ(tls.messages()[0].size(), kPaddingBlock);
  EXPECT_EQ(plain.messages()[0], bare_answer(with_option(12, 4)));
}

TEST_F(TlsServerTest, KeepaliveTellsTheIdleTimeThatHolds) {
  TcpLimits limits = quick();
  limits.idle_ms = 5000;
  start_tls(limits);
  Peer plain = connect();
  plain.send(framed(with_option(11, 0)));
  ASSERT_TRUE(taken(1));
  server_->answer(taken_[0].ticket, bare_answer(taken_[0].message));
  ASSERT_TRUE(run([&] { return plain.poll() && plain.messages().size() == 1; }));
  const Bytes message = plain.messages()[0];
  EXPECT_EQ(load_be16(&message[message.size() - 2]), 50u);
}

TEST(TlsContext, ServesWhatIsEqual) {
  const TestCertificate a = make_certificate(), b = make_certificate();
  const auto context = TlsContext::make(tls_of(a));
  ASSERT_TRUE(context) << context.error();
  EXPECT_TRUE((*context)->serves(tls_of(a)));
  EXPECT_FALSE((*context)->serves(tls_of(b)));
  EXPECT_FALSE((*context)->serves(tls_of(a, "/other")));
  EXPECT_FALSE((*context)->serves(conf::Tls{}));
}

TEST(TlsContext, BadMaterialIsNamed) {
  conf::Tls tls = tls_of(make_certificate());
  auto mixed = std::make_shared<conf::Certificate>(*tls.loaded);
  mixed->key = tls_of(make_certificate()).loaded->key;
  tls.loaded = mixed;
  const auto made = TlsContext::make(tls);
  ASSERT_FALSE(made);
  EXPECT_NE(made.error().find("gw.key"), std::string::npos) << made.error();
  EXPECT_FALSE(TlsContext::make(conf::Tls{}));
}

}  // namespace
}  // namespace shunt::control
