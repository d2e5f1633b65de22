// All that the stages of one worker work with. Belongs to the worker's thread; the parts that others read say
// so.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "dataplane/base/figures.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/random.h"
#include "dataplane/base/sampling.h"
#include "dataplane/base/stats.h"
#include "dataplane/dns/name.h"
#include "dataplane/handoff.h"
#include "dataplane/net/frame.h"
#include "dataplane/state/cache.h"
#include "dataplane/state/pending.h"
#include "dataplane/state/snapshot.h"
#include "dataplane/state/source_ports.h"
#include "dataplane/state/target_loops.h"
#include "dataplane/state/target_stats.h"

namespace shunt {

/// Monotonic time, given to the worker from outside; starts anywhere.
struct Now {
  std::uint64_t us = 0;
  std::uint32_t seconds() const { return static_cast<std::uint32_t>(us / 1'000'000); }
};

/// Packets on their way out of one port: given to the driver in bursts.
struct TransmitQueue {
  static constexpr unsigned kSize = 2 * kBurst;
  unsigned count = 0;
  std::array<rte_mbuf*, kSize> packets;
  std::array<Counter, kSize>
      counted;  ///< under what each was counted: taken back where the driver refuses it
};

/// A port as a worker uses it.
struct WorkerPort {
  std::uint16_t ethdev = 0;
  std::uint16_t queue = 0;
  net::FrameRules rules;
  bool has_mirror = false;
  TransmitQueue transmit;
};

struct ContextOptions {
  unsigned worker = 0;
  dns::HashKey hash_key;
  Random::Seed seed{};
  std::span<std::byte> cache_memory;
  std::span<std::byte> pending_memory;  ///< zeroed
  std::uint32_t pending_slots = 0;
  const state::PortOwners* owners = nullptr;
  const state::TargetHealth* health = nullptr;  ///< kMaxTargets entries
  const state::TargetLoops* loops = nullptr;    ///< likewise
  rte_mempool* pool = nullptr;
  Rings rings;
  std::vector<rte_ring*> handovers;  ///< of all workers, by number
};

struct Context {
  explicit Context(const ContextOptions& options);

  const unsigned worker;
  const dns::HashKey hash_key;
  Now now;
  const state::View* view = nullptr;  ///< loaded once a turn
  const state::Snapshot* snapshot = nullptr;
  const state::Capture* capture = nullptr;       ///< null: none is running
  const state::QuerySamples* sampled = nullptr;  ///< null: nobody wants them
  const state::QueryLog* query_log = nullptr;    ///< null: queries aren't logged
  Stats stats;
  Random random;
  state::Cache cache;
  state::Pending pending;
  const state::PortOwners& owners;
  const state::TargetHealth* health;
  const state::TargetLoops* loops;
  rte_mempool* pool;
  Rings rings;
  std::vector<rte_ring*> handovers;
  std::vector<WorkerPort> ports;
  std::unique_ptr<state::TargetStats[]> targets;  ///< kMaxTargets; read by the control plane
  std::unique_ptr<Figure[]> figures;              ///< kMaxFigures; read by the control plane
  std::unique_ptr<SampleRing> samples;            ///< drained by the control plane
  RuleSampler sampler;

  /// Takes the view as the current one, once a turn.
  void look_at(const state::View* current) {
    view = current;
    snapshot = current->snapshot.get();
    capture = current->capture.get();
    sampled = current->sampled.get();
    query_log = current->query_log.get();
    const state::CountedRules* const counted = current->counted.get();
    counted_rules = counted != nullptr ? &counted->table : &no_rules_;
    routings_ = counted != nullptr && !counted->routings.empty() ? counted->routings.data() : nullptr;
    sampler.set_active(counted != nullptr && counted->sampling);
    for (std::size_t i = 0; i < snapshot->vlans.size(); ++i)
      ports[i].rules.vlan = snapshot->vlans[i];
  }
  state::Routing routing_of(std::uint32_t network) const {
    return routings_ != nullptr ? routings_[network] : snapshot->networks[network].routing;
  }
  /// Network::routing, which stays the same when figures change hands; kNoRouting where `network` is none's.
  state::Routing network_routing(std::uint32_t network) const {
    return network < snapshot->networks.size() ? snapshot->networks[network].routing : state::kNoRouting;
  }
  Figure& figure(FigureNumber number) { return figures[number]; }
  /// Tells the control plane of a query that the sampler drew, and that went to that rule, which has no
  /// figures.
  void take_sample(const void* set, rules::RuleIndex rule);

  const rules::FigureTable* counted_rules = &no_rules_;

 private:
  const rules::FigureTable no_rules_;
  const state::Routing* routings_ = nullptr;  ///< by network
};

}  // namespace shunt
