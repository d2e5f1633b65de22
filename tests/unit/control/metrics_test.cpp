#include "control/metrics.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <sstream>

#include "control/metrics_listener.h"
#include "tests/unit/control/loopback.h"

namespace shunt::control {
namespace {

using namespace shunt::testing;
using std::chrono::milliseconds;

using Labels = std::map<std::string, std::string>;

/// A parser of the text format that insists on its rules: HELP and TYPE before the samples, one block per
/// metric, names and labels of the allowed characters, no sample twice.
class Exposition {
 public:
  explicit Exposition(const std::string& text) {
    EXPECT_TRUE(text.empty() || text.back() == '\n');
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("# HELP ")) {
        const std::size_t end = line.find(' ', 7);
        current_ = line.substr(7, end - 7);
        EXPECT_TRUE(types.emplace(current_, "").second) << "twice: " << current_;
        EXPECT_GT(line.size(), end + 1) << "no help: " << current_;
      } else if (line.starts_with("# TYPE ")) {
        const std::size_t end = line.find(' ', 7);
        EXPECT_EQ(line.substr(7, end - 7), current_);
        types[current_] = line.substr(end + 1);
      } else {
        sample(line);
      }
    }
  }
  double value(const std::string& name, const Labels& labels = {}) const {
    const auto found = samples.find({name, labels});
    return found == samples.end() ? std::nan("") : found->second;
  }

  std::map<std::string, std::string> types;
  std::map<std::pair<std::string, Labels>, double> samples;

 private:
  void sample(const std::string& line) {
    std::size_t at = 0;
    while (at < line.size() && (std::isalnum(static_cast<unsigned char>(line[at])) != 0 || line[at] == '_'))
      ++at;
    const std::string name = line.substr(0, at);
    Labels labels;
    if (at < line.size() && line[at] == '{') {
      ++at;
      while (line[at] != '}') {
        const std::size_t equals = line.find("=\"", at);
        ASSERT_NE(equals, std::string::npos) << line;
        const std::string key = line.substr(at, equals - at);
        std::string text;
        for (at = equals + 2; line.at(at) != '"'; ++at) {
          if (line[at] == '\\') {
            ++at;
            text += line.at(at) == 'n' ? '\n' : line.at(at);
          } else {
            text += line[at];
          }
        }
        EXPECT_TRUE(labels.emplace(key, text).second) << line;
        if (line.at(++at) == ',') ++at;
      }
      ++at;
    }
    ASSERT_EQ(line.at(at), ' ') << line;
    std::size_t used = 0;
    const std::string number = line.substr(at + 1);
    const double value = std::stod(number, &used);
    EXPECT_EQ(used, number.size()) << line;
    EXPECT_TRUE(name == current_ || (types[current_] == "histogram" && name.starts_with(current_ + "_")))
        << line;
    EXPECT_TRUE(samples.emplace(std::make_pair(name, labels), value).second) << "twice: " << line;
  }
  std::string current_;
};

MetricsSnapshot example() {
  MetricsSnapshot snapshot;
  snapshot.version = "1.2.3";
  snapshot.generation = 41;
  snapshot.uptime_seconds = 12.5;
  for (unsigned id = 0; id < 2; ++id) {
    WorkerMetrics worker;
    worker.id = id;
    worker.stats[Counter::queries_udp] = 100 + id;
    worker.stats.frame_drops[FrameDrop::ip_checksum] = 7 + id;
    worker.stats.query_drops[QueryDrop::blocked] = 9;
    worker.stats.answer_drops[AnswerDrop::wrong_question] = 18446744073709551615u;
    worker.stats.cache_entries = 5;
    worker.stats.note_wait(Counter::answered_upstream, 250 + id);
    worker.stats.note_wait(Counter::answered_upstream, 6'000'000);
    worker.stats.note_wait(Counter::answered_error, 1'620'000);
    worker.stats.burst_queries.add(32 - id);
    snapshot.workers.push_back(worker);
  }
  TargetMetrics corp;
  corp.upstream = "corp \"dns\"\\x\ny";
  corp.target = {*IpAddress::parse("192.168.1.53"), 53};
  corp.up = false;
  corp.figures.sent = 1000;
  corp.figures.answered = 990;
  corp.figures.timeouts = 10;
  corp.figures.unreachable = 2;
  corp.figures.servfails = 8;
  corp.figures.refused = 6;
  corp.figures.malformed = 4;
  corp.figures.in_flight = 3;
  corp.figures.latency.add(250);
  corp.figures.latency.add(4'000);
  corp.latency_seconds = 0.0125;
  snapshot.targets.push_back(corp);
  TargetMetrics v6;
  v6.upstream = "v6";
  v6.target = {*IpAddress::parse("fd00::1"), 5353};
  snapshot.targets.push_back(v6);
  snapshot.client_streams[0].counters[TcpCounter::queries] = 55;
  snapshot.client_streams[0].connections = 4;
  snapshot.client_streams[1].counters[TcpCounter::handshakes_failed] = 6;
  snapshot.client_streams[2].counters[TcpCounter::requests] = 8;
  snapshot.client_streams[2].in_flight = 9;
  snapshot.certificates = {{"from-onprem", 1800000000}};
  snapshot.host[HostCounter::asked] = 66;
  snapshot.streams[StreamCounter::handshakes_resumed] = 88;
  snapshot.stream_connections = 5;
  snapshot.streams_in_flight = 6;
  snapshot.stream_latency.add(900);
  snapshot.control[ControlCounter::requests] = 77;
  snapshot.host_latency.add(200);
  snapshot.host_latency.add(3'000);
  snapshot.host_latency.add(10'000'000);
  return snapshot;
}

TEST(Metrics, TextIsWellFormedAndWhole) {
  const Exposition text(prometheus_text(example()));
  for (const auto& [name, type] : text.types) {
    EXPECT_TRUE(name.starts_with("shunt_")) << name;
    EXPECT_TRUE(type == "counter" || type == "gauge" || type == "histogram") << name;
    EXPECT_EQ(name.ends_with("_total"), type == "counter") << name;
  }
  for (const StatText& counter : kCounterText) {
    EXPECT_FALSE(std::isnan(text.value("shunt_" + std::string(counter.name) + "_total", {{"worker", "1"}})))
        << counter.name;
  }
  const auto reasons = [&](const char* name, std::size_t count) {
    for (const char* worker : {"0", "1"}) {
      std::size_t found = 0;
      for (const auto& [key, value] : text.samples)
        found += key.first == name && key.second.at("worker") == worker;
      EXPECT_EQ(found, count) << name;
    }
  };
  reasons("shunt_dropped_frames_total", std::size(kFrameDropText));
  reasons("shunt_dropped_queries_total", std::size(kQueryDropText));
  reasons("shunt_dropped_answers_total", std::size(kAnswerDropText));
}

TEST(Metrics, ValuesStandUnderTheirLabels) {
  const Exposition text(prometheus_text(example()));
  EXPECT_EQ(text.value("shunt_build_info", {{"version", "1.2.3"}}), 1);
  EXPECT_EQ(text.value("shunt_generation"), 41);
  EXPECT_EQ(text.value("shunt_uptime_seconds"), 12.5);
  EXPECT_EQ(text.value("shunt_queries_udp_total", {{"worker", "1"}}), 101);
  EXPECT_EQ(text.value("shunt_dropped_frames_total", {{"worker", "0"}, {"reason", "ip_checksum"}}), 7);
  EXPECT_EQ(text.value("shunt_dropped_queries_total", {{"worker", "0"}, {"reason", "blocked"}}), 9);
  EXPECT_EQ(text.value("shunt_dropped_answers_total", {{"worker", "1"}, {"reason", "wrong_question"}}),
            18446744073709551615.0);
  EXPECT_EQ(text.value("shunt_cache_entries", {{"worker", "0"}}), 5);
  EXPECT_EQ(text.value("shunt_tcp_queries_total"), 55);
  EXPECT_EQ(text.value("shunt_tcp_connections"), 4);
  EXPECT_EQ(text.value("shunt_tls_handshakes_failed_total"), 6);
  EXPECT_EQ(text.value("shunt_https_requests_total"), 8);
  EXPECT_EQ(text.value("shunt_https_in_flight"), 9);
  EXPECT_FALSE(text.types.contains("shunt_tcp_handshakes_failed_total"));
  EXPECT_FALSE(text.types.contains("shunt_tls_requests_total"));
  EXPECT_EQ(text.value("shunt_certificate_expiry_timestamp_seconds", {{"endpoint", "from-onprem"}}),
            1800000000);
  EXPECT_EQ(text.value("shunt_host_asked_total"), 66);
  EXPECT_EQ(text.value("shunt_stream_handshakes_resumed_total"), 88);
  EXPECT_EQ(text.value("shunt_stream_connections"), 5);
  EXPECT_EQ(text.value("shunt_stream_in_flight"), 6);
  EXPECT_EQ(text.value("shunt_stream_latency_seconds_count"), 1);
  EXPECT_EQ(text.value("shunt_control_requests_total"), 77);
}

TEST(Metrics, NamesOfTheConfigurationAreEscaped) {
  const Exposition text(prometheus_text(example()));
  const Labels labels{{"upstream", "corp \"dns\"\\x\ny"}, {"target", "192.168.1.53:53"}};
  Labels found;
  for (const auto& [key, value] : text.samples) {
    if (key.first == "shunt_upstream_up" && value == 0) found = key.second;
  }
  EXPECT_EQ(found.at("upstream"), labels.at("upstream"));
  EXPECT_EQ(text.value("shunt_upstream_sent_total", found), 1000);
  EXPECT_EQ(text.value("shunt_upstream_timeouts_total", found), 10);
  EXPECT_EQ(text.value("shunt_upstream_in_flight", found), 3);
  EXPECT_EQ(text.value("shunt_upstream_unreachable_total", found), 2);
  EXPECT_EQ(text.value("shunt_upstream_servfails_total", found), 8);
  EXPECT_EQ(text.value("shunt_upstream_refused_total", found), 6);
  EXPECT_EQ(text.value("shunt_upstream_malformed_total", found), 4);
  EXPECT_EQ(text.value("shunt_upstream_smoothed_latency_seconds", found), 0.0125);
  EXPECT_EQ(escape_label("a\\b\"c\nd"), "a\\\\b\\\"c\\nd");
}

/// Bound and cumulative count of each bucket of the histogram with these labels.
std::map<double, double> buckets_of(const Exposition& text, const std::string& name, const Labels& labels) {
  std::map<double, double> buckets;
  for (const auto& [key, value] : text.samples) {
    Labels others = key.second;
    if (key.first != name + "_bucket" || others.erase("le") != 1 || others != labels) continue;
    buckets[std::stod(key.second.at("le"))] = value;
  }
  EXPECT_TRUE(std::is_sorted(buckets.begin(), buckets.end(),
                             [](const auto& a, const auto& b) { return a.second < b.second; }));
  EXPECT_TRUE(!buckets.empty() && std::isinf(buckets.rbegin()->first));
  EXPECT_EQ(buckets.rbegin()->second, text.value(name + "_count", labels));
  return buckets;
}

TEST(Metrics, HistogramsAddUp) {
  const Exposition text(prometheus_text(example()));
  const auto buckets = buckets_of(text, "shunt_host_latency_seconds", {});
  ASSERT_EQ(buckets.size(), kDurationBounds.size() + 1);
  EXPECT_EQ(buckets.at(0.0001), 0);
  EXPECT_EQ(buckets.at(0.0002), 1);
  EXPECT_EQ(buckets.at(0.002), 1);
  EXPECT_EQ(buckets.at(0.003), 2);
  EXPECT_EQ(buckets.at(5), 2);
  EXPECT_EQ(buckets.rbegin()->second, 3);
  EXPECT_NEAR(text.value("shunt_host_latency_seconds_sum"), 10.0032, 1e-9);
}

TEST(Metrics, EachTargetHasAHistogramOfItsOwn) {
  const Exposition text(prometheus_text(example()));
  const std::string name = "shunt_upstream_latency_seconds";
  const auto corp =
      buckets_of(text, name, {{"upstream", "corp \"dns\"\\x\ny"}, {"target", "192.168.1.53:53"}});
  EXPECT_EQ(corp.at(0.0002), 0);
  EXPECT_EQ(corp.at(0.0003), 1);
  EXPECT_EQ(corp.at(0.005), 2);
  EXPECT_EQ(buckets_of(text, name, {{"upstream", "v6"}, {"target", "[fd00::1]:5353"}}).rbegin()->second, 0);
}

TEST(Metrics, WaitsOfAllWorkersAreOneHistogramForEachEnd) {
  const Exposition text(prometheus_text(example()));
  const std::string name = "shunt_query_duration_seconds";
  EXPECT_EQ(text.types.at(name), "histogram");
  const auto rule = buckets_of(text, name, {{"by", "rule"}});
  ASSERT_EQ(rule.size(), kDurationBounds.size() + 1);
  EXPECT_EQ(rule.at(0.0002), 0);
  EXPECT_EQ(rule.at(0.0003), 2);
  EXPECT_EQ(rule.at(5), 2);
  EXPECT_EQ(rule.rbegin()->second, 4);
  EXPECT_NEAR(text.value(name + "_sum", {{"by", "rule"}}), 12.000501, 1e-9);
  EXPECT_EQ(buckets_of(text, name, {{"by", "default"}}).rbegin()->second, 0);
  const auto error = buckets_of(text, name, {{"by", "error"}});
  EXPECT_EQ(error.at(1), 0);
  EXPECT_EQ(error.at(2), 2);
  std::size_t counts = 0;
  for (const auto& [key, value] : text.samples)
    counts += key.first == name + "_count";
  EXPECT_EQ(counts, 4u) << "the labels are a closed set";
}

TEST(Metrics, BurstsOfAllWorkersAreOneHistogram) {
  const std::string text = prometheus_text(example());
  EXPECT_NE(text.find("# TYPE shunt_burst_queries histogram\n"
                      "shunt_burst_queries_bucket{le=\"1\"} 0\n"
                      "shunt_burst_queries_bucket{le=\"2\"} 0\n"
                      "shunt_burst_queries_bucket{le=\"4\"} 0\n"
                      "shunt_burst_queries_bucket{le=\"8\"} 0\n"
                      "shunt_burst_queries_bucket{le=\"16\"} 0\n"
                      "shunt_burst_queries_bucket{le=\"32\"} 2\n"
                      "shunt_burst_queries_bucket{le=\"+Inf\"} 2\n"
                      "shunt_burst_queries_sum 63\n"
                      "shunt_burst_queries_count 2\n"),
            std::string::npos);
}

TEST(Metrics, StagesTellCyclesEachAndPerQuery) {
  Stats stats;
  stats[Counter::answered_cache] = 90;
  stats[Counter::answered_error] = 10;
  stats.stages[static_cast<std::size_t>(Stage::receive)] = {6000, 120};
  stats.stages[static_cast<std::size_t>(Stage::forward)] = {2000, 10};
  const nlohmann::json result = stages_result(stats);
  EXPECT_EQ(result["queries"], 100);
  EXPECT_EQ(result["cycles_per_query"], 80.0);
  ASSERT_EQ(result["rows"].size(), kStages);
  const auto& receive = result["rows"][static_cast<std::size_t>(Stage::receive)];
  EXPECT_EQ(receive["stage"], "receive");
  EXPECT_EQ(receive["unit"], "frame");
  EXPECT_EQ(receive["cycles"], 6000);
  EXPECT_EQ(receive["passed"], 120);
  EXPECT_EQ(receive["cycles_each"], 50.0);
  EXPECT_EQ(receive["cycles_per_query"], 60.0);
  EXPECT_EQ(receive["share"], 0.75);
  EXPECT_EQ(result["rows"][static_cast<std::size_t>(Stage::relay)]["cycles_each"], 0.0);
  EXPECT_EQ(stages_result(Stats{})["cycles_per_query"], 0.0);
}

TEST(Metrics, NothingYetIsWellFormedToo) {
  const Exposition text(prometheus_text({}));
}

TEST(Metrics, StatsHaveAllCountersWithTheirSums) {
  const nlohmann::json result = stats_result(example());
  std::set<std::string> titles;
  std::size_t rows = 0;
  for (const auto& group : result["groups"]) {
    titles.insert(group["title"].get<std::string>());
    for (const auto& row : group["rows"]) {
      ++rows;
      EXPECT_TRUE(row["name"].is_string() && row["help"].is_string() && row["total"].is_number_unsigned());
      if (!row.contains("workers")) continue;
      std::uint64_t sum = 0;
      for (const auto& value : row["workers"])
        sum += value.get<std::uint64_t>();
      EXPECT_EQ(row["total"], sum);
    }
  }
  EXPECT_EQ(titles.size(), result["groups"].size());
  EXPECT_EQ(rows, std::size(kCounterText) + std::size(kFrameDropText) + std::size(kQueryDropText) +
                      std::size(kAnswerDropText) + text_of(StreamKind::kTcp).size() +
                      text_of(StreamKind::kTls).size() + std::size(kTcpCounterText) +
                      std::size(kHostCounterText) + std::size(kStreamCounterText) +
                      std::size(kQueryLogCounterText) + std::size(kControlCounterText));
}

TEST(MetricsRequest, EarnsItsStatus) {
  EXPECT_EQ(metrics_request_status("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), 200u);
  EXPECT_EQ(metrics_request_status("GET /metrics?x=y HTTP/1.0\r\n\r\n"), 200u);
  EXPECT_EQ(metrics_request_status("HEAD /metrics HTTP/1.1\r\n\r\n"), 200u);
  EXPECT_EQ(metrics_request_status("GET / HTTP/1.1\r\n\r\n"), 404u);
  EXPECT_EQ(metrics_request_status("GET /metricsx HTTP/1.1\r\n\r\n"), 404u);
  EXPECT_EQ(metrics_request_status("POST /metrics HTTP/1.1\r\n\r\n"), 405u);
  for (const char* head : {"", " ", "  ", "GET", "GET /metrics", "GET  HTTP/1.1", "GET /metrics HTTP/2",
                           "GET metrics HTTP/1.1", " /metrics HTTP/1.1", "\r\n\r\n", "GET /metrics  "}) {
    EXPECT_EQ(metrics_request_status(head), 400u) << head;
  }
}

class MetricsListenerTest : public ::testing::Test {
 protected:
  void open(const MetricsListener::Options& options) {
    auto opened = MetricsListener::open(io_, options, [this] {
      ++rendered_;
      return std::string(1u << 20, '#') + "\n";
    });
    ASSERT_TRUE(opened) << opened.error();
    listener_ = *std::move(opened);
  }
  Peer exchange(const std::string& request) {
    Peer peer = Peer::tcp(listener_->port());
    peer.send(request);
    EXPECT_TRUE(run_until(io_, [&] { return peer.poll() && peer.ended; }));
    return peer;
  }

  asio::io_context io_;
  std::unique_ptr<MetricsListener> listener_;
  int rendered_ = 0;
};

TEST_F(MetricsListenerTest, ServesTheText) {
  open({.address = loopback_address(0)});
  const Peer peer = exchange("GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n");
  EXPECT_TRUE(peer.received.starts_with("HTTP/1.1 200 OK\r\n"));
  const std::size_t body = peer.received.find("\r\n\r\n") + 4;
  EXPECT_EQ(peer.received.size() - body, (1u << 20) + 1);
  EXPECT_NE(peer.received.find("Content-Length: 1048577\r\n"), std::string::npos);
  EXPECT_FALSE(peer.reset);
  EXPECT_EQ(rendered_, 1);
}

TEST_F(MetricsListenerTest, HeadHasNoBodyAndOthersAreErrors) {
  open({.address = loopback_address(0)});
  const Peer head = exchange("HEAD /metrics HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(head.received.starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_TRUE(head.received.ends_with("\r\n\r\n"));
  rendered_ = 0;
  EXPECT_TRUE(exchange("GET /other HTTP/1.1\r\n\r\n").received.starts_with("HTTP/1.1 404 "));
  EXPECT_TRUE(exchange("PUT /metrics HTTP/1.1\r\n\r\n").received.starts_with("HTTP/1.1 405 "));
  EXPECT_TRUE(exchange("garbage\r\n\r\n").received.starts_with("HTTP/1.1 400 "));
  EXPECT_TRUE(exchange("GET /metrics HTTP/1.1\r\nX: " + std::string(10000, 'x'))
                  .received.starts_with("HTTP/1.1 431 "));
  EXPECT_EQ(rendered_, 0);
}

TEST_F(MetricsListenerTest, SlowClientsAreClosedAndTooManyRefused) {
  open({.address = loopback_address(0), .clients = 2, .timeout_ms = 80});
  Peer a = Peer::tcp(listener_->port()), b = Peer::tcp(listener_->port());
  a.send("GET /metrics HTTP");
  run_for(io_, milliseconds(10));
  Peer c = Peer::tcp(listener_->port());
  EXPECT_TRUE(run_until(
      io_, [&] { return c.poll() && c.ended; }, milliseconds(60)));
  EXPECT_TRUE(run_until(io_, [&] { return a.poll() && b.poll() && a.ended && b.ended; }));
  EXPECT_TRUE(exchange("GET /metrics HTTP/1.1\r\n\r\n").received.starts_with("HTTP/1.1 200 "));
}

TEST_F(MetricsListenerTest, AnAddressInUseIsAnError) {
  open({.address = loopback_address(0)});
  const auto second =
      MetricsListener::open(io_, {.address = loopback_address(listener_->port())}, [] { return ""; });
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().find(loopback_address(listener_->port()).to_string()), std::string::npos);
}

TEST_F(MetricsListenerTest, CanBeDestroyedWithClients) {
  open({.address = loopback_address(0)});
  Peer peer = Peer::tcp(listener_->port());
  run_for(io_, milliseconds(10));
  listener_.reset();
  EXPECT_TRUE(run_until(io_, [&] { return peer.poll() && peer.ended; }));
}

}  // namespace
}  // namespace shunt::control
