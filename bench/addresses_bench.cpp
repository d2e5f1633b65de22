// What a worker asks of each packet's destination: is the address one of ours (net::LocalAddresses, once a
// frame), and whose is the port (state::PortOwners, once for each answer of an upstream).
//
// Beside the table of addresses: a walk over all of them, and std::unordered_map. For a handful, as most
// ports have, all three are a matter of a few nanoseconds, the walk the least. Addresses here are neighbours,
// as real ones are: a hash that loses their last octets shows with 64 of them and more. Beside the table of
// port owners: the division that it was made from, which is slower.
#include <benchmark/benchmark.h>

#include <cstring>
#include <memory>
#include <random>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bench/support.h"
#include "dataplane/net/local_addresses.h"
#include "dataplane/state/source_ports.h"

namespace {

using namespace shunt;
using namespace shunt::bench;
using net::LocalAddress;
using net::LocalAddresses;

constexpr std::size_t kAsked = 4096;

IpAddress address(std::uint32_t i, bool v6) {
  std::uint8_t octets[16] = {0xfd, 0, 0, 1};
  octets[13] = static_cast<std::uint8_t>(i >> 16);
  octets[14] = static_cast<std::uint8_t>(i >> 8);
  octets[15] = static_cast<std::uint8_t>(i);
  if (v6) return IpAddress::v6(octets);
  octets[12] = 10;
  return IpAddress::v4(&octets[12]);
}

std::vector<LocalAddress> ours(std::uint32_t count) {
  std::vector<LocalAddress> all;
  for (std::uint32_t i = 0; i < count; ++i)
    all.push_back({address(i, i % 2 == 1), static_cast<std::uint16_t>(i)});
  return all;
}

class Walk {
 public:
  explicit Walk(std::span<const LocalAddress> all) : all_(all.begin(), all.end()) {}
  const LocalAddress* find(const IpAddress& a) const {
    for (const LocalAddress& own : all_)
      if (own.address == a) return &own;
    return nullptr;
  }

 private:
  std::vector<LocalAddress> all_;
};

class Map {
 public:
  explicit Map(std::span<const LocalAddress> all) {
    for (const LocalAddress& own : all)
      map_.emplace(own.address, own);
  }
  const LocalAddress* find(const IpAddress& a) const {
    const auto found = map_.find(a);
    return found == map_.end() ? nullptr : &found->second;
  }

 private:
  struct Hash {
    std::size_t operator()(const IpAddress& a) const {
      return std::hash<std::string_view>{}({reinterpret_cast<const char*>(a.octets.data()), 16});
    }
  };
  std::unordered_map<IpAddress, LocalAddress, Hash> map_;
};

/// range(0) addresses; one in sixteen packets is for another.
template <typename Table>
void local_address(benchmark::State& state) {
  const auto count = static_cast<std::uint32_t>(state.range(0));
  const std::vector<LocalAddress> all = ours(count);
  const Table table(all);
  std::mt19937 random(1);
  std::vector<IpAddress> asked(kAsked);
  for (IpAddress& a : asked) {
    const auto i = static_cast<std::uint32_t>(random() % count);
    const bool foreign = random() % 16 == 0;
    a = address(foreign ? count + i : i, i % 2 == 1);
    const LocalAddress* const found = table.find(a);
    require(foreign ? found == nullptr : found != nullptr && found->endpoint == i, "an address");
  }
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(table.find(asked[i]));
    i = (i + 1) % kAsked;
  }
}
BENCHMARK(local_address<LocalAddresses>)->Arg(1)->Arg(4)->Arg(64)->Arg(1000);
BENCHMARK(local_address<Walk>)->Arg(1)->Arg(4)->Arg(64)->Arg(1000);
BENCHMARK(local_address<Map>)->Arg(1)->Arg(4)->Arg(64)->Arg(1000);

struct Divided {
  explicit Divided(unsigned count) : workers(count) {}
  std::uint8_t owner(std::uint16_t port) const {
    return port < state::PortOwners::kFirst ? state::PortOwners::kNobody
                                            : static_cast<std::uint8_t>(port % workers);
  }
  unsigned workers;
};

template <typename Owners>
void port_owner(benchmark::State& state) {
  unsigned workers = 6;
  benchmark::DoNotOptimize(workers);
  const auto owners = std::make_unique<Owners>(workers);
  const state::PortOwners expected(workers);
  std::mt19937 random(1);
  std::vector<std::uint16_t> ports(kAsked);
  for (std::uint16_t& port : ports) {
    port = static_cast<std::uint16_t>(random());
    require(owners->owner(port) == expected.owner(port), "a port's owner");
  }
  std::size_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(owners->owner(ports[i]));
    i = (i + 1) % kAsked;
  }
}
BENCHMARK(port_owner<state::PortOwners>);
BENCHMARK(port_owner<Divided>);

void draw_port(benchmark::State& state) {
  const auto owners = std::make_unique<state::PortOwners>(6);
  state::SourcePorts ports(*owners, 3);
  Random random(Random::Seed{1});
  for (unsigned i = 0; i < kAsked; ++i)
    require(owners->owner(ports.draw(random, 10'000, 50'000)) == 3, "another worker's port");
  for (auto _ : state)
    benchmark::DoNotOptimize(ports.draw(random, 10'000, 50'000));
}
BENCHMARK(draw_port);

}  // namespace
