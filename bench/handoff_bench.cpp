// The rings between workers and control plane, as handoff.cpp makes them: one producer and one consumer, and
// for handovers between workers many producers. In bursts of 1, 8 and 32: within one thread, which is what
// the instructions cost, and from one core to another, which is what the lines' travelling costs.
//
// Beside rte_ring: its many-to-many form, a ring of our own whose ends remember each other's index, and a
// queue behind a mutex. An item that goes alone costs rte_ring ten times what it costs in a burst of 32,
// since each call reads the other end's line; the ring with remembered indices has no such penalty, but one
// producer only.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_ring.h>

#include <array>
#include <atomic>
#include <deque>
#include <mutex>
#include <string>
#include <thread>

#include "bench/alternatives/spsc_ring.h"
#include "bench/support.h"

namespace {

using namespace shunt;
using namespace shunt::bench;

constexpr std::uint32_t kSize = 4096;  // Rings::kHandovers

template <unsigned kFlags>
class RteRing {
 public:
  RteRing() {
    static unsigned made = 0;
    ring_ = rte_ring_create(("ring" + std::to_string(made++)).c_str(), kSize, SOCKET_ID_ANY, kFlags);
    require(ring_ != nullptr, "rte_ring_create");
  }
  ~RteRing() { rte_ring_free(ring_); }
  RteRing(const RteRing&) = delete;
  RteRing& operator=(const RteRing&) = delete;
  unsigned enqueue(void* const* items, unsigned count) {
    return rte_ring_enqueue_burst(ring_, items, count, nullptr);
  }
  unsigned dequeue(void** items, unsigned count) {
    return rte_ring_dequeue_burst(ring_, items, count, nullptr);
  }

 private:
  rte_ring* ring_;
};
using OneToOne = RteRing<RING_F_SP_ENQ | RING_F_SC_DEQ>;
using ManyToOne = RteRing<RING_F_SC_DEQ>;
using ManyToMany = RteRing<0>;

struct Own : SpscRing {
  Own() : SpscRing(kSize) {}
};

class Locked {
 public:
  unsigned enqueue(void* const* items, unsigned count) {
    const std::lock_guard lock(mutex_);
    count = std::min(count, kSize - static_cast<unsigned>(items_.size()));
    items_.insert(items_.end(), items, items + count);
    return count;
  }
  unsigned dequeue(void** items, unsigned count) {
    const std::lock_guard lock(mutex_);
    count = std::min(count, static_cast<unsigned>(items_.size()));
    std::copy_n(items_.begin(), count, items);
    items_.erase(items_.begin(), items_.begin() + count);
    return count;
  }

 private:
  std::mutex mutex_;
  std::deque<void*> items_;
};

/// Items are numbered, so that a lost or swapped one shows.
class Producer {
 public:
  template <typename Ring>
  unsigned send(Ring& ring, unsigned count) {
    std::array<void*, kBurst> items;
    for (unsigned i = 0; i < count; ++i)
      items[i] = reinterpret_cast<void*>(next_ + i);
    const unsigned sent = ring.enqueue(items.data(), count);
    next_ += sent;
    return sent;
  }

 private:
  std::uintptr_t next_ = 1;
};
class Consumer {
 public:
  template <typename Ring>
  unsigned receive(Ring& ring, unsigned count) {
    std::array<void*, kBurst> items;
    const unsigned received = ring.dequeue(items.data(), count);
    for (unsigned i = 0; i < received; ++i)
      in_order_ &= reinterpret_cast<std::uintptr_t>(items[i]) == next_++;
    return received;
  }
  bool in_order() const { return in_order_; }

 private:
  std::uintptr_t next_ = 1;
  bool in_order_ = true;
};

template <typename Ring>
void one_thread(benchmark::State& state) {
  const auto burst = static_cast<unsigned>(state.range(0));
  Ring ring;
  Producer producer;
  Consumer consumer;
  for (auto _ : state) {
    producer.send(ring, burst);
    benchmark::DoNotOptimize(consumer.receive(ring, burst));
  }
  require(consumer.in_order(), "an item was lost or swapped");
  state.counters["each"] = time_each(state, burst);
}

void pin(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  pthread_setaffinity_np(pthread_self(), sizeof set, &set);
}

/// The producer on core 1 sends as fast as the ring takes; this one, on core 0, receives. An iteration is a
/// burst's worth of items, in however many pieces they come.
template <typename Ring>
void two_threads(benchmark::State& state) {
  if (std::thread::hardware_concurrency() < 2) {
    state.SkipWithError("one core only");
    return;
  }
  const auto burst = static_cast<unsigned>(state.range(0));
  Ring ring;
  Consumer consumer;
  std::atomic<bool> ended{false};
  pin(0);
  std::thread thread([&] {
    pin(1);
    Producer producer;
    while (!ended.load(std::memory_order_relaxed))
      producer.send(ring, burst);
  });
  for (auto _ : state) {
    for (unsigned received = 0; received < burst;)
      received += consumer.receive(ring, burst - received);
  }
  ended = true;
  thread.join();
  require(consumer.in_order(), "an item was lost or swapped");
  state.counters["each"] = time_each(state, burst);
}

/// There and back: an item's way to the other core, which answers it at once, halved.
template <typename Ring>
void ping_pong(benchmark::State& state) {
  if (std::thread::hardware_concurrency() < 2) {
    state.SkipWithError("one core only");
    return;
  }
  Ring there, back;
  Producer producer;
  Consumer consumer;
  std::atomic<bool> ended{false};
  pin(0);
  std::thread thread([&] {
    pin(1);
    while (!ended.load(std::memory_order_relaxed)) {
      void* item = nullptr;
      if (there.dequeue(&item, 1) == 1) back.enqueue(&item, 1);
    }
  });
  for (auto _ : state) {
    producer.send(there, 1);
    while (consumer.receive(back, 1) == 0) {
    }
  }
  ended = true;
  thread.join();
  require(consumer.in_order(), "an item was lost or swapped");
  state.counters["one way"] = time_each(state, 2);
}

void bursts(benchmark::internal::Benchmark* b) {
  b->Arg(1)->Arg(8)->Arg(32);
}
BENCHMARK(one_thread<OneToOne>)->Apply(bursts);
BENCHMARK(one_thread<ManyToOne>)->Apply(bursts);
BENCHMARK(one_thread<ManyToMany>)->Apply(bursts);
BENCHMARK(one_thread<Own>)->Apply(bursts);
BENCHMARK(one_thread<Locked>)->Apply(bursts);

BENCHMARK(two_threads<OneToOne>)->Apply(bursts)->UseRealTime();
BENCHMARK(two_threads<ManyToOne>)->Apply(bursts)->UseRealTime();
BENCHMARK(two_threads<ManyToMany>)->Apply(bursts)->UseRealTime();
BENCHMARK(two_threads<Own>)->Apply(bursts)->UseRealTime();
BENCHMARK(two_threads<Locked>)->Apply(bursts)->UseRealTime();

BENCHMARK(ping_pong<OneToOne>)->UseRealTime();
BENCHMARK(ping_pong<ManyToOne>)->UseRealTime();
BENCHMARK(ping_pong<Own>)->UseRealTime();
BENCHMARK(ping_pong<Locked>)->UseRealTime();

}  // namespace
