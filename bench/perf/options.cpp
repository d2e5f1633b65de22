#include "bench/perf/options.h"

#include <CLI/CLI.hpp>
#include <bit>
#include <iostream>
#include <map>

namespace shunt::perf {
namespace {

constexpr int kUsage = 2;
constexpr std::uint32_t kMostInFlight = 1 << 16;  // the DNS id is the index
constexpr std::uint32_t kMostNames = 20'000'000;
constexpr double kMostRate = 1e9;

/// Options that need reading once the command line is taken apart.
struct Texts {
  std::string target, peer_mac, first, answer4 = "192.0.2.1", answer6 = "2001:db8::1";
  std::vector<std::string> serve;
};

void add_client_options(CLI::App& app, Options& o, Texts& texts) {
  ClientOptions& c = o.client;
  const char* const group = "Clients";
  app.add_option("--target", texts.target, "who is asked: ADDRESS or ADDRESS:PORT")->group(group);
  app.add_option("--peer-mac", texts.peer_mac, "the target's MAC (default: by ARP or neighbour discovery)")
      ->group(group);
  app.add_option("--from", texts.first, "the first client's address; the others follow it")->group(group);
  app.add_option("--clients", c.clients, "client addresses")
      ->check(CLI::Range(1U, 1U << 24))
      ->group(group)
      ->capture_default_str();
  app.add_option("--first-port", c.first_port, "the lowest source port")
      ->check(CLI::Range(1024, 65535))
      ->group(group)
      ->capture_default_str();
  app.add_option("--ports", c.ports, "source ports of each client")
      ->check(CLI::Range(1, 60000))
      ->group(group)
      ->capture_default_str();
  app.add_option("--in-flight", c.in_flight, "the most queries that wait for their answers (a power of two)")
      ->check(CLI::Range(32U, kMostInFlight))
      ->group(group)
      ->capture_default_str();
  app.add_option("--rate", c.rate, "queries a second (0: as fast as answers come)")
      ->check(CLI::Range(0.0, kMostRate))
      ->group(group)
      ->capture_default_str();
  app.add_option("--timeout-ms", c.timeout_ms, "after this long a query is lost")
      ->check(CLI::Range(1U, 60000U))
      ->group(group)
      ->capture_default_str();
  app.add_flag("--prime", c.prime, "before measuring, ask for all names until none is lost or gets SERVFAIL")
      ->group(group);
  app.add_flag("!--no-rd", c.stub, "queries without the RD bit")->group(group);
}

void add_name_options(CLI::App& app, NameOptions& n) {
  const char* const group = "Names";
  static const std::map<std::string, Order> kOrders{
      {"sequential", Order::kSequential}, {"uniform", Order::kUniform}, {"zipf", Order::kZipf}};
  app.add_option("--names", n.pattern, "the names asked for, %d being their number")
      ->group(group)
      ->capture_default_str();
  app.add_option("--count", n.count, "names of the pattern")
      ->check(CLI::Range(1U, kMostNames))
      ->group(group)
      ->capture_default_str();
  app.add_option("--names-file", n.file, "lines of NAME [TYPE], instead of the pattern")
      ->check(CLI::ExistingFile)
      ->group(group);
  app.add_option("--type", n.type, "the type asked for: A, MX, TYPE64; or several with weights: A:3,AAAA:1")
      ->group(group)
      ->capture_default_str();
  app.add_option("--order", n.order, "sequential, uniform or zipf")
      ->transform(CLI::CheckedTransformer(kOrders))
      ->group(group);
  app.add_option("--zipf", n.zipf, "the exponent for --order zipf")
      ->check(CLI::Range(0.01, 10.0))
      ->group(group)
      ->capture_default_str();
  auto* const edns = app.add_option("--edns", n.edns, "the EDNS UDP size offered (0: no EDNS)")
                         ->check(CLI::Range(0, 65535))
                         ->group(group)
                         ->capture_default_str();
  app.add_option("--edns-share", n.edns_share, "the share of queries with EDNS, 0 to 1")
      ->check(CLI::Range(0.0, 1.0))
      ->needs(edns)
      ->group(group)
      ->capture_default_str();
  app.add_flag("--dnssec", n.dnssec, "set the DO bit in queries with EDNS")->needs(edns)->group(group);
  app.add_flag("--mixed-case", n.mixed_case, "draw the case of every letter")->group(group);
  auto* const share = app.add_option("--miss-share", n.miss_share,
                                     "the share of queries for a fresh random name instead, 0 to 1")
                          ->check(CLI::Range(0.0, 1.0))
                          ->group(group)
                          ->capture_default_str();
  app.add_option("--miss-names", n.miss_pattern, "those names, %d being sixteen hexadecimal digits")
      ->needs(share)
      ->group(group)
      ->capture_default_str();
}

void add_search_options(CLI::App& app, Options& o) {
  SearchOptions& s = o.search;
  const char* const group = "Search";
  auto* const on = app.add_flag("--search", s.on, "find the highest rate at which next to nothing is lost")
                       ->excludes(app.get_option("--rate"))
                       ->excludes(app.get_option("--seconds"))
                       ->group(group);
  const auto add = [&](const char* name, double& value, const char* what, double least, double most) {
    app.add_option(name, value, what)
        ->check(CLI::Range(least, most))
        ->needs(on)
        ->group(group)
        ->capture_default_str();
  };
  add("--search-loss", s.loss_percent,
      "a rate is good if less than this many percent are lost or left unasked", 1e-6, 100);
  add("--search-from", s.from, "the lowest rate tried", 1, kMostRate);
  add("--search-to", s.to, "the highest rate tried (0: from what an unpaced run gets)", 0, kMostRate);
  add("--search-seconds", s.seconds, "how long each step measures", 0.1, 3600);
  add("--search-precision", s.precision_percent,
      "the search ends when the bounds are this many percent apart", 0.01, 50);
  app.add_option("--search-steps", s.steps, "the most steps, repeated ones included")
      ->check(CLI::Range(2, 1000))
      ->needs(on)
      ->group(group)
      ->capture_default_str();
}

void add_server_options(CLI::App& app, ServerOptions& s, Texts& texts) {
  const char* const group = "Upstream servers";
  app.add_option("--serve", texts.serve, "the servers' addresses")->delimiter(',')->group(group);
  app.add_option("--answer", texts.answer4, "the address in every A record")
      ->group(group)
      ->capture_default_str();
  app.add_option("--answer6", texts.answer6, "the address in every AAAA record")
      ->group(group)
      ->capture_default_str();
  app.add_option("--ttl", s.ttl, "the records' TTL in seconds")->group(group)->capture_default_str();
  app.add_flag("--shift-queues", s.shift_queues, "answers leave by the queue after their query's")
      ->group(group);
}

void add_port_options(CLI::App& app, Options& o) {
  static const std::map<std::string, Role> kRoles{
      {"clients", Role::kClients}, {"upstream", Role::kUpstream}, {"both", Role::kBoth}};
  app.add_option("--role", o.role, "clients, upstream or both")
      ->transform(CLI::CheckedTransformer(kRoles))
      ->required();
  app.add_option("--device", o.device, "the DPDK port: a PCI address, or \"net_memif0,role=client,...\"")
      ->required();
  app.add_option("--core", o.core, "the core that polls")->capture_default_str();
  app.add_option("--queues", o.queues, "queue pairs")->check(CLI::Range(1, 64))->capture_default_str();
  app.add_flag("!--no-hugepages", o.hugepages, "ordinary pages");
  app.add_option("--memory", o.memory_mb, "memory for packets, in MiB")
      ->check(CLI::Range(64U, 16384U))
      ->capture_default_str();
  app.add_option("--eal", o.eal, "a further argument for DPDK (may be repeated)")->allow_extra_args(false);
  app.add_option("--seconds", o.seconds, "how long to measure, and to serve")
      ->check(CLI::Range(0.1, 86400.0))
      ->capture_default_str();
  app.add_option("--patience", o.patience, "seconds to wait for the link and the target's MAC")
      ->check(CLI::Range(0.1, 600.0))
      ->capture_default_str();
  app.add_option("--linger", o.linger, "seconds to keep the link up after the report")
      ->check(CLI::Range(0.0, 86400.0))
      ->capture_default_str();
  app.add_option("--seed", o.seed, "of all that is drawn")->capture_default_str();
  app.add_flag("!--sample-checksums", o.all_checksums, "verify the checksums of one answer in sixteen only");
  app.add_flag("--json", o.json, "the result as JSON");
  app.add_flag("--quiet", o.quiet, "no line each second");
}

void require(bool holds, const std::string& what) {
  if (!holds) throw CLI::ValidationError(what);
}

template <typename T>
void take(const Result<T>& parsed, T& into, const char* option) {
  if (!parsed) throw CLI::ValidationError(option, parsed.error());
  into = *parsed;
}

void read_texts(const Texts& texts, Options& o) {
  if (o.has_clients()) {
    require(!texts.target.empty(), "--target is required: who is to be asked?");
    require(!texts.first.empty(), "--from is required: the clients' addresses");
    take(SocketAddress::parse(texts.target, 53), o.client.target, "--target");
    take(IpAddress::parse(texts.first), o.client.first, "--from");
    if (!texts.peer_mac.empty()) take(MacAddress::parse(texts.peer_mac), o.client.peer_mac, "--peer-mac");
    require(o.client.first.is_v4() == o.client.target.address.is_v4(),
            "--target and --from must be of the same family");
    require(std::has_single_bit(o.client.in_flight), "--in-flight must be a power of two");
    require(o.search.to == 0 || o.search.from <= o.search.to, "--search-from is above --search-to");
    require(o.client.first_port + o.client.ports <= 65536, "--first-port and --ports lead beyond port 65535");
  }
  require(o.has_clients() || !o.search.on, "--search is for clients: --role upstream answers only");
  if (o.has_servers()) {
    require(!texts.serve.empty(), "--serve is required: the servers' addresses");
    for (const std::string& text : texts.serve)
      take(IpAddress::parse(text), o.server.addresses.emplace_back(), "--serve");
    take(IpAddress::parse(texts.answer4), o.server.answer4, "--answer");
    take(IpAddress::parse(texts.answer6), o.server.answer6, "--answer6");
    require(o.server.answer4.is_v4(), "--answer must be an IPv4 address");
    require(!o.server.answer6.is_v4(), "--answer6 must be an IPv6 address");
  }
}

}  // namespace

bool parse_options(int argc, char** argv, Options& options, int& exit_code) {
  CLI::App app("DNS load generator for DPDK ports: plays clients, upstream servers, or both", "shuntperf");
  app.set_version_flag("--version", std::string("shuntperf ") + SHUNT_VERSION);
  Texts texts;
  add_port_options(app, options);
  add_client_options(app, options, texts);
  add_name_options(app, options.names);
  add_search_options(app, options);
  add_server_options(app, options.server, texts);
  try {
    app.parse(argc, argv);
    read_texts(texts, options);
  } catch (const CLI::ParseError& error) {
    exit_code = app.exit(error) == 0 ? 0 : kUsage;
    return false;
  }
  return true;
}

}  // namespace shunt::perf
