// The log's thread and its files: everything is written in order where it should go, or counted.
#include "control/query_log.h"

#include <fcntl.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "control/query_file.h"
#include "tests/support/dns_messages.h"
#include "tests/unit/control/rules_fixture.h"

namespace shunt::control {
namespace {

using namespace std::chrono_literals;

class QueryLogTest : public ::testing::Test {
 protected:
  QueryLogTest() {
    std::string name = (std::filesystem::temp_directory_path() / "shunt-query-log-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~QueryLogTest() override { std::filesystem::remove_all(folder_); }

  conf::QueryLog json_to(const std::string& name) const {
    return {conf::QueryLogFormat::kJson, name.starts_with('/') ? name : (folder_ / name).string()};
  }
  std::vector<nlohmann::json> lines(const std::string& name) const {
    std::ifstream file(folder_ / name);
    std::vector<nlohmann::json> all;
    for (std::string line; std::getline(file, line);)
      all.push_back(nlohmann::json::parse(line));
    return all;
  }
  /// A worker's tale of a query from that port.
  bool log_from_worker(std::size_t worker, std::uint16_t port) {
    state::LoggedQuery* const q = log_->from_workers()->rings[worker]->next();
    if (q == nullptr) return false;
    q->asked_us = 5, q->ended_us = 9, q->generation = 1;
    q->client = {*IpAddress::parse("10.1.0.9"), port};
    q->server = {*IpAddress::parse("10.53.0.53"), 53};
    q->end = state::QueryEnd::kCache;
    q->set_message(message_);
    log_->from_workers()->rings[worker]->publish();
    return true;
  }
  void wait_for(std::uint64_t written, std::uint64_t lost = 0) {
    const auto until = std::chrono::steady_clock::now() + 10s;
    while (std::chrono::steady_clock::now() < until) {
      const QueryLogCounters now = log_->counters();
      if (now[QueryLogCounter::written] >= written && now[QueryLogCounter::lost] >= lost) break;
      std::this_thread::sleep_for(1ms);
    }
    EXPECT_EQ(log_->counters()[QueryLogCounter::written], written);
    EXPECT_EQ(log_->counters()[QueryLogCounter::lost], lost);
  }
  std::unique_ptr<QuerySink> open(const conf::QueryLog& config) {
    auto sink = log_->open(config);
    EXPECT_TRUE(sink) << sink.error();
    return sink ? std::move(*sink) : nullptr;
  }

  std::filesystem::path folder_;
  std::vector<std::uint8_t> message_ = {0, 7, 0x81, 0x83, 0, 1, 0, 0, 0, 0, 0, 0, 1, 'x', 0, 0, 1, 0, 1};
  Generations generations_;
  std::optional<QueryLog> log_{std::in_place, QueryLog::Options{.workers = 2,
                                                                .key = kRulesKey,
                                                                .wall_offset_us = [] { return 1'000'000; },
                                                                .on_thread = [] {},
                                                                .version = "1"}};
};

TEST_F(QueryLogTest, WritesWhatWorkersAndStreamsTell) {
  log_->set_generation(generations_.make({{"corp", R"("x block nxdomain")"}}));
  log_->set_sink(open(json_to("a")));
  log_from_worker(0, 1);
  log_from_worker(1, 2);
  log_->take({RecentGenerations::Clock::now() - 3ms,
              RecentGenerations::Clock::now() - 1ms,
              {*IpAddress::parse("10.1.0.9"), 3},
              {*IpAddress::parse("10.53.0.53"), 853},
              StreamKind::kTls,
              state::QueryEnd::kRule,
              message_});
  wait_for(3);
  const auto all = lines("a");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[0]["port"], 1);
  EXPECT_EQ(all[0]["time"], "1970-01-01T00:00:01.000005Z");
  EXPECT_EQ(all[0]["waited_us"], 4);
  EXPECT_EQ(all[0]["rule"], "x block nxdomain");
  EXPECT_EQ(all[1]["port"], 2);
  EXPECT_EQ(all[2]["transport"], "tls");
  EXPECT_NEAR(all[2]["waited_us"].get<double>(), 2000, 100);
}

TEST_F(QueryLogTest, WhatCameBeforeAChangeGoesWhereItWent) {
  log_->set_sink(open(json_to("a")));
  log_from_worker(0, 0);
  wait_for(1);
  for (std::uint16_t i = 1; i < 1000; ++i)
    log_from_worker(0, i);
  log_->set_sink(open(json_to("b")));
  wait_for(1000);
  // What the thread had not taken yet when it heard of the change still goes to the first.
  EXPECT_EQ(lines("a").size(), 1000u);
  EXPECT_EQ(lines("b").size(), 0u);
  log_from_worker(0, 1);
  wait_for(1001);
  EXPECT_EQ(lines("b").size(), 1u);
  log_->set_sink(nullptr);
  std::this_thread::sleep_for(20ms);
  EXPECT_TRUE(log_from_worker(0, 1));
  std::this_thread::sleep_for(20ms);
  wait_for(1001);
}

TEST_F(QueryLogTest, TheEndWritesWhatHasCome) {
  log_->set_sink(open(json_to("a")));
  for (std::uint16_t i = 0; i < 500; ++i)
    log_from_worker(1, i);
  log_.reset();
  EXPECT_EQ(lines("a").size(), 500u);
}

TEST_F(QueryLogTest, FilesAreAppendedToAndNotForAll) {
  { std::ofstream(folder_ / "a") << "{\"port\": 99}\n"; }
  log_->set_sink(open(json_to("a")));
  log_from_worker(0, 1);
  wait_for(1);
  EXPECT_EQ(lines("a").size(), 2u);
  static_cast<void>(open(json_to("b")));
  struct stat about {};
  ASSERT_EQ(::stat((folder_ / "b").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0137u, 0u);
}

TEST_F(QueryLogTest, WhatCannotBeOpenedIsAnError) {
  const auto folder = log_->open(json_to("no/a"));
  ASSERT_FALSE(folder);
  EXPECT_THAT(folder.error(), ::testing::HasSubstr("no/a: No such file or directory"));
  ASSERT_EQ(::mkfifo((folder_ / "pipe").c_str(), 0600), 0);
  EXPECT_FALSE(log_->open(json_to("pipe"))) << "nobody reads it, and the control plane can't wait";
}

TEST_F(QueryLogTest, AFullDiskKeepsSoMuchAndCountsTheRest) {
  log_->set_sink(open(json_to("/dev/full")));
  std::uint64_t logged = 0;
  while (log_->counters()[QueryLogCounter::lost] == 0 && logged < 100'000)
    logged += log_from_worker(0, 1) ? 1u : 0u;
  EXPECT_GT(logged, QueryFile::kMostOctets / 300);
  EXPECT_EQ(log_->counters()[QueryLogCounter::written], 0u);
  log_->set_sink(open(json_to("a")));
  wait_for(0, logged);
}

TEST_F(QueryLogTest, APipesReaderMayBeSlowAndGoAway) {
  const std::string path = (folder_ / "pipe").string();
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  const int reader = ::open(path.c_str(), O_RDONLY | O_NONBLOCK);
  log_->set_sink(open(json_to("pipe")));
  for (std::uint16_t i = 0; i < 1500; ++i)
    log_from_worker(0, i);
  std::string text;
  const auto until = std::chrono::steady_clock::now() + 10s;
  std::array<char, 1000> piece;
  while (std::count(text.begin(), text.end(), '\n') < 1500 && std::chrono::steady_clock::now() < until) {
    const ssize_t octets = ::read(reader, piece.data(), piece.size());
    if (octets > 0) text.append(piece.data(), static_cast<std::size_t>(octets));
  }
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 1500);
  ::close(reader);
  log_from_worker(0, 1);
  std::this_thread::sleep_for(20ms);
  log_->set_sink(open(json_to("a")));
  wait_for(1500, 1);
}

TEST_F(QueryLogTest, StreamsTellNoMoreThanIsKept) {
  // No sink, and so no thread that takes them.
  for (std::size_t i = 0; i < QueryLog::kMostStreamEnds + 5; ++i)
    log_->take({});
  EXPECT_EQ(log_->counters()[QueryLogCounter::lost], 5u);
}

// Lines of the daemon's log.
class QueryLogTroubleTest : public ::testing::Test {
 protected:
  QueryLogTroubleTest() {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_st>(text_)));
    spdlog::set_pattern("%l %v");
  }
  ~QueryLogTroubleTest() override { spdlog::set_default_logger(before_); }
  std::string told() { return std::exchange(text_, std::ostringstream()).str(); }

  std::ostringstream text_;
  std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  QueryLogTrouble trouble_{"x"};
  QueryLogTrouble::Clock::time_point now_{100s};
};

TEST_F(QueryLogTroubleTest, IsToldOnceWithWhatWasLost) {
  EXPECT_FALSE(trouble_.present());
  trouble_.begins("full", 2, now_);
  trouble_.begins("full", 3, now_ + 60s);
  EXPECT_TRUE(trouble_.present());
  EXPECT_EQ(told(), "warning query log x: full; queries that find no room meanwhile are lost\n");
  trouble_.ends(12);
  EXPECT_FALSE(trouble_.present());
  EXPECT_EQ(told(), "info query log x: it is written again; 10 queries were lost\n");
}

TEST_F(QueryLogTroubleTest, IsNotToldTooOften) {
  trouble_.begins("full", 0, now_);
  trouble_.ends(5);
  told();
  trouble_.begins("full", 5, now_ + 9s);
  trouble_.ends(6);
  EXPECT_EQ(told(), "");
  trouble_.begins("full", 6, now_ + 10s);
  trouble_.begins("gone", 7, now_ + 21s);
  trouble_.ends(9);
  EXPECT_EQ(told(),
            "warning query log x: full; queries that find no room meanwhile are lost\n"
            "warning query log x: gone; queries that find no room meanwhile are lost\n"
            "info query log x: it is written again; 3 queries were lost\n");
}

TEST_F(QueryLogTroubleTest, ThatLastsIsToldInTheEnd) {
  trouble_.begins("full", 0, now_);
  trouble_.ends(0);
  told();
  trouble_.begins("full", 5, now_ + 5s);
  EXPECT_EQ(told(), "");
  trouble_.begins("full", 8, now_ + 11s);
  EXPECT_EQ(told(), "warning query log x: full; queries that find no room meanwhile are lost\n");
  trouble_.begins("full", 9, now_ + 60s);
  trouble_.ends(12);
  EXPECT_EQ(told(), "info query log x: it is written again; 7 queries were lost\n");
}

}  // namespace
}  // namespace shunt::control
