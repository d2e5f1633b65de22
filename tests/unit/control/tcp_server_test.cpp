#include "control/tcp_server.h"

#include <gtest/gtest.h>

#include <chrono>

#include "dataplane/dns/reply.h"
#include "tests/unit/control/tcp_server_fixture.h"

namespace shunt::control {
namespace {

TEST_F(TcpServerTest, HandsAQueryOverAndWritesItsAnswer) {
  start(quick());
  Peer peer = connect();
  peer.send(framed(query(1)));
  ASSERT_TRUE(taken(1));
  EXPECT_EQ(taken_[0].message, query(1));
  EXPECT_EQ(taken_[0].endpoint, 7);
  EXPECT_EQ(taken_[0].client.address, *IpAddress::parse("127.0.0.1"));
  EXPECT_EQ(server_->queries_in_flight(), 1u);
  server_->answer(taken_[0].ticket, answer_to(query(1)));
  ASSERT_TRUE(run([&] { return peer.poll() && peer.messages().size() == 1; }));
  EXPECT_EQ(peer.messages()[0], answer_to(query(1)));
  EXPECT_EQ(server_->queries_in_flight(), 0u);
  EXPECT_EQ(counter(TcpCounter::answers), 1u);
}

TEST_F(TcpServerTest, PipelinedQueriesAreAnsweredOutOfOrder) {
  start(quick());
  Peer peer = connect();
  Bytes all;
  for (unsigned id = 0; id < 50; ++id)
    append(all, framed(query(id)));
  ASSERT_EQ(peer.send(all), all.size());
  ASSERT_TRUE(taken(50));
  for (std::size_t i = 50; i-- > 0;)
    server_->answer(taken_[i].ticket, answer_to(taken_[i].message));
  ASSERT_TRUE(run([&] { return peer.poll() && peer.messages().size() == 50; }));
  for (unsigned i = 0; i < 50; ++i)
    EXPECT_EQ(peer.messages()[i], answer_to(query(49 - i)));
}

TEST_F(TcpServerTest, TellsOfAnswersWhoGaveThem) {
  start(quick());
  const auto began = std::chrono::steady_clock::now();
  Peer peer = connect();
  Bytes all;
  for (unsigned id = 0; id < 4; ++id)
    append(all, framed(query(id)));
  peer.send(all);
  ASSERT_TRUE(taken(4));
  server_->note_end(taken_[2].ticket, state::QueryEnd::kCache);
  server_->note_end(taken_[3].ticket, state::QueryEnd::kZone);
  server_->note_end(99999, state::QueryEnd::kZone);  // nobody's
  server_->answer(taken_[3].ticket, answer_to(taken_[3].message));
  server_->answer(taken_[2].ticket, answer_to(taken_[2].message));
  server_->answer(taken_[1].ticket, answer_to(taken_[1].message));
  server_->drop(taken_[0].ticket);
  ASSERT_EQ(answered_.size(), 3u);
  EXPECT_EQ(answered_[0].end, state::QueryEnd::kZone);
  EXPECT_EQ(answered_[1].end, state::QueryEnd::kCache);
  EXPECT_EQ(answered_[2].end, state::QueryEnd::kError) << "nobody said";
  for (const TcpAnswered& a : answered_) {
    EXPECT_EQ(a.client, taken_[0].client);
    EXPECT_EQ(a.server, loopback_address(0));
    EXPECT_EQ(a.kind, StreamKind::kTcp);
    EXPECT_TRUE(began <= a.asked && a.asked <= std::chrono::steady_clock::now());
  }
}

TEST_F(TcpServerTest, QueriesBeyondTheLimitWaitInTheKernel) {
  TcpLimits limits = quick();
  limits.queries_per_connection = 3;
  start(limits);
  Peer peer = connect();
  Bytes all;
  for (unsigned id = 0; id < 10; ++id)
    append(all, framed(query(id)));
  peer.send(all);
  ASSERT_TRUE(taken(3));
  run_for(io_, milliseconds(30));
  EXPECT_EQ(taken_.size(), 3u);
  for (std::size_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(taken(i + 1));
    EXPECT_EQ(taken_[i].message, query(static_cast<unsigned>(i)));
    server_->answer(taken_[i].ticket, answer_to(taken_[i].message));
    EXPECT_LE(server_->queries_in_flight(), 3u);
  }
  EXPECT_TRUE(run([&] { return peer.poll() && peer.messages().size() == 10; }));
}

TEST_F(TcpServerTest, TakesAMessageThatComesOctetByOctet) {
  start(quick());
  Peer peer = connect();
  const Bytes message = framed(query(5));
  for (const std::uint8_t octet : message) {
    EXPECT_TRUE(taken_.empty());
    peer.send(Bytes{octet});
    run_for(io_, milliseconds(1));
  }
  ASSERT_TRUE(taken(1));
  EXPECT_EQ(taken_[0].message, query(5));
}

TEST_F(TcpServerTest, TakesTheLargestMessage) {
  start(quick());
  Peer peer = connect();
  const Bytes message = answer_to(query(1), kMaxMessage);
  for (int i = 0; i < 5; ++i)
    peer.send(framed(message));
  ASSERT_TRUE(taken(5));
  for (const Taken& t : taken_)
    EXPECT_EQ(t.message, message);
}

TEST_F(TcpServerTest, ALengthThatNoQueryHasClosesTheConnection) {
  start(quick());
  std::uint64_t closed = 0;
  for (const unsigned length : {0u, 11u, static_cast<unsigned>(kMaxMessage) + 1, 65535u}) {
    Peer peer = connect();
    Bytes octets;
    append16(octets, length);
    peer.send(octets);
    EXPECT_TRUE(ended(peer)) << length;
    EXPECT_EQ(counter(TcpCounter::closed_bad_length), ++closed);
  }
  EXPECT_TRUE(taken_.empty());
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(TcpServerTest, ALengthLongerThanWhatFollowsIsASlowSender) {
  TcpLimits limits = quick();
  limits.message_ms = 60;
  start(limits);
  Peer peer = connect();
  Bytes octets = framed(query(1));
  octets[1] = static_cast<std::uint8_t>(octets[1] + 10);
  peer.send(octets);
  EXPECT_TRUE(ended(peer));
  EXPECT_EQ(counter(TcpCounter::closed_slow_sender), 1u);
  EXPECT_TRUE(taken_.empty());
}

TEST_F(TcpServerTest, TricklingDoesNotExtendAMessagesTime) {
  TcpLimits limits = quick();
  limits.message_ms = 80;
  start(limits);
  Peer peer = connect();
  const Bytes message = framed(query(1));
  std::size_t at = 0;
  const auto begin = std::chrono::steady_clock::now();
  while (!peer.ended && at + 1 < message.size()) {
    peer.send(Bytes{message[at++]});
    run_for(io_, milliseconds(20));
    peer.poll();
  }
  EXPECT_TRUE(peer.ended);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, milliseconds(400));
  EXPECT_EQ(counter(TcpCounter::closed_slow_sender), 1u);
}

TEST_F(TcpServerTest, IdleConnectionsAreClosedAndBusyOnesAreNot) {
  TcpLimits limits = quick();
  limits.idle_ms = 60;
  start(limits);
  Peer idle = connect(), waiting = connect();
  waiting.send(framed(query(1)));
  EXPECT_TRUE(ended(idle));
  EXPECT_EQ(counter(TcpCounter::closed_idle), 1u);
  run_for(io_, milliseconds(100));
  waiting.poll();
  EXPECT_FALSE(waiting.ended);
  ASSERT_TRUE(taken(1));
  server_->answer(taken_[0].ticket, answer_to(query(1)));
  EXPECT_TRUE(ended(waiting));
  EXPECT_EQ(waiting.messages().size(), 1u);
  EXPECT_EQ(counter(TcpCounter::closed_idle), 2u);
}

TEST_F(TcpServerTest, UnderPressureIdleConnectionsGoSooner) {
  TcpLimits limits = quick();
  limits.connections = 4;
  limits.idle_ms = 60000;
  limits.pressed_idle_ms = 40;
  start(limits);
  Peer a = connect(), b = connect(), c = connect();
  ASSERT_TRUE(connected(3));
  run_for(io_, milliseconds(100));
  EXPECT_EQ(server_->connections(), 3u);  // three quarters are no pressure yet
  Peer d = connect();
  EXPECT_TRUE(run([&] { return counter(TcpCounter::closed_idle) >= 1; }));
}

TEST_F(TcpServerTest, LimitsConnectionsInAll) {
  TcpLimits limits = quick();
  limits.connections = 2;
  start(limits);
  Peer a = connect(), b = connect();
  ASSERT_TRUE(connected(2));
  Peer c = connect();
  EXPECT_TRUE(ended(c));
  EXPECT_EQ(counter(TcpCounter::connections_full), 1u);
  a.close();
  ASSERT_TRUE(connected(1));
  Peer d = connect();
  ASSERT_TRUE(connected(2));
  d.send(framed(query(1)));
  EXPECT_TRUE(taken(1));
}

TEST_F(TcpServerTest, LimitsConnectionsOfOneClientOnly) {
  TcpLimits limits = quick();
  limits.connections_per_client = 2;
  start(limits);
  Peer a = connect(), b = connect();
  ASSERT_TRUE(connected(2));
  Peer c = connect();
  EXPECT_TRUE(ended(c));
  EXPECT_EQ(counter(TcpCounter::connections_client_limit), 1u);
  Peer other = Peer::tcp(port_, 0, "127.0.0.2");
  EXPECT_TRUE(connected(3));
  a.close();
  ASSERT_TRUE(connected(2));
  Peer again = connect();
  EXPECT_TRUE(connected(3));
}

TEST_F(TcpServerTest, ClientsOutsideTheAllowListAreReset) {
  start(quick());
  forbidden_client_ = *IpAddress::parse("127.0.0.3");
  Peer outside = Peer::tcp(port_, 0, "127.0.0.3");
  EXPECT_TRUE(ended(outside));
  EXPECT_EQ(counter(TcpCounter::connections_not_allowed), 1u);
  EXPECT_EQ(counter(TcpCounter::connections_accepted), 0u);
}

TEST_F(TcpServerTest, AReaderThatNeverReadsPaysAlone) {
  TcpLimits limits = quick();
  limits.unsent_octets = 256 * 1024;
  start(limits);
  Peer deaf = Peer::tcp(port_, 2048);
  Peer good = connect();
  // Each query costs the deaf client 60,000 octets that it doesn't take.
  for (unsigned id = 0; id < 200; ++id) {
    deaf.send(framed(query(id)));
    const std::size_t before = taken_.size();
    run_for(io_, milliseconds(1));
    for (std::size_t i = before; i < taken_.size(); ++i) {
      server_->answer(taken_[i].ticket, answer_to(taken_[i].message, 60000));
    }
  }
  // Held back, not served without end; what it asked for is bounded.
  EXPECT_LT(taken_.size(), 200u);
  taken_.clear();
  good.send(framed(query(9)));
  ASSERT_TRUE(run([&] { return !taken_.empty() && taken_.back().message == query(9); }));
  server_->answer(taken_.back().ticket, answer_to(query(9)));
  EXPECT_TRUE(run([&] { return good.poll() && good.messages().size() == 1; }));
}

TEST_F(TcpServerTest, AnswersBeyondTheBufferCloseTheConnection) {
  TcpLimits limits = quick();
  limits.unsent_octets = 128 * 1024;
  start(limits);
  Peer deaf = Peer::tcp(port_, 2048);
  Bytes all;
  for (unsigned i = 0; i < 100; ++i)
    append(all, framed(query(i)));
  deaf.send(all);
  ASSERT_TRUE(taken(100));
  for (const Taken& t : taken_)
    server_->answer(t.ticket, answer_to(t.message, 65535));
  EXPECT_TRUE(connected(0));
  EXPECT_EQ(counter(TcpCounter::closed_slow_reader), 1u);
  EXPECT_EQ(server_->queries_in_flight(), 0u);
  EXPECT_GT(counter(TcpCounter::answers_without_connection), 0u);
}

TEST_F(TcpServerTest, AWriteThatTakesTooLongClosesTheConnection) {
  TcpLimits limits = quick();
  limits.write_ms = 60;
  limits.unsent_octets = 64u << 20;  // more than the kernel takes, so that the time decides
  start(limits);
  Peer deaf = Peer::tcp(port_, 2048);
  Bytes all;
  for (unsigned i = 0; i < 100; ++i)
    append(all, framed(query(i)));
  deaf.send(all);
  ASSERT_TRUE(taken(100));
  for (const Taken& t : taken_)
    server_->answer(t.ticket, answer_to(t.message, 65535));
  EXPECT_TRUE(connected(0));
  EXPECT_EQ(counter(TcpCounter::closed_slow_reader), 1u);
}

TEST_F(TcpServerTest, OverloadIsAnsweredByServfailAtOnce) {
  start(quick());
  overloaded_ = true;
  Peer peer = connect();
  peer.send(framed(MessageBuilder(77).question(wire_name("WWW.example.com")).opt().build()));
  ASSERT_TRUE(run([&] { return peer.poll() && peer.messages().size() == 1; }));
  dns::Reply reply;
  dns::Name name;
  const Bytes message = peer.messages()[0];
  ASSERT_EQ(dns::parse_reply(message, reply, name), dns::ReplyVerdict::kGood);
  EXPECT_EQ(reply.header.id, 77);
  EXPECT_EQ(reply.rcode(), static_cast<unsigned>(dns::Rcode::kServFail));
  EXPECT_EQ(server_->queries_in_flight(), 0u);
  EXPECT_EQ(counter(TcpCounter::queries_overload), 1u);
  // What has QR set is never answered, and the connection goes on.
  peer.send(framed(answer_to(query(1))));
  overloaded_ = false;
  run_for(io_, milliseconds(20));
  peer.send(framed(query(2)));
  ASSERT_TRUE(run([&] { return !taken_.empty() && taken_.back().message == query(2); }));
  peer.poll();
  EXPECT_EQ(peer.messages().size(), 1u);
}

TEST_F(TcpServerTest, GarbageOfAnyKindIsHandedOverOrClosed) {
  start(quick());
  Peer peer = connect();
  peer.send(framed(Bytes(12, 0xff)));
  ASSERT_TRUE(taken(1));
  EXPECT_EQ(taken_[0].message, Bytes(12, 0xff));
  overloaded_ = true;
  peer.send(framed(Bytes(500, 0x01)));
  EXPECT_TRUE(run([&] { return counter(TcpCounter::queries_overload) == 1; }));
}

TEST_F(TcpServerTest, AnswersToClosedConnectionsAreIgnored) {
  start(quick());
  Peer peer = connect();
  peer.send(framed(query(1)));
  ASSERT_TRUE(taken(1));
  peer.send(Bytes{0, 1});
  ASSERT_TRUE(connected(0));
  EXPECT_EQ(server_->queries_in_flight(), 0u);
  server_->answer(taken_[0].ticket, answer_to(query(1)));
  server_->drop(taken_[0].ticket);
  server_->answer(12345678, answer_to(query(1)));
  EXPECT_EQ(counter(TcpCounter::answers_without_connection), 2u);
}

TEST_F(TcpServerTest, TicketsAreNeverReused) {
  start(quick());
  for (unsigned i = 0; i < 20; ++i) {
    Peer peer = connect();
    peer.send(framed(query(i)));
    ASSERT_TRUE(taken(i + 1));
    if (i % 2 == 0) server_->answer(taken_[i].ticket, answer_to(query(i)));
  }
  for (std::size_t i = 1; i < taken_.size(); ++i)
    EXPECT_GT(taken_[i].ticket, taken_[i - 1].ticket);
}

TEST_F(TcpServerTest, DroppedAndExpiredQueriesFreeTheirPlace) {
  TcpLimits limits = quick();
  limits.queries_per_connection = 1;
  limits.answer_ms = 50;
  start(limits);
  Peer peer = connect();
  Bytes all;
  for (unsigned i = 0; i < 3; ++i)
    append(all, framed(query(i)));
  peer.send(all);
  ASSERT_TRUE(taken(1));
  server_->drop(taken_[0].ticket);
  ASSERT_TRUE(taken(2));
  EXPECT_EQ(counter(TcpCounter::queries_dropped), 1u);
  ASSERT_TRUE(taken(3));  // the second expired
  EXPECT_EQ(counter(TcpCounter::queries_expired), 1u);
  server_->answer(taken_[1].ticket, answer_to(query(1)));
  server_->answer(taken_[2].ticket, answer_to(query(2)));
  ASSERT_TRUE(run([&] { return peer.poll() && !peer.messages().empty(); }));
  EXPECT_EQ(peer.messages(), std::vector<Bytes>(1, answer_to(query(2))));
}

TEST_F(TcpServerTest, AClientThatShutItsSideStillGetsItsAnswer) {
  start(quick());
  Peer peer = connect();
  peer.send(framed(query(1)));
  peer.shut();
  ASSERT_TRUE(taken(1));
  run_for(io_, milliseconds(20));
  server_->answer(taken_[0].ticket, answer_to(query(1)));
  ASSERT_TRUE(ended(peer));
  EXPECT_EQ(peer.messages().size(), 1u);
  EXPECT_FALSE(peer.reset);
  EXPECT_TRUE(connected(0));
}

TEST(TcpLimits, ComeFromTheConfiguration) {
  conf::Limits limits;
  limits.tcp_connections = 11;
  limits.tcp_connections_per_client = 12;
  limits.tcp_queries_per_connection = 13;
  limits.tcp_idle_ms = 14000;
  const TcpLimits out = TcpLimits::from(limits);
  EXPECT_EQ(out.connections, 11u);
  EXPECT_EQ(out.connections_per_client, 12u);
  EXPECT_EQ(out.queries_per_connection, 13u);
  EXPECT_EQ(out.idle_ms, 14000u);
  EXPECT_LT(out.pressed_idle_ms, out.idle_ms);
}

}  // namespace
}  // namespace shunt::control
