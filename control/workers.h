// The dataplane as the control plane holds it: DPDK, the ports, the workers on their cores, the published
// view and the retirement of old ones.
#pragma once

#include <rte_mempool.h>
#include <rte_rcu_qsbr.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "conf/config.h"
#include "dataplane/base/result.h"
#include "dataplane/eal.h"
#include "dataplane/port.h"
#include "dataplane/state/snapshot.h"
#include "dataplane/worker.h"

namespace shunt::control {

/// Belongs to the control plane's thread, which is lcore 0.
class Workers {
 public:
  /// Starts DPDK, opens the ports, makes the workers. They poll from launch() on.
  static Result<std::unique_ptr<Workers>> open(const conf::Config& config, const dns::HashKey& key);
  /// Stops the workers and closes everything.
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  /// Publishes the first view and starts the loops.
  Result<void> launch(std::shared_ptr<const state::Snapshot> snapshot,
                      std::vector<net::Adjacency> adjacencies);

  /// Replaces the view. `done` is called by poll() when every worker has left the old one for good, with the
  /// numbers of those that have not within `deadline_ms`, when that passes first.
  void publish(std::shared_ptr<const state::Snapshot> snapshot, std::vector<net::Adjacency> adjacencies,
               bool draining, std::uint32_t deadline_ms,
               std::function<void(std::vector<unsigned> stalled)> done);
  /// Goes with each view that is published from now on and has a snapshot of that generation.
  void set_counted(std::shared_ptr<const state::CountedRules> counted) { counted_ = std::move(counted); }
  /// Goes with each view that is published from now on; null ends it.
  void set_capture(std::shared_ptr<const state::Capture> capture) { capture_ = std::move(capture); }
  void set_sampled(std::shared_ptr<const state::QuerySamples> sampled) { sampled_ = std::move(sampled); }
  void set_query_log(std::shared_ptr<const state::QueryLog> log) { query_log_ = std::move(log); }
  /// What the workers' clocks show now.
  static std::uint64_t clock_us();
  /// A rule's figures of all workers together.
  FigureCounts figures(FigureNumber number) const;
  /// Retires what nobody reads any more. Called every few milliseconds.
  void poll();
  /// Ends the loops; the rings can still be emptied afterwards.
  void stop();

  const state::View& view() const { return *published_.view.load(std::memory_order_relaxed); }
  std::size_t size() const { return workers_.size(); }
  Worker& worker(std::size_t i) { return *workers_[i]; }
  const std::vector<Port>& ports() const { return ports_; }
  rte_mempool* pool() { return pool_; }
  /// kMaxTargets entries.
  state::TargetHealth* health() { return health_.get(); }
  state::TargetLoops* loops() { return loops_.get(); }

 private:
  struct Retiring {
    const state::View* view;
    std::uint64_t token;
    std::uint64_t deadline_us;
    std::function<void(std::vector<unsigned>)> done;
  };

  Workers() = default;
  Result<void> open_ports(const conf::Config& config);
  Result<void> make_workers(const conf::Config& config, const dns::HashKey& key, const MemoryPlan& plan);
  std::vector<WorkerPort> worker_ports(const conf::Config& config, unsigned worker) const;
  std::vector<unsigned> behind(std::uint64_t token) const;
  const state::View* make_view(std::shared_ptr<const state::Snapshot> snapshot,
                               std::vector<net::Adjacency> adjacencies, bool draining) const;

  std::optional<Eal> eal_;
  rte_mempool* pool_ = nullptr;
  std::vector<Port> ports_;
  std::unique_ptr<state::PortOwners> owners_;
  std::unique_ptr<state::TargetHealth[]> health_;
  std::unique_ptr<state::TargetLoops[]> loops_;
  std::vector<Rings> rings_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<unsigned> cores_;
  rte_rcu_qsbr* rcu_ = nullptr;
  state::Published published_;
  std::vector<Retiring> retiring_;
  std::shared_ptr<const state::CountedRules> counted_;
  std::shared_ptr<const state::Capture> capture_;
  std::shared_ptr<const state::QuerySamples> sampled_;
  std::shared_ptr<const state::QueryLog> query_log_;
  bool running_ = false;
};

}  // namespace shunt::control
