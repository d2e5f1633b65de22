#include "control/workers.h"

#include <rte_cycles.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <rte_malloc.h>

#include <chrono>

#include "dataplane/base/tsc_clock.h"

namespace shunt::control {
namespace {

std::uint64_t now_us() {
  using namespace std::chrono;
  return static_cast<std::uint64_t>(
      duration_cast<microseconds>(steady_clock::now().time_since_epoch()).count());
}

int run_worker(void* worker) {
  static_cast<Worker*>(worker)->run();
  return 0;
}

}  // namespace

Result<std::unique_ptr<Workers>> Workers::open(const conf::Config& config, const dns::HashKey& key) {
  const conf::Dataplane& d = config.dataplane;
  const auto count = static_cast<unsigned>(d.workers.size());
  auto plan = plan_memory(d.memory, d.cache, d.pending, count, static_cast<unsigned>(config.ports.size()));
  if (!plan) return Failure(plan.error());
  std::unique_ptr<Workers> w(new Workers);
  std::vector<std::string> devices;
  for (const conf::Port& port : config.ports)
    devices.push_back(port.device);
  auto eal = Eal::start({d.workers, d.control_core, d.memory, d.hugepages, devices, d.eal});
  if (!eal) return Failure(eal.error());
  w->eal_.emplace(std::move(*eal));
  auto pool = make_packet_pool(plan->packets);
  if (!pool) return Failure(pool.error());
  w->pool_ = *pool;
  if (auto opened = w->open_ports(config); !opened) return Failure(opened.error());
  if (auto made = w->make_workers(config, key, *plan); !made) return Failure(made.error());
  return w;
}

Result<void> Workers::open_ports(const conf::Config& config) {
  for (const conf::Port& from : config.ports) {
    auto port = Port::open({from.device, static_cast<unsigned>(config.dataplane.workers.size()), pool_});
    if (!port) return Failure("port \"" + from.name + "\": " + port.error());
    ports_.push_back(std::move(*port));
  }
  return {};
}

std::vector<WorkerPort> Workers::worker_ports(const conf::Config& config, unsigned worker) const {
  std::vector<WorkerPort> ports;
  for (std::size_t i = 0; i < ports_.size(); ++i) {
    WorkerPort port;
    port.ethdev = ports_[i].ethdev();
    port.queue = static_cast<std::uint16_t>(worker);
    port.rules.mac = ports_[i].mac();  // the VLAN is the snapshot's
    port.has_mirror = !config.ports[i].mirror.empty();
    ports.push_back(port);
  }
  return ports;
}

Result<void> Workers::make_workers(const conf::Config& config, const dns::HashKey& key,
                                   const MemoryPlan& plan) {
  const auto count = static_cast<unsigned>(config.dataplane.workers.size());
  owners_ = std::make_unique<state::PortOwners>(count);
  health_ = std::make_unique<state::TargetHealth[]>(kMaxTargets);
  loops_ = std::make_unique<state::TargetLoops[]>(kMaxTargets);
  cores_ = config.dataplane.workers;
  rcu_ = static_cast<rte_rcu_qsbr*>(
      rte_zmalloc("rcu", rte_rcu_qsbr_get_memsize(kMaxWorkers), RTE_CACHE_LINE_SIZE));
  if (rcu_ == nullptr || rte_rcu_qsbr_init(rcu_, kMaxWorkers) != 0) return Failure("no memory for RCU");
  std::vector<rte_ring*> handovers;
  for (unsigned i = 0; i < count; ++i) {
    auto rings = Rings::create(i);
    if (!rings) return Failure(rings.error());
    rings_.push_back(*rings);
    handovers.push_back(rings->handovers);
  }
  for (unsigned i = 0; i < count; ++i) {
    auto cache = take_memory("the answer cache", plan.cache_per_worker);
    if (!cache) return Failure(cache.error());
    auto pending = take_memory("pending queries", plan.pending_per_worker);
    if (!pending) return Failure(pending.error());
    WorkerOptions options;
    options.context = {i,
                       key,
                       Random::system_seed(),
                       *cache,
                       *pending,
                       config.dataplane.pending,
                       owners_.get(),
                       health_.get(),
                       loops_.get(),
                       pool_,
                       rings_[i],
                       handovers};
    options.ports = worker_ports(config, i);
    options.published = &published_;
    options.rcu = rcu_;
    workers_.push_back(std::make_unique<Worker>(options));
  }
  return {};
}

Result<void> Workers::launch(std::shared_ptr<const state::Snapshot> snapshot,
                             std::vector<net::Adjacency> adjacencies) {
  published_.view.store(make_view(std::move(snapshot), std::move(adjacencies), false),
                        std::memory_order_release);
  running_ = true;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    if (rte_eal_remote_launch(run_worker, workers_[i].get(), static_cast<unsigned>(i + 1)) != 0) {
      return Failure("worker " + std::to_string(i) + " does not start");
    }
  }
  return {};
}

const state::View* Workers::make_view(std::shared_ptr<const state::Snapshot> snapshot,
                                      std::vector<net::Adjacency> adjacencies, bool draining) const {
  const bool counts = counted_ != nullptr && counted_->generation == snapshot->generation;
  return new state::View{
      std::move(snapshot), std::move(adjacencies), draining, counts ? counted_ : nullptr, capture_, sampled_,
      query_log_};
}

std::uint64_t Workers::clock_us() {
  return TscClock(rte_get_tsc_hz()).us(rte_rdtsc());
}

FigureCounts Workers::figures(FigureNumber number) const {
  FigureCounts counts;
  for (const auto& worker : workers_)
    counts.add(worker->figures()[number]);
  return counts;
}

void Workers::publish(std::shared_ptr<const state::Snapshot> snapshot,
                      std::vector<net::Adjacency> adjacencies, bool draining, std::uint32_t deadline_ms,
                      std::function<void(std::vector<unsigned>)> done) {
  const state::View* fresh = make_view(std::move(snapshot), std::move(adjacencies), draining);
  const state::View* old = published_.view.exchange(fresh, std::memory_order_acq_rel);
  retiring_.push_back({old, rte_rcu_qsbr_start(rcu_), now_us() + 1000ull * deadline_ms, std::move(done)});
}

std::vector<unsigned> Workers::behind(std::uint64_t token) const {
  std::vector<unsigned> stalled;
  for (unsigned i = 0; i < workers_.size(); ++i) {
    const std::uint64_t seen = __atomic_load_n(&rcu_->qsbr_cnt[i].cnt, __ATOMIC_ACQUIRE);
    if (seen != 0 && seen < token) stalled.push_back(cores_[i]);
  }
  return stalled;
}

void Workers::poll() {
  // Tokens grow: what is not over for one is not over for the later ones.
  while (!retiring_.empty()) {
    Retiring& first = retiring_.front();
    const bool over = !running_ || rte_rcu_qsbr_check(rcu_, first.token, false) == 1;
    if (!over) break;
    const auto done = std::move(first.done);
    delete first.view;
    retiring_.erase(retiring_.begin());
    if (done) done({});
  }
  for (Retiring& r : retiring_) {
    if (r.done == nullptr || now_us() < r.deadline_us) continue;
    const auto done = std::exchange(r.done, nullptr);
    done(behind(r.token));
    return;  // the callback may have changed the list
  }
}

void Workers::stop() {
  if (!running_) return;
  for (auto& worker : workers_)
    worker->stop();
  rte_eal_mp_wait_lcore();
  running_ = false;
  poll();
}

Workers::~Workers() {
  stop();
  ports_.clear();
  workers_.clear();
  for (Rings& rings : rings_)
    rings.destroy();
  delete published_.view.load();
  rte_free(rcu_);
  rte_mempool_free(pool_);
}

}  // namespace shunt::control
