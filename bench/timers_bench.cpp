// Deadlines: setting a timer that runs already (a second try, an answer that starts a new wait) while so many
// others run, with the look for what is due once a burst; and all of them coming due.
//
// Beside the timing wheel in state::Pending: rte_timer (a skip list) and a binary heap (std::priority_queue;
// what was set anew stays in it as void). The wheel is a list's head and two neighbours to write, whatever
// the number; it rounds deadlines up to 4 ms, which no timeout here minds.
#include <benchmark/benchmark.h>
#include <rte_cycles.h>
#include <rte_timer.h>

#include <array>
#include <memory>
#include <queue>
#include <random>
#include <vector>

#include "bench/support.h"
#include "dataplane/state/pending.h"

namespace {

using namespace shunt;
using namespace shunt::bench;
using namespace shunt::state;

constexpr std::uint32_t kSlots = 65536;
constexpr std::uint64_t kBurstUs = 10;  // between two bursts: 3.2 million packets a second
constexpr std::uint64_t kFirstDueUs = 400'000, kSpreadUs = 1'600'000;

class Wheel {
 public:
  explicit Wheel(std::size_t timers)
      : memory_(Pending::memory_octets(kSlots)),
        owners_(std::make_unique<PortOwners>(1)),
        random_(Random::Seed{1}),
        pending_(memory_.octets(), kSlots, SourcePorts(*owners_, 0), random_) {
    const dns::Name name = dns::parse_name("host1234.onprem.corp").value();
    for (std::size_t i = 0; i < timers; ++i)
      slots_.push_back(pending_.open({&name, i, 1, 1, 1, 1, 1}, false));
  }
  void set(std::size_t timer, std::uint64_t due_us) { pending_.arm(*slots_[timer], due_us); }
  std::size_t look(std::uint64_t now_us) {
    std::array<Slot*, kBurst> due;
    return pending_.expired(now_us, due);
  }
  /// Everything set is due: takes it all.
  std::size_t drain(std::uint64_t now_us) {
    std::size_t n = 0;
    for (std::size_t some = look(now_us); some > 0; some = look(now_us))
      n += some;
    return n;
  }

 private:
  HugeMemory memory_;
  std::unique_ptr<PortOwners> owners_;
  Random random_;
  Pending pending_;
  std::vector<Slot*> slots_;
};

class Heap {
 public:
  explicit Heap(std::size_t timers) : current_(timers) {}
  void set(std::size_t timer, std::uint64_t due_us) {
    heap_.push({due_us, static_cast<std::uint32_t>(timer), ++current_[timer]});
  }
  std::size_t look(std::uint64_t now_us) {
    std::size_t n = 0;
    for (; !heap_.empty() && heap_.top().due_us <= now_us; heap_.pop())
      n += heap_.top().use == current_[heap_.top().timer];
    return n;
  }
  std::size_t drain(std::uint64_t now_us) { return look(now_us); }

 private:
  struct Entry {
    std::uint64_t due_us;
    std::uint32_t timer, use;
    bool operator<(const Entry& other) const { return due_us > other.due_us; }  // the earliest on top
  };
  std::priority_queue<Entry> heap_;
  std::vector<std::uint32_t> current_;
};

/// Has a clock of its own, so deadlines count from it.
class RteTimers {
 public:
  explicit RteTimers(std::size_t timers) : timers_(timers) {
    rte_timer_subsystem_init();
    for (rte_timer& t : timers_)
      rte_timer_init(&t);
  }
  ~RteTimers() {
    for (rte_timer& t : timers_)
      rte_timer_stop_sync(&t);
    rte_timer_subsystem_finalize();
  }
  RteTimers(const RteTimers&) = delete;
  RteTimers& operator=(const RteTimers&) = delete;

  void set(std::size_t timer, std::uint64_t due_us) {
    const std::uint64_t ticks = (due_us - now_us_) * rte_get_timer_hz() / 1'000'000;
    rte_timer_reset(&timers_[timer], ticks, SINGLE, rte_lcore_id(), count, &due_);
  }
  std::size_t look(std::uint64_t now_us) {
    now_us_ = now_us;
    const std::size_t before = due_;
    rte_timer_manage();
    return due_ - before;
  }
  std::size_t drain(std::uint64_t now_us) { return look(now_us); }

 private:
  static void count(rte_timer*, void* due) { ++*static_cast<std::size_t*>(due); }
  std::vector<rte_timer> timers_;
  std::size_t due_ = 0;
  std::uint64_t now_us_ = 0;
};

/// Deadlines that come due in another order than they were set in.
std::vector<std::uint64_t> waits(std::uint64_t first, std::uint64_t spread) {
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> us(kSlots);
  for (std::uint64_t& wait : us)
    wait = first + random() % spread;
  return us;
}

template <typename Timers>
void set_anew(benchmark::State& state) {
  const auto timers = static_cast<std::size_t>(state.range(0));
  Timers t(timers);
  const std::vector<std::uint64_t> wait = waits(kFirstDueUs, kSpreadUs);
  std::uint64_t now = 0;
  for (std::size_t i = 0; i < timers; ++i)
    t.set(i, now + wait[i]);
  std::size_t timer = 0, at = 0, due = 0;
  for (auto _ : state) {
    now += kBurstUs;
    for (unsigned i = 0; i < kBurst; ++i) {
      t.set(timer, now + wait[at]);
      timer = timer + 1 == timers ? 0 : timer + 1;
      at = (at + 1) % wait.size();
    }
    due += t.look(now);
  }
  // rte_timer's clock is the machine's: where that stands still for others' sake, some may come due.
  if (!std::is_same_v<Timers, RteTimers>) require(due == 0, "a timer came due that was set anew in time");
  state.counters["each"] = time_each(state, kBurst);
}

/// Sets all, then lets all come due at once. The time is that of the second half.
template <typename Timers>
void come_due(benchmark::State& state) {
  const auto timers = static_cast<std::size_t>(state.range(0));
  Timers t(timers);
  // Short: rte_timer waits for the machine's own clock.
  static constexpr std::uint64_t kSpread = 1000;
  const std::vector<std::uint64_t> wait = waits(1, kSpread);
  std::uint64_t now = 1'000'000;
  for (auto _ : state) {
    t.look(now);
    for (std::size_t i = 0; i < timers; ++i)
      t.set(i, now + wait[i]);
    now += 100'000;
    rte_delay_us_block(2 * kSpread);
    const std::uint64_t start = __rdtsc();
    const std::size_t due = t.drain(now);
    state.SetIterationTime(static_cast<double>(__rdtsc() - start) / ticks_per_ns() / 1e9);
    if (!std::is_same_v<Timers, RteTimers>) require(due == timers, "a timer is not due");
  }
  state.counters["each"] = time_each(state, static_cast<double>(timers));
}

void running(benchmark::internal::Benchmark* b) {
  b->Arg(1000)->Arg(32000);
}
BENCHMARK(set_anew<Wheel>)->Apply(running);
BENCHMARK(set_anew<Heap>)->Apply(running);
BENCHMARK(set_anew<RteTimers>)->Apply(running);
BENCHMARK(come_due<Wheel>)->Apply(running)->UseManualTime()->Iterations(50);
BENCHMARK(come_due<Heap>)->Apply(running)->UseManualTime()->Iterations(50);
BENCHMARK(come_due<RteTimers>)->Apply(running)->UseManualTime()->Iterations(50);

}  // namespace
