#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <fstream>
#include <map>
#include <sstream>
#include <thread>

#include "control/ctl/client.h"
#include "control/ctl/print.h"
#include "control/ctl/run.h"
#include "control/ctl/table.h"
#include "control/metrics.h"
#include "control/socket.h"
#include "tests/unit/control/loopback.h"

namespace shunt::control::ctl {
namespace {

using namespace shunt::testing;
using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code = -1;
  std::string out, err;
};

Outcome shuntctl(std::vector<std::string> arguments) {
  std::vector<const char*> argv{"shuntctl"};
  for (const std::string& argument : arguments)
    argv.push_back(argument.c_str());
  std::ostringstream out, err;
  Outcome outcome;
  outcome.code = run(static_cast<int>(argv.size()), argv.data(), out, err);
  outcome.out = out.str();
  outcome.err = err.str();
  return outcome;
}

/// A control socket with replies that were laid down before, on a thread of its own.
class CtlTest : public ::testing::Test {
 protected:
  ~CtlTest() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }
  void serve(std::map<std::string, json> replies) {
    auto opened = ControlSocket::open(
        io_, {.path = path_}, [this, replies](const json& request, const ControlSocket::Done& done) {
          request_ = request;
          const auto found = replies.find(request["command"].get<std::string>());
          done(found == replies.end() ? error_reply("no such command") : found->second);
        });
    ASSERT_TRUE(opened) << opened.error();
    socket_ = *std::move(opened);
    thread_ = std::thread([this] { io_.run(); });
  }
  Outcome ask(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"--socket", path_});
    return shuntctl(std::move(arguments));
  }

  TemporaryFolder folder_;
  std::string path_ = folder_ / "control.sock";
  asio::io_context io_;
  std::unique_ptr<ControlSocket> socket_;
  json request_;  ///< the last; written before its reply is sent
  std::thread thread_;
};

TEST_F(CtlTest, PrintsStatusAsTables) {
  serve({{"status",
          ok_reply(json::parse(R"({"version": "0.1.0", "pid": 42, "uptime_seconds": 3725, "generation": 41,
      "config": "/etc/shunt.toml", "limiting_resource": "none",
      "ports": [{"name": "lan", "device": "net_af_xdp0,iface=eth1", "mac": "02:00:00:00:00:01", "link": "up",
                 "addresses": ["10.53.0.53/24", "fd53::53/64"], "mirror": "shunt-lan"}],
      "workers": [{"id": 0, "core": 1, "generation": 41, "busy_percent": 12.345, "queries_per_second": 1234.0,
                   "pending": 5, "cache_entries": 100000, "swap_pause_us": 7.25}],
      "streams": [{"transport": "TCP", "connections": 3, "in_flight": 1, "queries": 42},
                  {"transport": "TLS", "connections": 12, "in_flight": 0, "queries": 7}],
      "certificates": [{"endpoint": "from-onprem", "file": "/etc/gw.pem", "not_after": 1800000000,
                        "days_left": 41}]})"))}});
  const Outcome outcome = ask({"status"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, HasSubstr("shunt 0.1.0, pid 42, up 1 h 2 min\n"));
  EXPECT_THAT(outcome.out, HasSubstr("generation 41 of /etc/shunt.toml\n"));
  EXPECT_THAT(outcome.out,
              HasSubstr("PORT  DEVICE                  MAC                LINK  MIRROR     ADDRESSES\n"
                        "lan   net_af_xdp0,iface=eth1  02:00:00:00:00:01  up    shunt-lan  "
                        "10.53.0.53/24 fd53::53/64\n"));
  EXPECT_THAT(outcome.out,
              HasSubstr("WORKER  CORE  GENERATION    BUSY  QUERIES/S  PENDING  CACHED  SWAP PAUSE\n"
                        "     0     1          41  12.3 %       1234        5  100000      7.2 us\n"));
  EXPECT_THAT(outcome.out, HasSubstr("TRANSPORT  CONNECTIONS  IN FLIGHT  QUERIES\n"
                                     "TCP                  3          1       42\n"
                                     "TLS                 12          0        7\n"));
  EXPECT_THAT(outcome.out, HasSubstr("ENDPOINT     CERTIFICATE  DAYS LEFT\n"
                                     "from-onprem  /etc/gw.pem         41\n"));
  EXPECT_THAT(outcome.out, Not(HasSubstr("rolled back")));
  EXPECT_THAT(outcome.out, Not(HasSubstr("STAGE")));
  EXPECT_EQ(request_, json({{"command", "status"}}));
}

TEST_F(CtlTest, PrintsARollback) {
  const json summary{{"summary", "generation 3→4 (as 2): +0 −1 ~0, 7 rules, 2 ms"}};
  serve({{"rollback", ok_reply(summary)},
         {"status", ok_reply({{"generation", 4}, {"read_as", 2}, {"differs_from_file", true}})}});
  EXPECT_EQ(ask({"rollback"}).out, "generation 3→4 (as 2): +0 −1 ~0, 7 rules, 2 ms\n");
  EXPECT_EQ(request_, json({{"command", "rollback"}}));
  EXPECT_THAT(ask({"status"}).out, HasSubstr("rolled back to what generation 2 was: what runs differs"));
}

TEST_F(CtlTest, PrintsADryRunByName) {
  json rules = json::array();
  const auto rule = [&](const char* change, const char* name, const char* before, const char* after) {
    rules.push_back(
        {{"change", change}, {"set", "corp"}, {"name", name}, {"before", before}, {"after", after}});
  };
  rule("+", "onprem.corp", "", "forward corp-dns");
  rule("-", "=old.corp", "block nxdomain", "");
  rule("~", "*.x", "forward a", "block drop");
  json changes{{"rules", rules}, {"rules_added", 1}, {"rules_removed", 1}, {"rules_changed", 1}};
  changes["tables"] = {{{"change", "~"}, {"kind", "network"}, {"name", "prod"}, {"keys", {"default"}}},
                       {{"change", "-"}, {"kind", "upstream"}, {"name", "x"}, {"keys", json::array()}}};
  serve({{"reload", ok_reply({{"summary", "would be …"}, {"changes", changes}})}});
  EXPECT_EQ(ask({"reload", "--dry-run"}).out,
            "would be …\n"
            "~ network \"prod\": default\n"
            "- upstream \"x\"\n"
            "+ corp: onprem.corp forward corp-dns\n"
            "- corp: =old.corp block nxdomain\n"
            "~ corp: *.x: forward a → block drop\n");
}

TEST_F(CtlTest, ADryRunOfManyChangesCountsTheRest) {
  json rules = json::array();
  for (int i = 0; i < 1000; ++i)
    rules.push_back({{"change", "+"}, {"set", "s"}, {"name", "n"}, {"before", ""}, {"after", "system"}});
  const json changes{{"rules", rules}, {"rules_added", 1000000}, {"rules_removed", 5}, {"rules_changed", 0}};
  serve({{"reload", ok_reply({{"summary", "would be …"}, {"changes", changes}})}});
  const std::string out = ask({"reload", "--dry-run"}).out;
  EXPECT_EQ(std::ranges::count(out, '\n'), 302);
  EXPECT_THAT(out, HasSubstr("and 999705 more changes of rules\n"));
}

TEST_F(CtlTest, PrintsStagesOfADaemonThatCountsTheirCycles) {
  Stats stats;
  stats[Counter::answered_cache] = 1000;
  stats.stages[static_cast<std::size_t>(Stage::receive)] = {60000, 1000};
  stats.stages[static_cast<std::size_t>(Stage::cached)] = {180000, 900};
  serve(
      {{"status",
        ok_reply({{"workers", json::array({{{"id", 0}}, {{"id", 1}, {"stages", stages_result(stats)}}})}})}});
  const Outcome outcome = ask({"status"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_THAT(outcome.out, Not(HasSubstr("worker 0:")));
  EXPECT_THAT(outcome.out,
              HasSubstr("\nworker 1: 1000 queries answered, 240.0 cycles each\n"
                        "  STAGE         PASSED  UNIT     CYCLES EACH  CYCLES A QUERY   SHARE  WHAT\n"));
  EXPECT_THAT(outcome.out,
              HasSubstr("\n  cached           900  query          200.0           180.0  75.0 %  "));
  EXPECT_THAT(outcome.out,
              HasSubstr("\n  receive         1000  frame           60.0            60.0  25.0 %  "));
}

TEST_F(CtlTest, JsonIsPrintedAsItCame) {
  serve(
      {{"upstreams", json::parse(R"({"ok": true, "result": {"upstreams": [], "z": 1.5, "a": "\u00e9"}})")}});
  for (const auto& arguments : {std::vector<std::string>{"--json", "upstreams"}, {"upstreams", "--json"}}) {
    const Outcome outcome = ask(arguments);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_EQ(json::parse(outcome.out), json::parse(R"({"upstreams": [], "z": 1.5, "a": "é"})"));
    EXPECT_EQ(std::count(outcome.out.begin(), outcome.out.end(), '\n'), 1);
  }
}

TEST_F(CtlTest, ExplainsWithAllItWasAsked) {
  serve({{"explain", ok_reply(json::parse(R"J({"name": "a.onprem.corp.", "type": "AAAA", "client": "10.1.2.3",
      "endpoint": "from-onprem", "allowed": true, "allowed_by": "10.0.0.0/8", "network": "prod",
      "network_by": "10.1.0.0/16", "outcome": "forward",
      "rule": {"text": "onprem.corp forward corp-dns", "set": "corp", "where": "shunt.toml:31", "id": "corp"},
      "then": {"text": "corp block nxdomain", "set": "built-in", "where": "built-in"},
      "watch": {"text": "a.onprem.corp watch", "set": "eyes", "where": "shunt.toml:40"},
      "others": [{"text": ". system", "set": "all", "where": "all.rules:1", "why": "a shorter name"}],
      "upstream": {"name": "corp-dns", "targets": [
        {"address": "192.168.1.53:53", "up": true, "path": "10.0.0.53 via lan (next hop 10.0.0.1)"},
        {"address": "192.168.2.53:53", "up": false, "path": "no route"},
        {"address": "192.168.3.53:53", "path": "from a file"}]}, "cached": null})J"))}});
  const Outcome outcome =
      ask({"explain", "a.onprem.corp", "AAAA", "--client", "10.1.2.3", "--endpoint", "from-onprem"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(request_, json::parse(R"({"command": "explain", "name": "a.onprem.corp", "type": "AAAA",
                                      "client": "10.1.2.3", "endpoint": "from-onprem"})"));
  EXPECT_EQ(outcome.out,
            "a.onprem.corp. AAAA from 10.1.2.3\n"
            "  endpoint  from-onprem: allowed, by 10.0.0.0/8\n"
            "  network   prod, by 10.1.0.0/16\n"
            "  outcome   forward\n"
            "  rule      onprem.corp forward corp-dns id=corp (corp, shunt.toml:31)\n"
            "  then      corp block nxdomain (built-in)\n"
            "  watch     a.onprem.corp watch (eyes, shunt.toml:40)\n"
            "  lost      . system (all, all.rules:1): a shorter name\n"
            "  upstream  corp-dns\n"
            "  target    192.168.1.53:53 up, 10.0.0.53 via lan (next hop 10.0.0.1)\n"
            "  target    192.168.2.53:53 down, no route\n"
            "  target    192.168.3.53:53, from a file\n");
  EXPECT_EQ(ask({"explain", "x", "--client", "::1"}).code, 0);
  EXPECT_EQ(request_, json::parse(R"({"command": "explain", "name": "x", "type": "A", "client": "::1"})"));
}

TEST_F(CtlTest, ReloadTellsItsSummaryOrItsErrors) {
  json wrong = error_reply("shunt.toml:3:1: error: unknown key \"prot\"\n");
  wrong["code"] = 78;
  serve({{"reload",
          ok_reply({{"summary", "generation 41→42: +12 −3 ~1, 1000009 rules, 812 ms"}, {"generation", 42}})},
         {"status", wrong}});
  Outcome outcome = ask({"reload"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "generation 41→42: +12 −3 ~1, 1000009 rules, 812 ms\n");
  EXPECT_EQ(request_, json({{"command", "reload"}}));
  EXPECT_EQ(ask({"reload", "--dry-run"}).code, 0);
  EXPECT_EQ(request_, json({{"command", "reload"}, {"dry_run", true}}));
  outcome = ask({"status"});
  EXPECT_EQ(outcome.code, 78);
  EXPECT_EQ(outcome.err, "shunt.toml:3:1: error: unknown key \"prot\"\n");
  EXPECT_EQ(outcome.out, "");
}

TEST_F(CtlTest, CacheAndUpstreamsAreTables) {
  serve({{"cache stats",
          ok_reply(json::parse(R"({"workers": [{"worker": 0, "entries": 10, "octets": 2048, "hits": 75,
            "misses": 25, "insertions": 20, "evictions": 0}], "hit_ratio": 0.75})"))},
         {"cache flush", ok_reply({{"flushed", true}})},
         {"upstreams", ok_reply(json::parse(R"({"upstreams": [{"name": "corp-dns", "targets": [
            {"address": "192.168.1.53:53", "state": "down", "since_seconds": 65, "latency_ms": 1.25, "p50_ms": 1,
             "p99_ms": 20.5, "in_flight": 2, "sent": 100, "answered": 90, "timeouts": 10, "servfails": 3, "refused": 4,
             "why": "3 tries in a row unanswered", "last_failure": "TLS: broken off"}, {"address": "192.168.1.54:53", "state": "up", "since_seconds": 5,
             "p50_ms": 0, "p99_ms": 0, "why": ""}]}]})"))}});
  EXPECT_EQ(ask({"cache", "stats"}).out,
            "WORKER  ENTRIES  OCTETS  HITS  MISSES  INSERTIONS  EVICTIONS\n"
            "     0       10    2048    75      25          20          0\n"
            "hit ratio: 75.0 %\n");
  EXPECT_EQ(ask({"cache", "flush"}).out, "flushed\n");
  EXPECT_EQ(request_, json({{"command", "cache flush"}}));
  EXPECT_EQ(ask({"cache", "flush", "onprem.corp"}).out, "flushed onprem.corp and below\n");
  EXPECT_EQ(request_, json({{"command", "cache flush"}, {"name", "onprem.corp"}}));
  EXPECT_EQ(
      ask({"upstreams"}).out,
      "UPSTREAM  TARGET           STATE      SINCE     P50      P99  IN FLIGHT  SENT  ANSWERED  TIMEOUTS  "
      "SERVFAIL  REFUSED  WHY                          LAST FAILURE\n"
      "corp-dns  192.168.1.53:53  down   1 min 5 s  1.0 ms  20.5 ms          2   100        90        10  "
      "       3        4  3 tries in a row unanswered  TLS: broken off\n"
      "corp-dns  192.168.1.54:53  up           5 s       -        -          -     -         -         -  "
      "       -        -  -                            -\n");
}

TEST_F(CtlTest, RulesAreSortedAndCutOff) {
  const auto row = [](const char* rule, unsigned queries, unsigned hits, unsigned timeouts, json p99) {
    return json{
        {"rule", rule},
        {"set", "corp"},
        {"queries", queries},
        {"cache_hits", hits},
        {"answers", {{"noerror", queries}, {"nxdomain", 0}, {"servfail", 1}, {"refused", 0}, {"other", 0}}},
        {"dropped", 0},
        {"timeouts", timeouts},
        {"p50_ms", p99},
        {"p99_ms", p99}};
  };
  serve({{"rules", ok_reply({{"rules",
                              {row("b.corp", 9, 0, 0, nullptr), row("a.corp", 8, 6, 5, 0.5),
                               row("c.corp", 0, 0, 0, nullptr)}},
                             {"all", false},
                             {"limit", 3},
                             {"configured", 5000}})}});
  const Outcome outcome = ask({"rules", "--count", "2"});
  EXPECT_EQ(outcome.code, 0) << outcome.err;
  EXPECT_EQ(outcome.out,
            "RULE    SET   QUERIES    HITS  NOERROR  NXDOMAIN  SERVFAIL  REFUSED  OTHER  DROPPED  TIMEOUTS   "
            "  P50     P99\n"
            "b.corp  corp        9   0.0 %        9         0         1        0      0        0         0   "
            "    -       -\n"
            "a.corp  corp        8  75.0 %        8         0         1        0      0        0         5  "
            "0.5 ms  0.5 ms\n"
            "and 1 more\n"
            "counted: 3 of 5000 rules, those with an id= and the busiest; [metrics] rules = 3\n");
  const auto first = [this](const std::string& key) {
    const std::string out = ask({"rules", "--sort", key}).out;
    const std::size_t line = out.find('\n') + 1;
    return out.substr(line, out.find(' ', line) - line);
  };
  for (const char* key : {"hits", "timeouts", "p99", "name"})
    EXPECT_EQ(first(key), "a.corp") << key;
  EXPECT_EQ(first("queries"), "b.corp");
  EXPECT_EQ(ask({"rules", "--sort", "colour"}).code, 2);
}

TEST_F(CtlTest, StatsAndMetricsShowTheSameCounters) {
  MetricsSnapshot snapshot;
  snapshot.workers.resize(2);
  snapshot.workers[1].id = 1;
  snapshot.workers[0].stats[Counter::cache_hits] = 40;
  snapshot.workers[1].stats[Counter::cache_hits] = 2;
  serve({{"stats", ok_reply(stats_result(snapshot))},
         {"metrics", ok_reply({{"text", prometheus_text(snapshot)}})}});
  const Outcome table = ask({"stats"});
  EXPECT_EQ(table.code, 0) << table.err;
  for (const StatText& text : kFrameDropText)
    EXPECT_THAT(table.out, HasSubstr(std::string(text.name)));
  EXPECT_THAT(table.out,
              ::testing::ContainsRegex("cache_hits +42 +40 +2  lookups that found a fresh answer"));
  EXPECT_THAT(table.out, HasSubstr("host network\n  NAME"));
  EXPECT_EQ(ask({"metrics"}).out, prometheus_text(snapshot));
}

TEST_F(CtlTest, HealthIsAnExitCode) {
  serve({{"health", ok_reply({{"healthy", false}, {"reason", "no port has a link"}})}});
  const Outcome outcome = ask({"health"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.err, "not healthy: no port has a link\n");
  EXPECT_EQ(ask({"health", "--json"}).code, 1);
}

TEST_F(CtlTest, HealthyIsZero) {
  serve({{"health", ok_reply({{"healthy", true}, {"reason", ""}})}});
  const Outcome outcome = ask({"health"});
  EXPECT_EQ(outcome.code, 0);
  EXPECT_EQ(outcome.out, "healthy\n");
}

TEST_F(CtlTest, AFailedCommandIsOneWithTheReasonOnStandardError) {
  serve({{"status", json::parse("[1, 2]")},
         {"stats", json::parse(R"({"ok": true, "result": {"groups": [3, {"rows": 7}]}})")},
         {"upstreams", json::parse(R"({"ok": true, "result": 17})")}});
  const Outcome outcome = ask({"metrics"});
  EXPECT_EQ(outcome.code, 1);
  EXPECT_EQ(outcome.err, "no such command\n");
  EXPECT_EQ(outcome.out, "");
  EXPECT_EQ(ask({"status"}).code, 1);
  // Results of another shape are shown as far as they go.
  EXPECT_EQ(ask({"stats"}).code, 0);
  EXPECT_EQ(ask({"upstreams"}).code, 0);
}

TEST_F(CtlTest, ADaemonThatCannotBeReachedIs69) {
  for (const std::string& path : {path_, folder_ / std::string(300, 'x'), std::string("/dev/null")}) {
    const Outcome outcome = shuntctl({"--socket", path, "status"});
    EXPECT_EQ(outcome.code, 69) << path;
    EXPECT_THAT(outcome.err, HasSubstr("cannot reach the daemon"));
  }
}

TEST_F(CtlTest, ADaemonThatHangsUpIs69) {
  auto opened =
      ControlSocket::open(io_, {.path = path_, .clients = 0}, [](const json&, const ControlSocket::Done&) {});
  ASSERT_TRUE(opened);
  socket_ = *std::move(opened);
  thread_ = std::thread([this] { io_.run(); });
  EXPECT_EQ(ask({"status"}).code, 69);
}

TEST_F(CtlTest, ADaemonThatIsSilentIsWaitedForNoLongerThanSaid) {
  auto opened = ControlSocket::open(io_, {.path = path_}, [](const json&, const ControlSocket::Done&) {});
  ASSERT_TRUE(opened);
  socket_ = *std::move(opened);
  thread_ = std::thread([this] { io_.run(); });
  const auto result = call(path_, {{"command", "status"}}, std::chrono::milliseconds(50));
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, kUnreachable);
}

TEST(Ctl, WrongUsageIsTwo) {
  for (const auto& arguments : std::vector<std::vector<std::string>>{{},
                                                                     {"nonsense"},
                                                                     {"status", "extra"},
                                                                     {"explain"},
                                                                     {"explain", "name"},
                                                                     {"explain", "name", "--client"},
                                                                     {"cache"},
                                                                     {"check"},
                                                                     {"--nonsense", "status"},
                                                                     {"--socket"}}) {
    const Outcome outcome = shuntctl(arguments);
    EXPECT_EQ(outcome.code, 2);
    EXPECT_FALSE(outcome.err.empty());
    EXPECT_EQ(outcome.out, "");
  }
}

TEST(Ctl, HelpAndVersionAreResults) {
  const Outcome help = shuntctl({"--help"});
  EXPECT_EQ(help.code, 0);
  for (const char* command :
       {"status", "reload", "explain", "upstreams", "cache", "stats", "metrics", "health", "check"}) {
    EXPECT_THAT(help.out, HasSubstr(command));
  }
  const Outcome version = shuntctl({"--version"});
  EXPECT_EQ(version.code, 0);
  EXPECT_THAT(version.out, ::testing::StartsWith("shuntctl "));
}

TEST(Ctl, ChecksAFileWithoutADaemon) {
  const TemporaryFolder folder;
  const std::string file = folder / "shunt.toml";
  std::ofstream(file) << "[dataplane]\nworkerz = [1]\n[log]\nlevel = 3\n";
  const Outcome wrong = shuntctl({"check", file});
  EXPECT_EQ(wrong.code, 78);
  EXPECT_EQ(wrong.out, "");
  EXPECT_THAT(wrong.err, HasSubstr(file + ":2:"));
  EXPECT_THAT(wrong.err, HasSubstr("workerz"));
  EXPECT_THAT(wrong.err, HasSubstr(file + ":4:"));  // all mistakes in one pass
  const Outcome as_json = shuntctl({"--json", "check", file});
  EXPECT_EQ(as_json.code, 78);
  EXPECT_GE(json::parse(as_json.out)["errors"].size(), 2u);

  std::ofstream(file) << R"(
[[port]]
name = "lan"
device = "net_null0"
addresses = ["10.53.0.53/24"]
[[inbound]]
name = "in"
addresses = ["10.53.0.53"]
allow = ["10.0.0.0/8"]
[[upstream]]
name = "internet"
targets = ["192.0.2.1"]
[[network]]
name = "prod"
clients = ["10.0.0.0/8"]
default = "internet"
)";
  const Outcome good = shuntctl({"check", file});
  EXPECT_EQ(good.code, 0) << good.err;
  EXPECT_EQ(good.out, file + ": ok\n");
  const Outcome missing = shuntctl({"check", folder / "missing.toml"});
  EXPECT_EQ(missing.code, 78);
  EXPECT_THAT(missing.err, HasSubstr("missing.toml"));
}

TEST(Ctl, ExplainsFromAFileWithoutADaemon) {
  const TemporaryFolder folder;
  const std::string file = folder / "shunt.toml";
  std::ofstream(file) << R"(
[[port]]
name = "lan"
device = "net_null0"
addresses = ["10.53.0.53/24"]
[[inbound]]
name = "in"
addresses = ["10.53.0.53"]
allow = ["10.0.0.0/8"]
[[upstream]]
name = "corp-dns"
targets = ["192.0.2.1"]
[[rules]]
name = "corp"
list = ["onprem.corp forward corp-dns", "=www.onprem.corp block nxdomain"]
[[network]]
name = "prod"
clients = ["10.0.0.0/8"]
rules = ["corp"]
)";
  const auto explain = [&](const std::string& name) {
    return shuntctl({"explain", name, "--client", "10.1.2.3", "--config", file});
  };
  const Outcome forwarded = explain("Server1.onprem.corp");
  EXPECT_EQ(forwarded.code, 0) << forwarded.err;
  EXPECT_THAT(forwarded.out, HasSubstr("  network   prod, by "));
  EXPECT_THAT(forwarded.out, HasSubstr("  rule      onprem.corp forward corp-dns (corp, " + file + ":"));
  EXPECT_THAT(forwarded.out, HasSubstr("  upstream  corp-dns\n"));
  EXPECT_THAT(forwarded.out, HasSubstr("192.0.2.1"));
  const Outcome blocked = explain("www.onprem.corp");
  EXPECT_THAT(blocked.out, HasSubstr("  rule      =www.onprem.corp block nxdomain (corp, "));
  EXPECT_THAT(blocked.out, HasSubstr("  lost      onprem.corp forward corp-dns (corp, "));
  EXPECT_EQ(explain("not..a name").code, 1);

  std::ofstream(file) << "[nonsense]\n";
  const Outcome wrong = explain("onprem.corp");
  EXPECT_EQ(wrong.code, 78);
  EXPECT_THAT(wrong.err, HasSubstr(file + ":1:"));
}

TEST(Table, AlignsByCharactersAndHidesControls) {
  Table table({"NAME", ">N"});
  EXPECT_TRUE(table.empty());
  table.add({"é\n", "1"});
  table.add({"long", "12345"});
  EXPECT_EQ(table.text(" "), " NAME      N\n é?        1\n long  12345\n");
}

TEST(Duration, IsTheTwoLargestUnits) {
  EXPECT_EQ(duration_text(0), "0 s");
  EXPECT_EQ(duration_text(59.9), "59 s");
  EXPECT_EQ(duration_text(60), "1 min");
  EXPECT_EQ(duration_text(125), "2 min 5 s");
  EXPECT_EQ(duration_text(3600 + 59), "1 h");
  EXPECT_EQ(duration_text(90061), "1 d 1 h");
  EXPECT_EQ(duration_text(-5), "0 s");
}

}  // namespace
}  // namespace shunt::control::ctl
