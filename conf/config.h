// The configuration as plain data: what shunt.toml said, checked, with defaults filled in. The comment beside
// each field is its key in the file. Loaded by load.h, and immutable afterwards. A key whose only value in
// this version is its default has no field.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conf/certificate.h"
#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"

namespace shunt::conf {

/// Where something was written. Line and column count from 1; 0 is "nowhere in particular".
struct Position {
  std::uint32_t line = 0;
  std::uint32_t column = 0;
};

struct Dataplane {                          // [dataplane]: can't be reloaded
  std::vector<unsigned> workers{1};         // workers
  unsigned control_core = 0;                // control_core
  std::uint64_t memory = 512ull << 20;      // memory, octets
  std::uint64_t rules_memory = 4ull << 30;  // rules_memory, octets
  bool hugepages = true;                    // hugepages
  std::uint64_t cache = 256ull << 20;       // cache, octets over all workers; 0: off
  std::uint32_t pending = 65536;            // pending, per worker; a power of two
  std::vector<std::string> eal;             // eal
  friend bool operator==(const Dataplane&, const Dataplane&) = default;
};

struct Limits {                                    // [limits]
  std::uint32_t queries_per_client = 10000;        // queries_per_client, in flight
  std::uint32_t queries_per_upstream = 50000;      // queries_per_upstream, in flight
  std::uint32_t queries_per_target = 50000;        // queries_per_target, in flight
  std::uint32_t tcp_connections = 1000;            // tcp_connections
  std::uint32_t tcp_connections_per_client = 50;   // tcp_connections_per_client
  std::uint32_t tcp_queries_per_connection = 100;  // tcp_queries_per_connection, in flight
  std::uint32_t tcp_idle_ms = 10000;               // tcp_idle_ms
  std::uint32_t drain_ms = 2000;                   // drain_ms
  friend bool operator==(const Limits&, const Limits&) = default;
};

enum class QueryLogFormat : std::uint8_t { kOff, kJson, kDnstap };

struct QueryLog {                                // [log]
  QueryLogFormat format = QueryLogFormat::kOff;  // queries
  /// queries_to, resolved against the configuration's folder, its default filled in: for kJson a file, "-" is
  /// standard output; for kDnstap the UNIX socket of who takes them.
  std::string to;
  friend bool operator==(const QueryLog&, const QueryLog&) = default;
};

struct Port {  // [[port]]
  std::string name;
  std::string device;             // can't be reloaded
  std::vector<Prefix> addresses;  // interface form: host bits kept
  std::vector<IpAddress> gateways;
  std::string mirror;  // "" is none; default "shunt-NAME" cut to 15 characters
  std::vector<std::pair<IpAddress, MacAddress>> neighbours;
  std::uint16_t vlan = 0;  // 0: untagged
  std::uint16_t mtu = 1500;
  Position position;
};

struct Tls {                              // tls = {…}
  std::string certificate;                // certificate, resolved against the configuration's folder
  std::string key;                        // key, likewise
  std::string https_path = "/dns-query";  // https_path
  /// What the files held when the configuration was read; null where they were not to be read.
  std::shared_ptr<const Certificate> loaded;
  friend bool operator==(const Tls& a, const Tls& b) {
    const bool same_files = a.loaded == b.loaded || (a.loaded && b.loaded && *a.loaded == *b.loaded);
    return same_files && a.certificate == b.certificate && a.key == b.key && a.https_path == b.https_path;
  }
};

struct Inbound {  // [[inbound]]
  std::string name;
  std::vector<IpAddress> addresses;
  std::vector<Prefix> allow;
  std::string network;     // "": the client's own
  std::optional<Tls> tls;  // tls; absent: UDP and TCP port 53 alone
  Position position;
};

struct Outbound {  // [[outbound]]
  std::string name;
  std::vector<IpAddress> addresses;
  std::uint16_t first_port = 1024, last_port = 65535;  // source_ports
  Position position;
};

enum class Policy : std::uint8_t { kRandom, kOrdered, kFastest };
enum class Protocol : std::uint8_t { kUdp, kTcp, kTls };

enum class OnAllDown : std::uint8_t { kServfail, kStale, kDefault };

struct TtlBounds {  // ttl = {…}, seconds
  std::uint32_t min = 0, max = 86400, stale = 86400, failure = 5;
  friend bool operator==(const TtlBounds&, const TtlBounds&) = default;
};

struct HealthCheck {                 // health = {…}
  unsigned fall = 3;                 // failures in a row, until a target is down
  unsigned rise = 2;                 // answers in a row, until it is up again
  std::uint32_t interval_ms = 1000;  // between probes; see control/target_judge.h
  friend bool operator==(const HealthCheck&, const HealthCheck&) = default;
};

struct Upstream {  // [[upstream]]
  std::string name;
  std::string outbound;  // "": asked through the host's own network
  std::vector<SocketAddress> targets;
  Protocol protocol = Protocol::kUdp;
  std::string tls_name;   // a host's name without the last dot, or an address
  std::string tls_trust;  // tls_ca: the text of that file; "": the system's certificates
  Policy policy = Policy::kRandom;
  OnAllDown on_all_down = OnAllDown::kServfail;
  std::uint32_t timeout_ms = 800;
  std::string probe = ". NS";  // NAME TYPE; both checked
  HealthCheck health;
  TtlBounds ttl;
  bool prefetch = true;  // prefetch
  Position position;
};

/// A rule set, [[rules]], as sources of lines. Lines are parsed and built in one pass by
/// conf/rule_lines.h: a set of ten million is never held as text and lines at once.
struct RuleSet {
  std::string name;
  std::vector<std::string> list;         // list
  std::vector<Position> list_positions;  // of each line of `list` in the configuration file
  std::string file;                      // file, resolved against the configuration's folder; "": none
  std::string list_action;               // list_action; "": none
  Position position;
};

struct Network {  // [[network]]
  std::string name;
  std::vector<Prefix> clients;
  std::vector<std::string> rules;
  std::string default_upstream;  // default; "": none
  bool autodefined = true;
  Position position;
};

class Zone;

struct ZoneFile {                     // [[zone]]
  std::string file;                   // file, resolved against the configuration's folder
  std::vector<std::string> networks;  // networks
  std::shared_ptr<const Zone> zone;   // what is in the file, read with the configuration
  Position position;
};

struct Config {
  std::string path;  ///< of the file, as given
  Dataplane dataplane;
  std::string control_socket = "/run/shunt/control.sock";  // [control] socket
  std::string mirror_namespace = "shunt";                  // [mirror] namespace; "": the host's own
  Limits limits;
  std::optional<std::pair<IpAddress, std::uint16_t>> metrics;  // [metrics] listen
  std::uint32_t rule_figures = 1000;                           // [metrics] rules
  std::string log_level = "info";                              // [log] level
  QueryLog query_log;
  std::vector<Port> ports;
  std::vector<Inbound> inbounds;
  std::vector<Outbound> outbounds;
  std::vector<Upstream> upstreams;
  std::vector<RuleSet> rule_sets;
  std::vector<Network> networks;
  std::vector<ZoneFile> zones;
};

}  // namespace shunt::conf
