// The published snapshot: everything of a configuration that workers read. Built by the control plane,
// immutable, swapped whole by pointer, retired through DPDK's RCU once every worker has moved on.
//
// A View couples a snapshot with the adjacencies of its paths, because those change with every neighbour
// event while the rest stays.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/net/adjacency.h"
#include "dataplane/net/local_addresses.h"
#include "dataplane/net/prefixes.h"
#include "dataplane/rules/association.h"
#include "dataplane/rules/figure_table.h"
#include "dataplane/state/cache.h"
#include "dataplane/state/capture.h"
#include "dataplane/state/query_log.h"
#include "dataplane/state/query_samples.h"

namespace shunt::state {

inline constexpr std::uint32_t kNoUpstream = 0xffffffff;
/// Of Snapshot::zones, which is no upstream of anybody's.
inline constexpr std::uint32_t kZonesUpstream = 0xfffffffe;

/// Health of a target, published by the control plane in a fixed array; relaxed loads and stores.
struct TargetHealth {
  static constexpr std::uint8_t kDown = 0, kUp = 1;
  /// It was down and answers again: it gets few questions until it is trusted, or all of them where no other
  /// is up.
  static constexpr std::uint8_t kOnTrial = 2;

  std::atomic<std::uint8_t> up{kUp};
  std::atomic<std::uint8_t> loops{0};        ///< names that lead back here: entries of its TargetLoops
  std::atomic<std::uint32_t> latency_us{0};  ///< smoothed, for `fastest`; 0: not measured
};

struct Target {
  SocketAddress address;
  std::uint32_t id = 0;  ///< index into the health array; stable across generations
  /// Index of the path from each outbound address of the target's family into View::adjacencies, `paths` of
  /// them from `first_path`.
  std::uint32_t first_path = 0;
  std::uint32_t paths = 0;
};

enum class Policy : std::uint8_t { kRandom, kOrdered, kFastest };

/// What becomes of a query when no target answers.
enum class OnAllDown : std::uint8_t {
  kServfail,
  kStale,    ///< an expired answer (RFC 8767), where there is one
  kDefault,  ///< the default upstream of the query's network is asked
};

struct Upstream {
  std::uint32_t handle =
      0;  ///< its index in Snapshot::upstreams; belongs to its name, so rule sets survive a change of targets
  Origin origin = 0;
  bool exists = false;        ///< handles of removed upstreams stay empty
  bool through_host = false;  ///< no outbound endpoint: asked through the host's own network
  bool over_streams = false;  ///< over TCP or TLS
  bool by_control = false;    ///< one of both: the control plane asks
  Policy policy = Policy::kRandom;
  std::uint16_t first_port = 1024, last_port = 65535;
  OnAllDown on_all_down = OnAllDown::kServfail;
  std::uint32_t timeout_ms = 800;
  std::uint32_t min_ttl = 0, max_ttl = 86400, failure_ttl = 5;
  std::uint32_t stale_ttl = 86400;  ///< how long an expired answer may be served; 0: never
  bool prefetch = true;             ///< hot answers are asked for again before they expire
  std::vector<Target> targets;
  std::string name;  ///< not read by workers
};

struct Endpoint {
  net::PrefixTable allow;
  std::uint32_t network = net::PrefixTable::kNone;  ///< fixed network, or kNone: the client's own
  std::string name;                                 ///< not read by workers
};

struct Network {
  rules::Association rules;
  std::uint32_t default_upstream = kNoUpstream;  ///< handle
  /// Which of its rules leads a name to which origin: the same for networks of one snapshot with the same
  /// sets and default, and another one in each snapshot.
  Routing routing = kNoRouting;
  std::string name;  ///< not read by workers
};

/// A path from one of our addresses to a target: what the control plane resolves into an adjacency.
struct Path {
  IpAddress source;
  SocketAddress target;
};

struct Snapshot {
  std::uint64_t generation = 0;
  net::PrefixTable clients;                ///< address -> index into networks
  std::vector<net::LocalAddresses> local;  ///< by port index
  std::vector<std::uint16_t> vlans;        ///< by port index, 0: untagged; empty: all are
  std::vector<Endpoint> endpoints;
  std::vector<Network> networks;
  std::vector<Upstream> upstreams;  ///< by handle
  /// In an upstream's place where a zone answers: the control plane does, from what is its own.
  Upstream zones{.handle = kZonesUpstream,
                 .exists = true,
                 .through_host = true,
                 .by_control = true,
                 .timeout_ms = kMaxWaitMs};
  std::vector<Path> paths;  ///< View::adjacencies has one entry each
  std::uint32_t queries_per_client = 10000;
  std::uint32_t queries_per_upstream = 50000;
  std::uint32_t queries_per_target = 50000;

  /// Keeps the sets alive that `networks` point at. Not read by workers.
  std::vector<std::shared_ptr<const void>> keep;

  const Upstream* upstream(std::uint32_t handle) const {
    return handle < upstreams.size() && upstreams[handle].exists ? &upstreams[handle] : nullptr;
  }
};

/// Which rules have figures of their own. Changes more often than the snapshot: where there are more rules
/// than figures, the busiest get them.
struct CountedRules {
  std::uint64_t generation = 0;  ///< of the snapshot that this belongs to
  std::uint32_t epoch = 0;       ///< another one in each
  bool sampling = false;         ///< workers are to tell of rules without figures
  rules::FigureTable table;
  /// By network, instead of Network::routing where not empty: a cached answer remembers the figure with the
  /// routing, so numbers may change hands only as routings do.
  std::vector<Routing> routings;
};

/// What workers see at a time.
struct View {
  std::shared_ptr<const Snapshot> snapshot;     ///< owns; workers use the raw reference only
  std::vector<net::Adjacency> adjacencies;      ///< by path
  bool draining = false;                        ///< take no new queries
  std::shared_ptr<const CountedRules> counted;  ///< null: none are counted
  std::shared_ptr<const Capture> capture;       ///< null: none is running
  std::shared_ptr<const QuerySamples> sampled;  ///< null: nobody wants them
  std::shared_ptr<const QueryLog> query_log;    ///< null: queries aren't logged
};

/// The one pointer that changes.
struct Published {
  alignas(kCacheLine) std::atomic<const View*> view{nullptr};
};

}  // namespace shunt::state
