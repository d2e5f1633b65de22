// Whole workers without a link (worker_world.h): what a cached, a blocked and a forwarded name cost from
// receive burst to transmit burst, and what a second worker adds. In builds with stage_cycles also where the
// cycles go.
//
// Needs two cores for `workers:2`; takes huge pages where 512 MiB of them are free.
#include <benchmark/benchmark.h>
#include <rte_eal.h>

#include <algorithm>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "bench/worker_world.h"
#include "dataplane/stages/stage_clock.h"

namespace shunt {
namespace {

WorkerWorld& world() {
  static WorkerWorld* const made = new WorkerWorld;  // lives as long as the EAL
  return *made;
}

/// What each stage took of a query since `before`, in cycles of the time stamp counter, where the build
/// counts them.
void tell_stages(benchmark::State& state, const StageCycles& before, double queries) {
  if constexpr (!kStageCycles) return;
  const StageCycles after = world().stage_cycles();
  for (std::size_t i = 0; i < kStages; ++i)
    state.counters[std::string(kStageText[i].name)] = static_cast<double>(after[i] - before[i]) / queries;
}

/// The last worker, where what the system does on the first core doesn't meet it.
unsigned last_worker() {
  return std::min(std::thread::hardware_concurrency(), kWorkers) - 1;
}

/// `either`: a single worker is now the one, now the other, as one core may be slower than the other. Each
/// keeps to its core, where the memory that it works with is at hand.
void measure(benchmark::State& state, unsigned workers, Counter answered, bool either = false) {
  constexpr std::size_t kBursts = 20000;
  double seconds = 0;
  unsigned first = workers == 1 ? last_worker() : 0;
  world().run(0, last_worker() + 1, kBursts / 10);  // caches warm
  const std::uint64_t before = world().count(answered);
  const StageCycles stages = world().stage_cycles();
  for (auto _ : state) {
    if (either && workers == 1) first = first == 0 ? last_worker() : 0;
    const double took = world().run(first, workers, kBursts);
    state.SetIterationTime(took);
    seconds += took;
  }
  const auto each = static_cast<double>(state.iterations()) * kBursts * Worker::kReceiveBurst;
  require(static_cast<double>(world().count(answered) - before) == each * workers,
          "not every query was answered");
  state.counters["queries_per_second"] = each * workers / seconds;
  state.counters["ns_per_query"] = seconds / each * 1e9;
  tell_stages(state, stages, each * workers);
}

void cached(benchmark::State& state) {
  const auto workers = static_cast<unsigned>(state.range(1));
  if (workers > std::thread::hardware_concurrency()) return state.SkipWithError("not enough cores");
  world().ask_cached(static_cast<std::size_t>(state.range(0)));
  measure(state, workers, Counter::answered_cache, true);
}
BENCHMARK(cached)
    ->ArgNames({"names", "workers"})
    ->ArgsProduct({{1000, 100000, 1000000}, {1, 2}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

void blocked(benchmark::State& state) {
  world().ask_blocked();
  measure(state, 1, Counter::answered_rule);
}
BENCHMARK(blocked)->UseManualTime()->Unit(benchmark::kMillisecond);

// Half of each burst are queries, the other half the answers to those before: a query costs both ways.
void forwarded(benchmark::State& state) {
  world().ask_forwarded();
  constexpr std::size_t kBursts = 20000;
  world().run(last_worker(), 1, kBursts / 10);
  const std::uint64_t before = world().count(Counter::answered_upstream);
  const StageCycles stages = world().stage_cycles();
  double seconds = 0;
  for (auto _ : state) {
    const double took = world().run(last_worker(), 1, kBursts);
    state.SetIterationTime(took);
    seconds += took;
  }
  const auto queries = static_cast<double>(world().count(Counter::answered_upstream) - before);
  state.counters["queries_per_second"] = queries / seconds;
  state.counters["ns_per_query"] = seconds / queries * 1e9;
  tell_stages(state, stages, queries);
  state.counters["per_burst"] = queries / (static_cast<double>(state.iterations()) * kBursts);
}
BENCHMARK(forwarded)->UseManualTime()->Unit(benchmark::kMillisecond);

// The yardstick for two workers: as many multiplications as a core can do, without memory. Two cores that
// share a clock, or a core, do less than twice the work of one, whatever they run.
void arithmetic(benchmark::State& state) {
  constexpr std::size_t kTurns = std::size_t{1} << 24;
  constexpr std::size_t kChains = 4;  // one alone would wait for its own results
  const auto workers = static_cast<unsigned>(state.range(0));
  if (workers > std::thread::hardware_concurrency()) return state.SkipWithError("not enough cores");
  unsigned core = 0;
  double seconds = 0;
  for (auto _ : state) {
    if (workers == 1 && std::thread::hardware_concurrency() > 1) core = core == 0 ? 1 : 0;
    const double took = seconds_on(core, workers, [](unsigned) {
      std::array<std::uint64_t, kChains> product{3, 5, 7, 11};
      for (std::size_t n = 0; n < kTurns; ++n) {
        for (std::uint64_t& p : product) {
          p *= 0x9e3779b97f4a7c15;
          asm volatile("" : "+r"(p));  // each product is wanted
        }
      }
    });
    state.SetIterationTime(took);
    seconds += took;
  }
  state.counters["multiplications_per_second"] =
      static_cast<double>(state.iterations()) * kTurns * kChains * workers / seconds;
}
BENCHMARK(arithmetic)->ArgName("workers")->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond);

bool huge_pages_free() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  unsigned pages = 0;
  return file >> pages && pages >= 256;
}

void start_eal() {
  std::vector<std::string> args{"worker_bench", "--lcores",       "0",           "-m",           "512",
                                "--no-pci",     "--no-telemetry", "--log-level", "lib.*:warning"};
  if (huge_pages_free()) {
    args.emplace_back("--in-memory");
  } else {
    args.insert(args.end(), {"--no-huge", "--no-shconf"});
  }
  std::vector<char*> argv;
  for (std::string& a : args)
    argv.push_back(a.data());
  require(rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0, "DPDK doesn't start");
}

}  // namespace
}  // namespace shunt

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  shunt::start_eal();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
