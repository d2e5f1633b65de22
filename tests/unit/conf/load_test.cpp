// Whole files: defaults, every key, many mistakes in one pass, the examples; and how mistakes are shown.
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "conf/report.h"
#include "tests/unit/conf/config_text.h"

namespace shunt::conf {
namespace {

IpAddress ip(std::string_view text) {
  return IpAddress::parse(text).value();
}
Prefix prefix(std::string_view text) {
  return Prefix::parse(text).value();
}

TEST(Load, Defaults) {
  const Config c = load_right(kBase);
  EXPECT_EQ(c.path, "shunt.toml");
  EXPECT_EQ(c.dataplane, Dataplane{});
  EXPECT_EQ(c.dataplane.workers, std::vector<unsigned>{1});
  EXPECT_EQ(c.dataplane.memory, 512u << 20);
  EXPECT_EQ(c.dataplane.rules_memory, 4ull << 30);
  EXPECT_EQ(c.dataplane.cache, 256u << 20);
  EXPECT_TRUE(c.dataplane.hugepages);
  EXPECT_EQ(c.control_socket, "/run/shunt/control.sock");
  EXPECT_EQ(c.mirror_namespace, "shunt");
  EXPECT_EQ(c.limits.queries_per_client, 10000u);
  EXPECT_EQ(c.limits.drain_ms, 2000u);
  EXPECT_FALSE(c.metrics.has_value());
  EXPECT_EQ(c.log_level, "info");
  EXPECT_EQ(c.ports.at(0).mirror, "shunt-lan");
  EXPECT_EQ(c.ports.at(0).vlan, 0u);
  EXPECT_EQ(c.ports.at(0).mtu, 1500u);
  EXPECT_EQ(c.outbounds.at(0).first_port, 1024u);
  EXPECT_EQ(c.outbounds.at(0).last_port, 65535u);
  EXPECT_EQ(c.upstreams.at(1).outbound, "");
  EXPECT_EQ(c.upstreams.at(1).policy, Policy::kRandom);
  EXPECT_EQ(c.upstreams.at(1).timeout_ms, 800u);
  EXPECT_EQ(c.upstreams.at(1).probe, ". NS");
  EXPECT_EQ(c.upstreams.at(1).health, HealthCheck{});
  EXPECT_EQ(c.upstreams.at(1).ttl, TtlBounds{});
  EXPECT_TRUE(c.upstreams.at(1).prefetch);
  EXPECT_TRUE(c.networks.at(0).autodefined);
}

constexpr std::string_view kEveryKey = R"(
[dataplane]
workers      = [2, 3]
control_core = 1
memory       = "1GiB"
rules_memory = "2GiB"
hugepages    = false
cache        = "128MiB"
pending      = 32768
eal          = ["--log-level=lib.eal:debug"]
[control]
socket = "/tmp/shunt.sock"
[mirror]
namespace = ""
[limits]
queries_per_client         = 1
queries_per_upstream       = 2
queries_per_target         = 7
tcp_connections            = 3
tcp_connections_per_client = 4
tcp_queries_per_connection = 5
tcp_idle_ms                = 600
drain_ms                   = 0
[metrics]
listen = "[::1]:9153"
rules  = 7
[log]
level   = "debug"
queries = "off"
[[port]]
name       = "lan"
device     = "0000:3b:00.0"
addresses  = ["10.53.0.53/24", "fd53::53/64"]
gateways   = ["10.53.0.1", "fd53::1"]
mirror     = "m0"
neighbours = { "10.53.0.1" = "02:00:5e:00:00:01" }
replies    = "reflect"
vlan       = 12
mtu        = 1400
[[inbound]]
name      = "in"
addresses = ["10.53.0.53", "fd53::53"]
allow     = ["10.0.0.0/8", "::/0"]
network   = "prod"
[[outbound]]
name         = "out"
addresses    = ["10.53.0.53", "fd53::53"]
source_ports = [20000, 60000]
[[upstream]]
name        = "up"
outbound    = "out"
targets     = ["192.168.1.53", "[2001:db8::53]:5353"]
protocol    = "udp"
policy      = "fastest"
on_all_down = "stale"
timeout_ms  = 300
probe       = "health.onprem.corp TYPE65"
health      = { fall = 4, rise = 5, interval_ms = 250 }
ttl         = { min = 1, max = 60, stale = 3, failure = 2 }
prefetch    = false
[[rules]]
name = "set"
list = [
  "onprem.corp forward up",
  'ads.example block nxdomain',
]
[[network]]
name        = "prod"
clients     = ["10.1.0.0/16", "2001:db8:1::/48", "10.2.3.4"]
rules       = ["set"]
default     = "up"
autodefined = false
)";

TEST(Load, EveryKey) {
  const Config c = load_right(kEveryKey);
  EXPECT_EQ(c.dataplane.workers, (std::vector<unsigned>{2, 3}));
  EXPECT_EQ(c.dataplane.control_core, 1u);
  EXPECT_EQ(c.dataplane.memory, 1u << 30);
  EXPECT_EQ(c.dataplane.rules_memory, 2ull << 30);
  EXPECT_FALSE(c.dataplane.hugepages);
  EXPECT_EQ(c.dataplane.cache, 128u << 20);
  EXPECT_EQ(c.dataplane.pending, 32768u);
  EXPECT_EQ(c.dataplane.eal, std::vector<std::string>{"--log-level=lib.eal:debug"});
  EXPECT_EQ(c.control_socket, "/tmp/shunt.sock");
  EXPECT_EQ(c.mirror_namespace, "");
  EXPECT_EQ(c.limits.queries_per_client, 1u);
  EXPECT_EQ(c.limits.queries_per_upstream, 2u);
  EXPECT_EQ(c.limits.queries_per_target, 7u);
  EXPECT_EQ(c.limits.tcp_connections, 3u);
  EXPECT_EQ(c.limits.tcp_connections_per_client, 4u);
  EXPECT_EQ(c.limits.tcp_queries_per_connection, 5u);
  EXPECT_EQ(c.limits.tcp_idle_ms, 600u);
  EXPECT_EQ(c.limits.drain_ms, 0u);
  EXPECT_EQ(c.metrics, std::pair(ip("::1"), std::uint16_t{9153}));
  EXPECT_EQ(c.rule_figures, 7u);
  EXPECT_EQ(c.log_level, "debug");

  const Port& port = c.ports.at(0);
  EXPECT_EQ(port.device, "0000:3b:00.0");
  ASSERT_EQ(port.addresses.size(), 2u);
  EXPECT_EQ(port.addresses[0].address, ip("10.53.0.53"));
  EXPECT_EQ(port.addresses[0].length, 96 + 24);
  EXPECT_EQ(port.gateways, (std::vector{ip("10.53.0.1"), ip("fd53::1")}));
  EXPECT_EQ(port.mirror, "m0");
  ASSERT_EQ(port.neighbours.size(), 1u);
  EXPECT_EQ(port.neighbours[0], std::pair(ip("10.53.0.1"), MacAddress::parse("02:00:5e:00:00:01").value()));
  EXPECT_EQ(port.vlan, 12u);
  EXPECT_EQ(port.mtu, 1400u);

  EXPECT_EQ(c.inbounds.at(0).addresses, (std::vector{ip("10.53.0.53"), ip("fd53::53")}));
  EXPECT_EQ(c.inbounds.at(0).allow, (std::vector{prefix("10.0.0.0/8"), prefix("::/0")}));
  EXPECT_EQ(c.inbounds.at(0).network, "prod");
  EXPECT_EQ(c.outbounds.at(0).first_port, 20000u);
  EXPECT_EQ(c.outbounds.at(0).last_port, 60000u);

  const Upstream& up = c.upstreams.at(0);
  EXPECT_EQ(up.outbound, "out");
  EXPECT_EQ(up.targets,
            (std::vector{SocketAddress{ip("192.168.1.53"), 53}, SocketAddress{ip("2001:db8::53"), 5353}}));
  EXPECT_EQ(up.policy, Policy::kFastest);
  EXPECT_EQ(up.on_all_down, OnAllDown::kStale);
  EXPECT_EQ(up.timeout_ms, 300u);
  EXPECT_EQ(up.probe, "health.onprem.corp TYPE65");
  EXPECT_EQ(up.health, (HealthCheck{4, 5, 250}));
  EXPECT_EQ(up.ttl, (TtlBounds{1, 60, 3, 2}));
  EXPECT_FALSE(up.prefetch);

  const RuleSet& set = c.rule_sets.at(0);
  EXPECT_EQ(set.list, (std::vector<std::string>{"onprem.corp forward up", "ads.example block nxdomain"}));
  ASSERT_EQ(set.list_positions.size(), 2u);
  EXPECT_EQ(set.list_positions[1].line, set.list_positions[0].line + 1);
  EXPECT_EQ(set.list_positions[1].column, 3u);
  const Network& network = c.networks.at(0);
  EXPECT_EQ(network.clients,
            (std::vector{prefix("10.1.0.0/16"), prefix("2001:db8:1::/48"), prefix("10.2.3.4/32")}));
  EXPECT_EQ(network.rules, std::vector<std::string>{"set"});
  EXPECT_EQ(network.default_upstream, "up");
  EXPECT_FALSE(network.autodefined);
}

// A file with a mistake in every corner: each is told, in the order of the file, and none twice.
TEST(Load, ManyMistakesInOnePass) {
  const std::string text = R"([dataplane]
wrokers = [1]
workers = ["one"]
memory = "lots"
[log]
level = "loud"
[[port]]
name = "lan"
device = "eth1"
addresses = ["10.53.0.53/33"]
[[inbound]]
name = "in"
addresses = ["10.9.9.9"]
allow = []
[[outbound]]
name = "out"
addresses = ["10.8.8.8"]
source_ports = [9, 10]
[[upstream]]
name = "up"
outbound = "uot"
targets = ["nowhere"]
policy = "fast"
[[upstream]]
name = "up"
targets = ["192.0.2.1", "192.0.2.1"]
[[rules]]
name = "set"
list = ["a.example forward pu", "b.example frobnicate"]
[[network]]
name = "a"
clients = ["10.1.0.0/16"]
default = "nobody"
[[network]]
name = "b"
clients = ["10.1.0.0/16"]
rules = ["ste"]
[[zone]]
file = "z"
)";
  const Loaded loaded = load_text(text, "shunt.toml");
  EXPECT_FALSE(loaded.config.has_value());
  std::vector<std::uint32_t> lines;
  for (const Diagnostic& d : loaded.errors) {
    lines.push_back(d.position.line);
    EXPECT_FALSE(d.hint.empty()) << d.message;
    EXPECT_FALSE(d.source_line.empty()) << d.message;
    EXPECT_GT(d.position.column, 0u) << d.message;
  }
  EXPECT_EQ(lines, (std::vector<std::uint32_t>{2,  3,  4,  6,  9,  10, 13, 14, 17, 18, 21,
                                               22, 23, 25, 26, 29, 29, 33, 36, 37, 38, 39}))
      << to_text(loaded.errors);
}

TEST(Load, MoreMistakesThanAreShown) {
  std::string text(kBase);
  for (int i = 0; i < 1500; ++i)
    text += "k" + std::to_string(i) + " = 1\n";
  const Loaded loaded = load_text(text, "shunt.toml");
  ASSERT_EQ(loaded.errors.size(), kMaxDiagnostics + 1);
  EXPECT_EQ(loaded.errors.back().message, "500 further errors not shown");
}

TEST(Load, TooLarge) {
  const Loaded loaded = load_text(std::string(kMaxConfigOctets + 1, '\n'), "shunt.toml");
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_NE(loaded.errors[0].message.find("larger than 16 MiB"), std::string::npos);
}

// Files.

class Files : public ::testing::Test {
 protected:
  Files() {
    std::string pattern = (std::filesystem::temp_directory_path() / "shunt-conf-XXXXXX").string();
    EXPECT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  ~Files() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, std::string_view text) const {
    const std::filesystem::path path = folder_ / name;
    std::ofstream(path) << text;
    return path.string();
  }
  std::filesystem::path folder_;
};

TEST_F(Files, NoSuchFile) {
  const Loaded loaded = load_file((folder_ / "no.toml").string());
  EXPECT_FALSE(loaded.config.has_value());
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_EQ(loaded.errors[0].file, (folder_ / "no.toml").string());
  EXPECT_EQ(loaded.errors[0].message, "can't open the file: No such file or directory");
  EXPECT_EQ(to_text(loaded.errors[0]).find(folder_.string() + "/no.toml: error: can't open"), 0u);
}

TEST_F(Files, Directory) {
  const Loaded loaded = load_file(folder_.string());
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_EQ(loaded.errors[0].message, "can't read the file: Is a directory");
}

TEST_F(Files, RuleFileBesideTheConfiguration) {
  write("corp.rules", "# rules\nonprem.corp forward corp-dns\n");
  const std::string path =
      write("shunt.toml", change("list = [\"onprem.corp forward corp-dns\"]", "file = \"corp.rules\""));
  const Loaded loaded = load_file(path);
  ASSERT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_EQ(loaded.config->rule_sets.at(0).file, (folder_ / "corp.rules").string());
}

TEST_F(Files, MistakesInARuleFileAndInTheConfigurationTogether) {
  write("corp.rules", "# rules\nonprem.corp forward nowhere\n");
  const std::string path = write(
      "shunt.toml", change("list = [\"onprem.corp forward corp-dns\"]", "file = \"corp.rules\"\nfiel = 1"));
  const Loaded loaded = load_file(path);
  ASSERT_EQ(loaded.errors.size(), 2u) << to_text(loaded.errors);
  EXPECT_EQ(loaded.errors[0].file, path);
  EXPECT_NE(loaded.errors[0].message.find("unknown key \"fiel\""), std::string::npos);
  EXPECT_NE(loaded.errors[1].file.find("corp.rules"), std::string::npos);
  EXPECT_EQ(loaded.errors[1].position.line, 2u);
  EXPECT_NE(loaded.errors[1].message.find("nowhere"), std::string::npos);
}

TEST_F(Files, RuleFilesAreIgnoredOnDemand) {
  const std::string text = change("list = [\"onprem.corp forward corp-dns\"]", "file = \"no-such.rules\"");
  EXPECT_FALSE(load_text(text, "shunt.toml").config.has_value());
  EXPECT_TRUE(load_text(text, "shunt.toml", {.rule_files = false}).config.has_value());
}

TEST_F(Files, RuleFileIsAFolder) {
  const std::string path =
      write("shunt.toml", change("list = [\"onprem.corp forward corp-dns\"]", "file = \".\""));
  const Loaded loaded = load_file(path);
  ASSERT_EQ(loaded.errors.size(), 1u) << to_text(loaded.errors);
  EXPECT_NE(loaded.errors[0].message.find("Is a directory"), std::string::npos);
}

// What is shipped.

class Shipped : public ::testing::TestWithParam<std::string> {};

TEST_P(Shipped, IsRight) {
  const char* folder = std::getenv("SHUNT_CONF_DIR");
  ASSERT_NE(folder, nullptr) << "SHUNT_CONF_DIR names the folder conf/ of the sources";
  const Loaded loaded = load_file(std::string(folder) + "/" + GetParam());
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_TRUE(loaded.warnings.empty()) << to_text(loaded.warnings, "warning");
}

INSTANTIATE_TEST_SUITE_P(Configurations, Shipped,
                         ::testing::Values("shunt.toml", "examples/hybrid.toml", "examples/laptop.toml",
                                           "examples/nic.toml"),
                         [](const auto& file) {
                           std::string name = std::filesystem::path(file.param).stem().string();
                           return name;
                         });

// The full example shows the defaults: without its single tables the same configuration is meant.
TEST(ShippedDefaults, AreTheDefaults) {
  const char* folder = std::getenv("SHUNT_CONF_DIR");
  ASSERT_NE(folder, nullptr);
  const Config c = load_file(std::string(folder) + "/shunt.toml").config.value_or(Config{});
  const Config defaults;
  ASSERT_FALSE(c.ports.empty());
  EXPECT_EQ(c.dataplane, defaults.dataplane);
  EXPECT_EQ(c.control_socket, defaults.control_socket);
  EXPECT_EQ(c.mirror_namespace, defaults.mirror_namespace);
  EXPECT_EQ(c.limits, defaults.limits);
  EXPECT_EQ(c.rule_figures, defaults.rule_figures);
  EXPECT_EQ(c.log_level, defaults.log_level);
}

// The manual's example is a whole configuration.
TEST(Manual, ExampleIsRight) {
  const char* folder = std::getenv("SHUNT_CONF_DIR");
  ASSERT_NE(folder, nullptr);
  std::ifstream file(std::string(folder) + "/../docs/man/shunt.toml.5");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::string begin = ".Bd -literal -offset indent\n";
  const std::size_t first = page.find(begin), last = page.find(".Ed\n");
  ASSERT_NE(first, page.npos);
  ASSERT_NE(last, page.npos);
  const Loaded loaded =
      load_text(page.substr(first + begin.size(), last - first - begin.size()), "shunt.toml");
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_TRUE(loaded.warnings.empty()) << to_text(loaded.warnings, "warning");
}

TEST(Load, PciAddressAsDpdkWritesIt) {
  EXPECT_EQ(load_right(change("net_memif0", "3B:00.1,arg=X")).ports.at(0).device, "0000:3b:00.1,arg=X");
  EXPECT_EQ(load_right(change("net_memif0", "net_memif0,role=server,ID=3")).ports.at(0).device,
            "net_memif0,role=server,ID=3");
}

// How mistakes are shown.

TEST(Text, LineCaretAndHint) {
  const Diagnostic d{"shunt.toml", {3, 11}, "what is wrong", "what is right", "workers = [\"one\"]"};
  EXPECT_EQ(to_text(d),
            "shunt.toml:3:11: error: what is wrong\n"
            "    3 | workers = [\"one\"]\n"
            "      |           ^\n"
            "      = hint: what is right\n");
  EXPECT_EQ(to_text(d, "warning").substr(0, 24), "shunt.toml:3:11: warning");
}

TEST(Text, NowhereInParticular) {
  EXPECT_EQ(to_text(Diagnostic{"shunt.toml", {}, "wrong", "right", ""}),
            "shunt.toml: error: wrong\n      = hint: right\n");
}

TEST(Text, TabsAndLettersBeyondAsciiKeepTheCaretInPlace) {
  const Diagnostic d{"f", {1, 8}, "m", "", "\t\"\xc3\xa9\xc3\xa9\"  x"};
  EXPECT_EQ(to_text(d), "f:1:8: error: m\n    1 |  \"\xc3\xa9\xc3\xa9\"  x\n      |        ^\n");
}

TEST(Text, NoControlCharacterReachesTheTerminal) {
  const Diagnostic d{"f", {1, 1}, "m", "", "\x1b[31mred\x7f"};
  EXPECT_EQ(to_text(d), "f:1:1: error: m\n    1 | ?[31mred?\n      | ^\n");
}

TEST(Text, LongLineIsCutAroundTheCaret) {
  const Diagnostic d{"f", {1, 501}, "m", "", std::string(500, 'a') + "X" + std::string(500, 'b')};
  const std::string text = to_text(d);
  const std::size_t line = text.find("    1 | "), caret_line = text.find("      | ");
  ASSERT_NE(caret_line, std::string::npos);
  EXPECT_EQ(text.find('X') - line, text.find('^') - caret_line);
  EXPECT_LT(text.size(), 300u);
}

TEST(Nearest, FindsTypingMistakes) {
  const std::vector<std::string_view> keys{"workers", "control_core", "memory", "cache", "pending", "eal"};
  EXPECT_EQ(nearest("wrokers", keys), "workers");
  EXPECT_EQ(nearest("Memory", keys), "memory");
  EXPECT_EQ(nearest("cach", keys), "cache");
  EXPECT_EQ(nearest("controlcore", keys), "control_core");
  EXPECT_EQ(nearest("eel", keys), "eal");
  EXPECT_EQ(nearest("zzz", keys), "");
  EXPECT_EQ(nearest("", keys), "");
  EXPECT_EQ(nearest(std::string(1000, 'w'), keys), "");
}

TEST(Utf8, OnlyWhatIsWellFormedStays) {
  EXPECT_EQ(clean_utf8("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x99\x82"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x99\x82");
  EXPECT_EQ(clean_utf8("\xff|\xc3|\xc0\x80|\xe0\x80\x80|\xed\xa0\x80|\xf5\x80\x80\x80|\xe2\x82"),
            "?|?|??|???|???|????|??");
  EXPECT_EQ(in_quotes("a\"\\\n\x1b"), "\"a\\\"\\\\\\x0a\\x1b\"");
  EXPECT_EQ(in_quotes(std::string(79, 'x') + "\xc3\xbc"), "\"" + std::string(79, 'x') + "...\"");
}

}  // namespace
}  // namespace shunt::conf
