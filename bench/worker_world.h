// Workers with all that they work with, each on a port without a link (synthetic_port.h): what is between two
// of them is what they share in shuntd too: snapshot, packet pool, memory.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/synthetic_port.h"
#include "dataplane/worker.h"

namespace shunt {

inline constexpr unsigned kWorkers = 2;

using StageCycles = std::array<std::uint64_t, kStages>;

/// `work(i)` by `count` threads of DPDK's at once, on the cores from `core` up; returns the seconds that each
/// of them took, in the mean: what one of them does in that time, each does.
double seconds_on(unsigned core, unsigned count, const std::function<void(unsigned)>& work);

class WorkerWorld {
 public:
  /// Once, after the EAL's start.
  WorkerWorld();

  /// Answers for `count` names go into every worker's cache; queries for them to every port.
  void ask_cached(std::size_t count);
  void ask_forwarded();
  void ask_blocked();

  /// `bursts` turns of `count` workers at once, from `first` on, each on the core of its number; see
  /// seconds_on().
  double run(unsigned first, unsigned count, std::size_t bursts);

  /// Of all workers, between two runs.
  std::uint64_t count(Counter counter);
  /// Of all workers; zero but in builds with stage_cycles.
  StageCycles stage_cycles();

 private:
  void flush_caches();
  void add_worker(unsigned i);
  void store(state::Cache& cache, const std::string& text) const;
  void draw(std::size_t count, const std::string& domain);

  const dns::HashKey key_;
  std::unique_ptr<state::PortOwners> owners_;
  std::unique_ptr<state::TargetHealth[]> health_;
  std::unique_ptr<state::TargetLoops[]> loops_;
  rte_mempool* pool_ = nullptr;
  state::View view_;
  state::Published published_;
  std::vector<std::unique_ptr<SyntheticPort>> ports_;
  std::vector<Rings> rings_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace shunt
