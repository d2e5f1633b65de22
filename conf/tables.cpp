#include "conf/tables.h"

#include <fmt/format.h>

#include <filesystem>

#include "conf/reader.h"
#include "conf/trust.h"
#include "conf/values.h"

namespace shunt::conf {
namespace {

constexpr std::int64_t kMostPending = 1 << 20;
constexpr std::int64_t kMostInFlight = 1'000'000;
/// A week, as peers cap TTLs (RFC 8767 section 4).
constexpr std::int64_t kMostTtl = 604800;
/// RFC 9520 section 3.2: failures are remembered for 1 s at least and 5 min at most.
constexpr std::int64_t kMostFailureTtl = 300;
/// Two tries fit into kMaxWaitMs.
constexpr std::int64_t kMostTimeoutMs = kMaxWaitMs / 2;
/// A core's number fits the affinity mask of the kernel's ordinary interface (CPU_SETSIZE).
constexpr std::int64_t kMostCore = 1023;

void read_dataplane(Reader& t, Dataplane& d) {
  t.integers({"workers", "[1, 2]", Need::kNotEmpty}, d.workers, 0, kMostCore);
  t.integer({"control_core", "0"}, d.control_core, 0, kMostCore);
  t.size({"memory", "\"512MiB\""}, d.memory);
  t.size({"rules_memory", "\"4GiB\""}, d.rules_memory);
  t.boolean({"hugepages", "true"}, d.hugepages);
  t.size({"cache", "\"256MiB\""}, d.cache);
  t.integer({"pending", "65536"}, d.pending, 64, kMostPending);
  const Key eal{"eal", R"(["--log-level=lib.eal:debug"])"};
  t.for_each_text(eal, [&](const toml::node&, std::string_view text) { d.eal.emplace_back(text); });
}

void read_limits(Reader& t, Limits& l) {
  t.integer({"queries_per_client", "10000"}, l.queries_per_client, 1, kMostInFlight);
  t.integer({"queries_per_upstream", "50000"}, l.queries_per_upstream, 1, kMostInFlight);
  t.integer({"queries_per_target", "50000"}, l.queries_per_target, 1, kMostInFlight);
  t.integer({"tcp_connections", "1000"}, l.tcp_connections, 1, 100'000);
  t.integer({"tcp_connections_per_client", "50"}, l.tcp_connections_per_client, 1, 100'000);
  t.integer({"tcp_queries_per_connection", "100"}, l.tcp_queries_per_connection, 1, 10'000);
  t.integer({"tcp_idle_ms", "10000"}, l.tcp_idle_ms, 100, 3'600'000);
  t.integer({"drain_ms", "2000"}, l.drain_ms, 0, 60'000);
}

void read_log(Reader& t, Config& config) {
  t.choice<std::string>({"level", "\"info\""}, config.log_level,
                        {{"debug", "debug"}, {"info", "info"}, {"warning", "warning"}, {"error", "error"}});
  QueryLog& log = config.query_log;
  t.choice<QueryLogFormat>(
      {"queries", "\"json\""}, log.format,
      {{"off", QueryLogFormat::kOff}, {"json", QueryLogFormat::kJson}, {"dnstap", QueryLogFormat::kDnstap}});
  const bool dnstap = log.format == QueryLogFormat::kDnstap;
  log.to = dnstap ? "/run/shunt/dnstap.sock" : "-";
  if (dnstap) {
    t.text({"queries_to", "\"/run/shunt/dnstap.sock\""}, log.to, check_socket);
  } else {
    t.text({"queries_to", "\"/var/log/shunt/queries.json\" (or \"-\" for standard output)"}, log.to,
           check_not_empty);
    if (log.to != "-") log.to = (std::filesystem::path(config.path).parent_path() / log.to).string();
  }
  // Where nothing is written, it doesn't matter where to.
  if (log.format == QueryLogFormat::kOff) log = {};
}

void read_neighbours(Reader& t, Port& port) {
  const Key key{"neighbours", R"({ "10.53.0.1" = "02:00:5e:00:00:01" })"};
  t.for_each_entry(key,
                   [&](std::string_view name, Position where, const toml::node& node, std::string_view text) {
                     const Result<IpAddress> address = parse_host(name);
                     const Result<MacAddress> mac = parse_station(text);
                     const std::string hint = fmt::format("for example: neighbours = {}", key.example);
                     if (!address)
                       t.error_at(where, fmt::format("{}: {}", t.label(key), address.error()), hint);
                     if (!mac) t.error(node, fmt::format("{}: {}", t.label(key), mac.error()), hint);
                     if (!address || !mac) return;
                     t.record_at(key, port.neighbours.size(), where);
                     port.neighbours.emplace_back(*address, *mac);
                   });
}

void read_port(Reader& t, Port& port) {
  t.text({"device", R"("0000:3b:00.0" or "net_af_xdp0,iface=eth1")", Need::kRequired}, port.device,
         check_device);
  port.device = canonical_device(port.device);
  t.list<Prefix>({"addresses", R"(["10.53.0.53/24"])", Need::kRequired}, port.addresses, parse_port_address);
  t.list<IpAddress>({"gateways", R"(["10.53.0.1"])"}, port.gateways, parse_host);
  port.mirror = ("shunt-" + port.name).substr(0, 15);
  t.text({"mirror", "\"shunt-lan\" (or \"\" for none)"}, port.mirror, check_interface);
  read_neighbours(t, port);
  bool reflect = true;
  t.choice<bool>({"replies", "\"reflect\""}, reflect, {{"reflect", true}}, {"route"});
  t.integer({"vlan", "100 (or 0 for untagged)"}, port.vlan, 0, 4094);
  t.integer({"mtu", "1500"}, port.mtu, 1280, 1500);
}

void read_inbound(Reader& t, Inbound& inbound) {
  t.list<IpAddress>({"addresses", R"(["10.53.0.53"])", Need::kRequired}, inbound.addresses, parse_host);
  t.list<Prefix>({"allow", R"(["10.0.0.0/8"])", Need::kRequired}, inbound.allow, Prefix::parse);
  t.name({"network", "\"prod\""}, inbound.network);
}

void read_tls(Report& report, Places& places, const toml::table& table, std::size_t index,
              const std::string& title, const std::string& config_path, Tls& tls) {
  Reader t(report, places, table, "tls", index, title + ": tls");
  const auto file = [&](const Key& key, std::string& into) {
    t.text(key, into, check_not_empty);
    if (!into.empty()) into = (std::filesystem::path(config_path).parent_path() / into).string();
  };
  file({"certificate", "\"gw.pem\"", Need::kRequired}, tls.certificate);
  file({"key", "\"gw.key\"", Need::kRequired}, tls.key);
  t.text({"https_path", "\"/dns-query\""}, tls.https_path, check_url_path);
  t.finish();
}

void read_outbound(Reader& t, Outbound& outbound) {
  t.list<IpAddress>({"addresses", R"(["10.53.0.53"])", Need::kRequired}, outbound.addresses, parse_host);
  // Below 1024 an answer could come to a port that means something else here, 53 above all.
  t.range({"source_ports", "[1024, 65535]"}, outbound.first_port, outbound.last_port, 1024, 65535);
}

void read_ttl(Report& report, Places& places, const toml::table& table, std::size_t index,
              const std::string& title, TtlBounds& ttl) {
  Reader t(report, places, table, "ttl", index, title + ": ttl");
  t.integer({"min", "0"}, ttl.min, 0, kMostTtl);
  t.integer({"max", "86400"}, ttl.max, 0, kMostTtl);
  t.integer({"failure", "5"}, ttl.failure, 1, kMostFailureTtl);
  t.integer({"stale", "86400"}, ttl.stale, 0, kMostTtl);
  t.finish();
}

void read_trust_of(Reader& t, Upstream& upstream, const std::string& config_path) {
  const auto read = [&config_path](std::string_view text) -> Result<std::string> {
    if (text.empty()) return Failure("it names no file");
    Result<std::string> trust =
        read_trust((std::filesystem::path(config_path).parent_path() / text).string());
    if (!trust) return Failure(fmt::format("{} {}", in_quotes(text), trust.error()));
    return trust;
  };
  t.value<std::string>({"tls_ca", "\"corp-ca.pem\""}, upstream.tls_trust, read);
}

void read_health(Report& report, Places& places, const toml::table& table, std::size_t index,
                 const std::string& title, HealthCheck& health) {
  Reader t(report, places, table, "health", index, title + ": health");
  t.integer({"fall", "3"}, health.fall, 1, 100);
  t.integer({"rise", "2"}, health.rise, 1, 100);
  t.integer({"interval_ms", "1000"}, health.interval_ms, 100, 60'000);
  t.finish();
}

void read_upstream(Reader& t, Upstream& upstream, const std::string& config_path) {
  t.name({"outbound", "\"to-onprem\""}, upstream.outbound);
  t.choice<Protocol>({"protocol", "\"udp\""}, upstream.protocol,
                     {{"udp", Protocol::kUdp}, {"tcp", Protocol::kTcp}, {"tls", Protocol::kTls}});
  const std::uint16_t port = upstream.protocol == Protocol::kTls ? kDnsOverTlsPort : kDnsPort;
  t.list<SocketAddress>({"targets", R"(["192.168.1.53", "192.168.2.53:5353"])", Need::kRequired},
                        upstream.targets, [port](std::string_view text) { return parse_target(text, port); });
  t.text({"tls_name", "\"dns.corp.example\""}, upstream.tls_name, check_tls_name);
  if (upstream.tls_name.ends_with('.')) upstream.tls_name.pop_back();
  read_trust_of(t, upstream, config_path);
  t.choice<Policy>(
      {"policy", "\"random\""}, upstream.policy,
      {{"random", Policy::kRandom}, {"ordered", Policy::kOrdered}, {"fastest", Policy::kFastest}});
  t.choice<OnAllDown>(
      {"on_all_down", "\"servfail\""}, upstream.on_all_down,
      {{"servfail", OnAllDown::kServfail}, {"stale", OnAllDown::kStale}, {"default", OnAllDown::kDefault}});
  t.integer({"timeout_ms", "800"}, upstream.timeout_ms, 1, kMostTimeoutMs);
  t.text({"probe", "\"health.onprem.corp A\""}, upstream.probe, check_probe);
  t.boolean({"prefetch", "true"}, upstream.prefetch);
}

void read_rules(Reader& t, RuleSet& set, const std::string& config_path) {
  const Key list{"list", R"(["onprem.corp forward corp-dns"])", Need::kNotEmpty};
  t.for_each_text(list, [&](const toml::node& node, std::string_view text) {
    set.list.emplace_back(text);
    set.list_positions.push_back(position_of(node.source()));
  });
  t.text({"file", "\"corp.rules\""}, set.file, check_not_empty);
  if (!set.file.empty()) set.file = (std::filesystem::path(config_path).parent_path() / set.file).string();
  t.text({"list_action", "\"block nxdomain\""}, set.list_action, check_not_empty);
}

void read_network(Reader& t, Network& network) {
  t.list<Prefix>({"clients", R"(["10.1.0.0/16"])", Need::kNotEmpty}, network.clients, Prefix::parse);
  const Key rules{"rules", R"(["corp"])"};
  t.for_each_text(rules, [&](const toml::node& node, std::string_view text) {
    if (const std::string wrong = check_name(text); !wrong.empty()) {
      t.error(node, fmt::format("{}: {} names no rule set: {}", t.label(rules), in_quotes(text), wrong),
              fmt::format("for example: rules = {}", rules.example));
      return;
    }
    t.record(rules, network.rules.size(), node);
    network.rules.emplace_back(text);
  });
  t.name({"default", "\"internet\""}, network.default_upstream);
  t.boolean({"autodefined", "true"}, network.autodefined);
}

void read_zone(Reader& t, ZoneFile& zone, const std::string& config_path) {
  t.text({"file", "\"compute.internal.zone\"", Need::kRequired}, zone.file, check_not_empty);
  if (!zone.file.empty()) zone.file = (std::filesystem::path(config_path).parent_path() / zone.file).string();
  const Key networks{"networks", R"(["prod"])", Need::kRequired};
  t.for_each_text(networks, [&](const toml::node& node, std::string_view text) {
    if (const std::string wrong = check_name(text); !wrong.empty()) {
      t.error(node, fmt::format("{}: {} names no network: {}", t.label(networks), in_quotes(text), wrong),
              fmt::format("for example: networks = {}", networks.example));
      return;
    }
    t.record(networks, zone.networks.size(), node);
    zone.networks.emplace_back(text);
  });
}

/// The tables of the file's top level.
class Root {
 public:
  Root(const toml::table& root, Report& report, Places& places)
      : report_(report), places_(places), keys_(report, places, root, "", 0, "top level") {}

  /// [KIND]
  template <typename Read>
  void single(std::string_view kind, const Read& read) {
    const toml::table* table = keys_.single_table(kind);
    if (table == nullptr) return;
    Reader t(report_, places_, *table, kind, 0, fmt::format("[{}]", kind));
    read(t);
    t.finish();
  }

  /// [[KIND]], each with a name; `read` gets its reader and its place in `into`.
  template <typename T, typename Read>
  void each(std::string_view kind, std::vector<T>& into, const Read& read) {
    for (const toml::table* table : keys_.table_list(kind)) {
      T& item = into.emplace_back();
      Reader t(report_, places_, *table, kind, into.size() - 1, fmt::format("[[{}]]", kind));
      item.position = t.position();
      t.name({"name", "\"some-name\"", Need::kRequired}, item.name);
      if (!item.name.empty()) t.set_title(fmt::format("[[{}]] {}", kind, in_quotes(item.name)));
      read(t, item);
      t.finish();
    }
  }

  /// [[KIND]] that have no name.
  template <typename T, typename Read>
  void each_unnamed(std::string_view kind, std::vector<T>& into, const Read& read) {
    for (const toml::table* table : keys_.table_list(kind)) {
      T& item = into.emplace_back();
      Reader t(report_, places_, *table, kind, into.size() - 1, fmt::format("[[{}]]", kind));
      item.position = t.position();
      read(t, item);
      t.finish();
    }
  }

  void finish() { keys_.finish(); }

 private:
  Report& report_;
  Places& places_;
  Reader keys_;
};

}  // namespace

void read_tables(const toml::table& root_table, Report& report, Places& places, Config& config) {
  Root root(root_table, report, places);
  root.single("dataplane", [&](Reader& t) { read_dataplane(t, config.dataplane); });
  root.single("control", [&](Reader& t) {
    t.text({"socket", "\"/run/shunt/control.sock\""}, config.control_socket, check_socket);
  });
  root.single("mirror", [&](Reader& t) {
    t.text({"namespace", "\"shunt\" (or \"\" for the host's own)"}, config.mirror_namespace, check_namespace);
  });
  root.single("limits", [&](Reader& t) { read_limits(t, config.limits); });
  root.single("metrics", [&](Reader& t) {
    std::pair<IpAddress, std::uint16_t> listen;
    t.value<std::pair<IpAddress, std::uint16_t>>({"listen", "\"127.0.0.1:9153\""}, listen, parse_listen);
    if (listen.second != 0) config.metrics = listen;
    t.integer({"rules", "1000"}, config.rule_figures, 0, kMaxCountedRules);
  });
  root.single("log", [&](Reader& t) { read_log(t, config); });

  root.each("port", config.ports, read_port);
  root.each("inbound", config.inbounds, [&](Reader& t, Inbound& inbound) {
    read_inbound(t, inbound);
    const std::size_t index = config.inbounds.size() - 1;
    if (const toml::table* tls = t.table({"tls", R"({ certificate = "gw.pem", key = "gw.key" })"}))
      read_tls(report, places, *tls, index, fmt::format("[[inbound]] {}", in_quotes(inbound.name)),
               config.path, inbound.tls.emplace());
  });
  root.each("outbound", config.outbounds, read_outbound);
  root.each("upstream", config.upstreams, [&](Reader& t, Upstream& u) {
    read_upstream(t, u, config.path);
    const std::size_t index = config.upstreams.size() - 1;
    const std::string title = fmt::format("[[upstream]] {}", in_quotes(u.name));
    if (const toml::table* ttl = t.table({"ttl", "{ min = 0, max = 86400, stale = 86400, failure = 5 }"}))
      read_ttl(report, places, *ttl, index, title, u.ttl);
    if (const toml::table* health = t.table({"health", "{ fall = 3, rise = 2, interval_ms = 1000 }"}))
      read_health(report, places, *health, index, title, u.health);
  });
  root.each("rules", config.rule_sets, [&](Reader& t, RuleSet& set) { read_rules(t, set, config.path); });
  root.each("network", config.networks, read_network);
  root.each_unnamed("zone", config.zones, [&](Reader& t, ZoneFile& z) { read_zone(t, z, config.path); });
  root.finish();
}

}  // namespace shunt::conf
