// Turns of handshakes: a share of the thread's time, and none before another client's.
#include "control/handshake_turns.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/unit/control/loopback.h"

namespace shunt::control {
namespace {

using std::chrono::milliseconds;

class Turns : public ::testing::Test {
 protected:
  HandshakeTurns::Ticket wait(const std::string& client, const std::string& mark) {
    return turns_->wait(*IpAddress::parse(client), [this, mark] { gone_.push_back(mark); });
  }
  bool run(std::size_t count) {
    return testing::run_until(io_, [&] { return gone_.size() >= count; });
  }
  asio::io_context io_;
  std::shared_ptr<HandshakeTurns> turns_ = std::make_shared<HandshakeTurns>(io_, 50);
  std::vector<std::string> gone_;
};

TEST_F(Turns, AreFreeUntilTheShareIsSpent) {
  EXPECT_TRUE(turns_->may_go());
  turns_->spent(milliseconds(5));
  EXPECT_TRUE(turns_->may_go()) << "there was a rest before";
  turns_->spent(milliseconds(60));
  EXPECT_FALSE(turns_->may_go());
  const auto began = HandshakeTurns::Clock::now();
  wait("192.0.2.1", "a");
  ASSERT_TRUE(run(1));
  const auto waited = HandshakeTurns::Clock::now() - began;
  EXPECT_GE(waited, milliseconds(90)) << "2 * 65 ms less the burst";
  EXPECT_TRUE(turns_->may_go());
}

TEST_F(Turns, GoRoundAmongClients) {
  turns_->spent(milliseconds(20));
  for (const char* mark : {"a1", "a2", "a3"})
    wait("192.0.2.1", mark);
  wait("192.0.2.2", "b1");
  wait("192.0.2.3", "c1");
  wait("192.0.2.2", "b2");
  EXPECT_EQ(turns_->waiting(), 6u);
  EXPECT_FALSE(turns_->may_go());
  ASSERT_TRUE(run(6));
  EXPECT_EQ(gone_, (std::vector<std::string>{"a1", "b1", "c1", "a2", "b2", "a3"}));
  EXPECT_EQ(turns_->waiting(), 0u);
}

TEST_F(Turns, AreKeptForNobodyWhoHasLeft) {
  turns_->spent(milliseconds(20));
  const auto a = wait("192.0.2.1", "a"), b = wait("192.0.2.1", "b"), c = wait("192.0.2.2", "c");
  const HandshakeTurns::Step left = turns_->leave(a);
  ASSERT_TRUE(left);
  EXPECT_FALSE(turns_->leave(a));
  EXPECT_TRUE(turns_->leave(c));
  EXPECT_EQ(turns_->waiting(), 1u);
  ASSERT_TRUE(run(1));
  EXPECT_EQ(gone_, std::vector<std::string>{"b"});
  EXPECT_FALSE(turns_->leave(b));
  testing::run_for(io_, milliseconds(10));
  EXPECT_EQ(gone_.size(), 1u);
}

TEST_F(Turns, EndWithTheirOwner) {
  turns_->spent(milliseconds(20));
  wait("192.0.2.1", "a");
  turns_.reset();
  testing::run_for(io_, milliseconds(60));
  EXPECT_TRUE(gone_.empty());
}

}  // namespace
}  // namespace shunt::control
