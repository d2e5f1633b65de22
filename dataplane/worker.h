// A worker: the loop that polls one queue of every port and takes what it finds through the stages
// (stages/stages.h).
//
// run() belongs to an lcore of its own. A test drives turn() itself instead, one burst at a time, with its
// own clock and seed.
#pragma once

#include <rte_rcu_qsbr.h>

#include <atomic>
#include <memory>

#include "dataplane/base/stats.h"
#include "dataplane/stages/burst.h"
#include "dataplane/stages/context.h"
#include "dataplane/stages/stage_clock.h"

namespace shunt {

struct WorkerOptions {
  ContextOptions context;
  std::vector<WorkerPort> ports;
  const state::Published* published = nullptr;
  rte_rcu_qsbr* rcu = nullptr;  ///< null: views are never retired (tests)
};

class Worker {
 public:
  /// Frames that are taken from a port at once, two bursts: each time costs the cache lines of the ring's
  /// indices, which its other end has, and so does each time that a turn's frames are sent.
  static constexpr unsigned kReceiveBurst = 2 * kBurst;

  explicit Worker(const WorkerOptions& options);

  /// Polls until stop() was called. On this worker's lcore.
  void run();
  /// By any thread: run() ends after the turn under way.
  void stop() { stopping_.store(true, std::memory_order_relaxed); }

  /// One round over all queues and rings. True where there was work.
  bool turn(Now now);

  /// The counters as of the last publication, at most a millisecond ago while run() runs. By any thread.
  Stats stats() const { return published_stats_.read(); }
  /// Publishes the counters now. By the worker's thread.
  void publish_stats();
  /// By any thread; kMaxTargets entries.
  const state::TargetStats* targets() const { return context_.targets.get(); }
  /// By any thread; kMaxFigures entries.
  const Figure* figures() const { return context_.figures.get(); }
  /// To be drained by the control plane.
  SampleRing& samples() { return *context_.samples; }
  const Rings& rings() const { return context_.rings; }
  unsigned number() const { return context_.worker; }
  Context& context() { return context_; }

 private:
  bool poll_port(std::uint8_t port);
  void run_burst(std::uint8_t port, rte_mbuf* const* packets, unsigned count);
  bool poll_orders();
  bool poll_handovers();
  void take_order(rte_mbuf* packet);
  Query& make_query(rte_mbuf* packet, state::Transport transport);
  void take_stream_query(rte_mbuf* packet);
  void take_alias_query(rte_mbuf* packet);
  void flush_cache(rte_mbuf* packet);
  void note_swap(const state::View* before, std::uint64_t ns);
  /// Takes the burst through a stage, which ends there.
  template <auto kWork>
  void pass(Stage stage);
  void run_queries();
  void relay_answers();

  Context context_;
  std::unique_ptr<Burst> burst_;
  StageClock<kStageCycles> clock_;
  const state::Published& shared_;
  rte_rcu_qsbr* rcu_;
  std::uint64_t wheel_turned_us_ = 0;
  std::atomic<bool> stopping_{false};
  PublishedStats published_stats_;
};

}  // namespace shunt
