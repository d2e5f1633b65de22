// The answer cache: hits as a worker makes them, a burst at a time with both prefetch steps and the copy of
// the body; the same without the steps; misses; insertions. Names are drawn at random from range(0) of them.
// Memory lies on huge pages where the kernel gives them (madvise); 1 GiB holds a million answers of one
// record six times over, so nothing is evicted in the lookups, and all is in the insertions.
#include <benchmark/benchmark.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "dataplane/state/cache.h"

namespace {

using namespace shunt;
using namespace shunt::state;

class Memory {
 public:
  explicit Memory(std::size_t octets)
      : octets_(octets),
        start_(mmap(nullptr, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    if (start_ == MAP_FAILED) std::abort();
    madvise(start_, octets_, MADV_HUGEPAGE);
  }
  ~Memory() { munmap(start_, octets_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  std::span<std::byte> octets() const { return {static_cast<std::byte*>(start_), octets_}; }

 private:
  std::size_t octets_;
  void* start_;
};

// A question in one cache line: half a million of them, drawn beforehand, are read in passing.
struct alignas(kCacheLine) Asked {
  std::uint64_t hash = 0;
  std::uint8_t length = 0;
  std::array<std::uint8_t, 48> wire{};
};

Asked ask(std::uint64_t i) {
  const dns::Name name = dns::parse_name("host" + std::to_string(i) + ".onprem.corp").value();
  Asked a{.hash = cache_hash(dns::hash_name(dns::HashKey{}, name.wire.data(), name.length), 1, 1),
          .length = name.length};
  std::ranges::copy(name.octets(), a.wire.begin());
  return a;
}

// What the parse stage leaves: `name` is in the first-level cache.
CacheKey key_of(const Asked& a, dns::Name& name) {
  name.length = a.length;
  std::memcpy(name.wire.data(), a.wire.data(), a.wire.size());
  return {name.wire.data(), a.hash, 1, 1, 1, 1, name.length};
}

// One address record, and an OPT.
struct Answer {
  std::vector<std::uint8_t> wire;
  dns::Reply reply;
};
void answer(const Asked& a, Answer& out) {
  out.wire.assign({0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1});
  const auto put = [&out](std::span<const std::uint8_t> octets) {
    out.wire.insert(out.wire.end(), octets.begin(), octets.end());
  };
  put(std::span(a.wire).first(a.length));
  put(std::array<std::uint8_t, 20>{0, 1, 0, 1, 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4, 192, 0, 2, 1});
  put(std::array<std::uint8_t, 11>{0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0});
  dns::Name name;
  if (dns::parse_reply(out.wire, out.reply, name) != dns::ReplyVerdict::kGood) std::abort();
}

bool store(Cache& cache, const Asked& a, Answer& scratch) {
  answer(a, scratch);
  dns::Name name;
  return cache.insert(key_of(a, name), scratch.wire, scratch.reply, 0, 3600, 86400, false);
}

constexpr std::size_t kMemory = std::size_t{1} << 30;
constexpr std::size_t kQuestions = 1 << 19;

struct Filled {
  explicit Filled(std::uint64_t names) : memory(kMemory), cache(memory.octets()) {
    Answer scratch;
    for (std::uint64_t i = 0; i < names; ++i)
      store(cache, ask(i), scratch);
  }
  Memory memory;
  Cache cache;
};

std::vector<Asked> draw(std::uint64_t first, std::uint64_t names) {
  std::mt19937_64 random(1);
  std::vector<Asked> asked;
  asked.reserve(kQuestions);
  for (std::size_t i = 0; i < kQuestions; ++i)
    asked.push_back(ask(first + random() % names));
  return asked;
}

// As far apart as packet buffers are: at a power of two they would share a few sets of the first-level cache.
struct alignas(kCacheLine) Output {
  std::array<std::uint8_t, 2048 + 3 * 128> octets;
};

void look_up(benchmark::State& state, std::uint64_t first, bool prefetch) {
  const auto names = static_cast<std::uint64_t>(state.range(0));
  Filled filled(names);
  Cache& cache = filled.cache;
  const std::vector<Asked> asked = draw(first, names);
  std::vector<Output> outputs(kBurst);
  std::vector<dns::Name> name_of(kBurst);
  std::size_t at = 0, found = 0;
  for (auto _ : state) {
    const std::span burst(&asked[at], kBurst);
    at = (at + kBurst) % kQuestions;
    if (prefetch) {
      for (const Asked& a : burst)
        cache.prefetch_bucket(a.hash);
      for (const Asked& a : burst)
        cache.prefetch_entry(a.hash);
    }
    for (std::size_t i = 0; i < kBurst; ++i) {
      CacheHit hit;
      if (!cache.find(key_of(burst[i], name_of[i]), 1, hit)) continue;
      ++found;
      copy_aged(hit, outputs[i].octets.data(), outputs[i].octets.size());
      benchmark::DoNotOptimize(aged_sum(hit));
    }
    benchmark::ClobberMemory();
  }
  const auto looked = static_cast<double>(state.iterations()) * kBurst;
  state.counters["each"] =
      benchmark::Counter(looked, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["hits"] = static_cast<double>(found) / looked;
}

void BM_HitBurst(benchmark::State& state) {
  look_up(state, 0, true);
}
void BM_HitBurstWithoutPrefetch(benchmark::State& state) {
  look_up(state, 0, false);
}
void BM_MissBurst(benchmark::State& state) {
  look_up(state, 1000000000, true);
}
BENCHMARK(BM_HitBurst)->Arg(1000)->Arg(100000)->Arg(1000000);
BENCHMARK(BM_HitBurstWithoutPrefetch)->Arg(1000)->Arg(100000)->Arg(1000000);
BENCHMARK(BM_MissBurst)->Arg(1000)->Arg(100000)->Arg(1000000);

// Into a full cache of range(0) MiB, each name new: one answer goes for each that comes.
void BM_InsertFull(benchmark::State& state) {
  const Memory memory(static_cast<std::size_t>(state.range(0)) << 20);
  Cache cache(memory.octets());
  Answer scratch;
  std::uint64_t next = 0;
  while (cache.evictions() < 1000)
    store(cache, ask(next++), scratch);
  dns::Name name;
  std::vector<Asked> asked;
  std::vector<Answer> answers(4096);
  std::size_t at = 0;
  for (auto _ : state) {
    if (at % answers.size() == 0) {
      state.PauseTiming();
      asked.clear();
      for (Answer& a : answers) {
        asked.push_back(ask(next++));
        answer(asked.back(), a);
      }
      at = 0;
      state.ResumeTiming();
    }
    const Answer& a = answers[at];
    benchmark::DoNotOptimize(cache.insert(key_of(asked[at], name), a.wire, a.reply, 0, 3600, 86400, false));
    ++at;
  }
  state.counters["entries"] = static_cast<double>(cache.entries());
  state.counters["octets_each"] =
      static_cast<double>(memory.octets().size()) / static_cast<double>(cache.entries());
}
BENCHMARK(BM_InsertFull)->Arg(1)->Arg(16)->Arg(256);

}  // namespace
