// Reloads, stopping and destruction of the TCP server.
#include <gtest/gtest.h>

#include <chrono>

#include "tests/unit/control/tcp_server_fixture.h"

namespace shunt::control {
namespace {

TEST_F(TcpServerTest, AReloadChangesIndicesAndKeepsConnections) {
  start(quick());
  Peer peer = connect();
  peer.send(framed(query(1)));
  ASSERT_TRUE(taken(1));
  ASSERT_TRUE(server_->set_endpoints({{loopback_address(0), 3}}));
  EXPECT_EQ(opened_, 1);
  peer.send(framed(query(2)));
  ASSERT_TRUE(taken(2));
  EXPECT_EQ(taken_[1].endpoint, 3);
}

TEST_F(TcpServerTest, ConnectionsOfARemovedEndpointFinish) {
  start(quick());
  Peer peer = connect(), idle = connect();
  peer.send(framed(query(1)));
  ASSERT_TRUE(taken(1));
  ASSERT_TRUE(connected(2));
  ASSERT_TRUE(server_->set_endpoints({}));
  EXPECT_TRUE(ended(idle));
  peer.send(framed(query(2)));
  run_for(io_, milliseconds(20));
  peer.poll();
  EXPECT_FALSE(peer.ended);
  server_->answer(taken_[0].ticket, answer_to(query(1)));
  EXPECT_TRUE(ended(peer));
  EXPECT_FALSE(peer.reset);  // though a query of it lay unread
  EXPECT_EQ(peer.messages().size(), 1u);
  EXPECT_EQ(taken_.size(), 1u);
  EXPECT_FALSE(connects(port_));
}

TEST_F(TcpServerTest, ConnectionsThatAreNoLongerAllowedFinish) {
  start(quick());
  Peer peer = connect();
  ASSERT_TRUE(connected(1));
  forbidden_ = 9;
  ASSERT_TRUE(server_->set_endpoints({{loopback_address(0), 9}}));
  EXPECT_TRUE(ended(peer));
}

TEST_F(TcpServerTest, AnAddressThatCannotBeListenedAtChangesNothing) {
  start(quick());
  const Result<void> changed =
      server_->set_endpoints({{loopback_address(1), 0}, {loopback_address(0, "127.0.0.2"), 1}});
  ASSERT_FALSE(changed);
  EXPECT_NE(changed.error().find("127.0.0.1:1: no such port here"), std::string::npos) << changed.error();
  Peer peer = connect();
  peer.send(framed(query(1)));
  EXPECT_TRUE(taken(1));
}

TEST_F(TcpServerTest, AChangeThatIsGivenUpLeavesNothingOpen) {
  start(quick());
  {
    auto change = server_->prepare({{loopback_address(0, "127.0.0.2"), 0}});
    ASSERT_TRUE(change);
    EXPECT_NE(last_port_, port_);
    EXPECT_TRUE(connects(last_port_));
  }
  EXPECT_FALSE(connects(last_port_));
  EXPECT_TRUE(connects(port_));
}

TEST_F(TcpServerTest, StopAnswersWhatIsInFlightFirst) {
  start(quick());
  Peer busy = connect(), idle = connect();
  busy.send(framed(query(1)));
  ASSERT_TRUE(taken(1));
  ASSERT_TRUE(connected(2));
  bool done = false;
  server_->stop(5000, [&] { done = true; });
  EXPECT_TRUE(ended(idle));
  busy.send(framed(query(2)));
  run_for(io_, milliseconds(20));
  EXPECT_EQ(taken_.size(), 1u);
  EXPECT_FALSE(done);
  server_->answer(taken_[0].ticket, answer_to(query(1)));
  EXPECT_TRUE(ended(busy));
  EXPECT_EQ(busy.messages().size(), 1u);
  EXPECT_TRUE(run([&] { return done; }));
  EXPECT_EQ(server_->connections(), 0u);
}

TEST_F(TcpServerTest, StopEndsAtItsDeadline) {
  start(quick());
  Peer peer = connect();
  peer.send(framed(query(1)));
  ASSERT_TRUE(taken(1));
  bool done = false;
  const auto begin = std::chrono::steady_clock::now();
  server_->stop(50, [&] { done = true; });
  EXPECT_TRUE(run([&] { return done; }));
  EXPECT_GE(std::chrono::steady_clock::now() - begin, milliseconds(50));
  EXPECT_TRUE(ended(peer));
}

TEST_F(TcpServerTest, StopWithoutConnectionsIsDoneAtOnce) {
  start(quick());
  bool done = false;
  server_->stop(5000, [&] { done = true; });
  EXPECT_TRUE(run([&] { return done; }));
}

TEST_F(TcpServerTest, CanBeDestroyedAtAnyTime) {
  start(quick());
  Peer peer = connect(), idle = connect();
  peer.send(framed(query(1)));
  ASSERT_TRUE(taken(1));
  server_.reset();
  run_for(io_, milliseconds(20));
  EXPECT_TRUE(ended(peer));
  EXPECT_TRUE(ended(idle));
}

}  // namespace
}  // namespace shunt::control
