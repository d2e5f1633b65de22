// Longest-prefix match: throughput in bursts of 32, and latency (each lookup waits for the one before).
//
// Beside net::PrefixTable: rte_lpm and rte_fib (DIR24-8), rte_lpm6 and rte_fib6 for IPv6, in bulk, and
// std::map asked once for each length. rte_lpm answers from one or two loads in a third of the time; but it
// takes 64 MiB and more, and there is one table for each allow list and generation. For what lists and
// networks hold (tens of prefixes, some thousand at most) ours costs two nanoseconds more and kilobytes
// instead: so it is chosen.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <memory>
#include <random>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

#include "bench/alternatives/prefix_tables.h"
#include "bench/support.h"
#include "dataplane/net/prefixes.h"

namespace {

using namespace shunt;
using namespace shunt::bench;
using net::PrefixTable;

constexpr std::size_t kAsked = 4096;

enum Kind : std::int64_t { kV4Spread, kV4Private, kV4Nested, kV6 };

struct Data {
  std::vector<PrefixEntry> entries;
  std::vector<IpAddress> addresses;
};

/// 12, 16, 20, 24 or 28 bits of an address: some prefixes lie in others.
Prefix nested(std::uint8_t* octets, std::uint64_t random) {
  const unsigned length = 12 + 4 * static_cast<unsigned>(random % 5);
  octets[0] = 10;
  for (unsigned bit = length; bit < 32; ++bit)
    octets[bit / 8] = static_cast<std::uint8_t>(octets[bit / 8] & ~(0x80u >> bit % 8));
  return {IpAddress::v4(octets), static_cast<std::uint8_t>(96 + length)};
}

Prefix some_prefix(std::mt19937_64& random, Kind kind) {
  std::uint8_t octets[16] = {};
  for (std::size_t k = 0; k < 6; ++k)
    octets[k] = static_cast<std::uint8_t>(random());
  if (kind == kV4Nested) return nested(octets, random());
  if (kind == kV6) {
    octets[0] = 0xfd;
    octets[1] = 0;
    return {IpAddress::v6(octets), 48};
  }
  if (kind == kV4Private) octets[0] = 10;
  octets[3] = 0;
  return {IpAddress::v4(octets), 96 + 24};
}

Data make(const benchmark::State& state) {
  const auto count = static_cast<std::size_t>(state.range(0));
  const auto kind = static_cast<Kind>(state.range(1));
  std::mt19937_64 random(7);
  Data data;
  std::set<Prefix> known;
  while (data.entries.size() < count) {
    const Prefix p = some_prefix(random, kind);
    if (known.insert(p).second) data.entries.push_back({p, static_cast<std::uint32_t>(data.entries.size())});
  }
  for (std::size_t i = 0; i < kAsked; ++i) {
    IpAddress a = data.entries[random() % count].first.address;
    a.octets[15] = static_cast<std::uint8_t>(random());
    data.addresses.push_back(a);
  }
  return data;
}

class Ours : public PrefixTable {
 public:
  explicit Ours(std::span<const PrefixEntry> entries) : PrefixTable(entries) {}
  using PrefixTable::find;
  void find(AddressBurst addresses, ValueBurst& values) const {
    for (unsigned i = 0; i < kBurst; ++i)
      values[i] = PrefixTable::find(addresses[i]);
  }
};

template <typename Table>
void burst(benchmark::State& state) {
  const Data data = make(state);
  const Table table(data.entries);
  if constexpr (requires { table.usable(); }) {
    if (!table.usable()) {
      state.SkipWithError("this processor can't");
      return;
    }
  }
  const PrefixTable expected(data.entries);
  ValueBurst values;
  const auto at = [&data](std::size_t i) {
    return std::span(data.addresses).subspan(i).template first<kBurst>();
  };
  for (std::size_t first = 0; first < kAsked; first += kBurst) {
    table.find(at(first), values);
    for (unsigned i = 0; i < kBurst; ++i)
      require(values[i] == expected.find(data.addresses[first + i]), "another prefix");
  }
  std::size_t first = 0;
  for (auto _ : state) {
    table.find(at(first), values);
    benchmark::DoNotOptimize(values);
    first = (first + kBurst) % kAsked;
  }
  state.counters["each"] = time_each(state, kBurst);
  state.counters["octets"] = static_cast<double>(table.memory_octets());
}

void one_by_one(benchmark::State& state) {
  const Data data = make(state);
  const PrefixTable table(data.entries);
  std::size_t i = 0;
  std::uint32_t last = 0;
  for (auto _ : state) {
    last = table.find(data.addresses[(i + (last >> 31)) % kAsked]);
    benchmark::DoNotOptimize(last);
    ++i;
  }
  state.counters["octets/prefix"] =
      static_cast<double>(table.memory_octets()) / static_cast<double>(state.range(0));
}

constexpr std::int64_t kCounts[] = {1, 10, 100, 1000, 10'000};

template <bool kV4Table, bool kV6Table>
void shapes(benchmark::internal::Benchmark* b) {
  b->ArgNames({"prefixes", "kind"});
  for (const std::int64_t kind : {kV4Spread, kV4Private, kV4Nested, kV6})
    for (const std::int64_t count : kCounts)
      if (kind == kV6 ? kV6Table : kV4Table) b->Args({count, kind});
}

BENCHMARK(one_by_one)->Name("prefixes/latency")->Apply(shapes<true, true>);
BENCHMARK(burst<Ours>)->Name("prefixes/burst")->Apply(shapes<true, true>);
BENCHMARK(burst<PrefixMap>)->Name("prefixes/map")->Apply(shapes<true, true>);
BENCHMARK(burst<Lpm>)->Name("prefixes/rte_lpm")->Apply(shapes<true, false>);
BENCHMARK(burst<Fib<RTE_FIB_LOOKUP_DIR24_8_SCALAR_INLINE>>)
    ->Name("prefixes/rte_fib")
    ->Apply(shapes<true, false>);
BENCHMARK(burst<Fib<RTE_FIB_LOOKUP_DIR24_8_VECTOR_AVX512>>)
    ->Name("prefixes/rte_fib_avx512")
    ->Apply(shapes<true, false>);
BENCHMARK(burst<Lpm6>)->Name("prefixes/rte_lpm6")->Apply(shapes<false, true>);
BENCHMARK(burst<Fib6<RTE_FIB6_LOOKUP_TRIE_SCALAR>>)->Name("prefixes/rte_fib6")->Apply(shapes<false, true>);
BENCHMARK(burst<Fib6<RTE_FIB6_LOOKUP_TRIE_VECTOR_AVX512>>)
    ->Name("prefixes/rte_fib6_avx512")
    ->Apply(shapes<false, true>);

}  // namespace
