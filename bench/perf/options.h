// What shuntperf is asked to do.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/address.h"

namespace shunt::perf {

enum class Role { kClients, kUpstream, kBoth };
enum class Order { kSequential, kUniform, kZipf };

/// The DNS clients that are played.
struct ClientOptions {
  SocketAddress target;        ///< who is asked
  MacAddress peer_mac;         ///< its station on the link; all zero: found by ARP or neighbour discovery
  IpAddress first;             ///< the first client; the others follow it one by one
  std::uint32_t clients = 64;  ///< addresses
  std::uint16_t first_port = 20000;
  std::uint16_t ports = 16;  ///< source ports of each address
  std::uint32_t in_flight = 2048;
  double rate = 0;  ///< queries a second; 0: as fast as answers come
  std::uint32_t timeout_ms = 1000;
  bool prime = false;  ///< ask for all names before the measurement, until none fails
  bool stub = true;    ///< queries have RD set
};

/// What they ask.
struct NameOptions {
  std::string pattern = "n%d.example.com";
  std::uint32_t count = 1000;
  std::string file;        ///< "NAME [TYPE]" lines; instead of the pattern
  std::string type = "A";  ///< one, or several with weights: "A:3,AAAA:1"
  Order order = Order::kSequential;
  double zipf = 1.0;       ///< exponent
  std::uint16_t edns = 0;  ///< the UDP size offered; 0: no OPT
  double edns_share = 1;   ///< of the queries that carry it
  bool dnssec = false;     ///< their DO bit
  bool mixed_case = false;
  double miss_share = 0;  ///< of queries for a fresh random name instead of one of the set
  std::string miss_pattern = "x%d.miss.example.com";
};

/// The search for the highest rate.
struct SearchOptions {
  bool on = false;
  double loss_percent = 0.1;  ///< a rate with less is good
  double from = 1000;         ///< queries a second; where that is too much, the search fails
  double to = 0;              ///< 0: found by itself, from what an unpaced run gets
  double seconds = 2;         ///< of each step
  double precision_percent = 1;
  unsigned steps = 30;  ///< at most, repeated ones included
};

/// The upstream servers that are played.
struct ServerOptions {
  std::vector<IpAddress> addresses;
  IpAddress answer4, answer6;  ///< what every A and AAAA question gets
  std::uint32_t ttl = 3600;
  bool shift_queues = false;  ///< answers leave by the next queue, not by the one their query came from
};

struct Options {
  Role role = Role::kClients;
  std::string device;
  unsigned core = 0;
  std::uint16_t queues = 1;
  bool hugepages = true;
  std::uint32_t memory_mb = 256;
  std::vector<std::string> eal;
  double seconds = 10;        ///< the measurement; a server without clients ends by a signal, too
  double patience = 15;       ///< seconds to wait for the link and the target's station
  double linger = 0;          ///< seconds to keep the link up after the report, or until a signal
  std::uint64_t seed = 1;     ///< of all that is drawn
  bool all_checksums = true;  ///< verify every answer's checksums, not one in sixteen
  bool json = false;
  bool quiet = false;
  ClientOptions client;
  NameOptions names;
  SearchOptions search;
  ServerOptions server;

  bool has_clients() const { return role != Role::kUpstream; }
  bool has_servers() const { return role != Role::kClients; }
};

/// Reads the command line. Returns false where the process is to end with `exit_code`; it has then said why.
bool parse_options(int argc, char** argv, Options& options, int& exit_code);

}  // namespace shunt::perf
