#include "control/watch_log.h"

#include "tests/unit/control/rules_fixture.h"

namespace shunt::control {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using namespace std::chrono_literals;

class WatchLogTest : public ::testing::Test {
 protected:
  WatchedQuery query(std::uint64_t generation) const {
    return {generation, 0, 0, 0, {*IpAddress::parse("10.1.0.9"), 4000}, 28, name_.octets()};
  }
  void generation(std::string list) { log_.set_generation(generations_.make({{"corp", list}}), now_); }

  std::vector<std::string> lines_;
  WatchLog log_{[this](const std::string& line) { lines_.push_back(line); }};
  Generations generations_;
  WatchLog::Clock::time_point now_{100s};
  dns::Name name_ = *dns::parse_name("x.a.corp");
};

TEST_F(WatchLogTest, NamesClientNameTypeAndRule) {
  generation(R"("a.corp forward corp-dns", "a.corp watch id=eye")");
  log_.take(query(1), now_);
  ASSERT_EQ(lines_.size(), 1u);
  EXPECT_THAT(lines_[0], HasSubstr("watch: 10.1.0.9 asks x.a.corp. AAAA (network prod): a.corp watch id=eye "
                                   "(corp, shunt.toml:"));
}

TEST_F(WatchLogTest, LeavesOutWhatIsTooMuchAndSaysHowMuch) {
  generation(R"("a.corp watch")");
  for (unsigned i = 0; i < WatchLog::kLinesPerSecond + 7; ++i)
    log_.take(query(1), now_ + 1ms * i);
  EXPECT_EQ(lines_.size(), WatchLog::kLinesPerSecond);
  log_.tick(now_ + 999ms);
  EXPECT_EQ(lines_.size(), WatchLog::kLinesPerSecond);
  lines_.clear();
  log_.tick(now_ + 1s);
  EXPECT_THAT(lines_, ElementsAre("watch: 7 more queries in that second, left out"));
  log_.take(query(1), now_ + 1001ms);
  EXPECT_EQ(lines_.size(), 2u);
  log_.tick(now_ + 5s);
  EXPECT_EQ(lines_.size(), 2u);
}

TEST_F(WatchLogTest, UnderstandsTheGenerationBeforeForAWhile) {
  generation(R"("a.corp watch")");
  generation(R"("b.corp system")");
  log_.take(query(1), now_ + 1s);
  log_.take(query(2), now_ + 1s);  // a worker's mistake, if there were one
  log_.take(query(1), now_ + RecentGenerations::kKeepBefore);
  ASSERT_EQ(lines_.size(), 3u);
  EXPECT_THAT(lines_[0], HasSubstr("a.corp watch"));
  EXPECT_THAT(lines_[1], HasSubstr("by a rule of generation 2, which is gone"));
  EXPECT_THAT(lines_[2], HasSubstr("by a rule of generation 1, which is gone"));
}

}  // namespace
}  // namespace shunt::control
