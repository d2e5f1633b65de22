// Longest-prefix match: latency (each lookup waits for the one before) and throughput.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <random>
#include <utility>
#include <vector>

#include "dataplane/net/prefixes.h"

namespace {

using shunt::IpAddress;
using shunt::Prefix;
using shunt::net::PrefixTable;

enum Kind : std::int64_t { kV4Spread, kV4Private, kV6 };

struct Data {
  PrefixTable table;
  std::vector<IpAddress> addresses;
};

Data make(std::int64_t count, Kind kind) {
  std::mt19937_64 random(7);
  std::vector<std::pair<Prefix, std::uint32_t>> entries;
  for (std::int64_t i = 0; i < count; ++i) {
    std::uint8_t octets[16] = {};
    for (std::size_t k = 0; k < 6; ++k)
      octets[k] = static_cast<std::uint8_t>(random());
    if (kind == kV6) {
      octets[0] = 0xfd;
      octets[1] = 0;
      entries.push_back({{IpAddress::v6(octets), 48}, static_cast<std::uint32_t>(i)});
    } else {
      if (kind == kV4Private) octets[0] = 10;
      octets[3] = 0;
      entries.push_back({{IpAddress::v4(octets), 96 + 24}, static_cast<std::uint32_t>(i)});
    }
  }
  Data data{PrefixTable(entries), {}};
  for (int i = 0; i < 4096; ++i) {
    IpAddress a = entries[random() % entries.size()].first.address;
    a.octets[15] = static_cast<std::uint8_t>(random());
    data.addresses.push_back(a);
  }
  return data;
}

template <bool kWait>
void find(benchmark::State& state) {
  const Data data = make(state.range(0), static_cast<Kind>(state.range(1)));
  std::size_t i = 0;
  std::uint32_t last = 0;
  for (auto _ : state) {
    last = data.table.find(data.addresses[(i + (kWait ? last & 1 : 0)) % data.addresses.size()]);
    benchmark::DoNotOptimize(last);
    ++i;
  }
  state.counters["octets/prefix"] =
      static_cast<double>(data.table.memory_octets()) / static_cast<double>(state.range(0));
}

void shapes(benchmark::internal::Benchmark* b) {
  for (const std::int64_t kind : {kV4Spread, kV4Private, kV6})
    for (const std::int64_t count : {1, 10, 100, 1000, 10'000})
      b->Args({count, kind});
}
BENCHMARK(find<false>)->Name("prefixes/throughput")->Apply(shapes);
BENCHMARK(find<true>)->Name("prefixes/latency")->Apply(shapes);

}  // namespace
