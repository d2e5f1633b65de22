// The rule lookup: one name and a burst of 32, from a name on the wire to its rule; octets a rule; building.
//
// "each" is all of it, from the name on the wire; "walk" the lookup alone, in the same run: without reading
// and lower-casing the name, and for our trie without hashing it.
//
// Beside our trie with hashed nodes: the 4-bit qp-trie and the DNS-trie, one name at a time as they are used
// elsewhere and 32 interleaved with prefetches, and a standard hash map asked for each suffix. The hashed
// trie is chosen: at a million rules its burst takes a third of the qp-trie's walk when that is interleaved
// too, and a tenth of it one by one, as a level is one line that was asked for in time. Below some ten
// thousand rules, all in the second-level cache, walking name by name is a little faster than the burst. The
// qp-trie takes a sixth less memory, as it keeps no hashes.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "bench/alternatives/qp_trie.h"
#include "bench/alternatives/suffix_map.h"
#include "bench/rule_names.h"
#include "bench/support.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/trie.h"
#include "dataplane/rules/trie_builder.h"

namespace {

using shunt::kBurst;
using shunt::dns::HashKey;
using shunt::dns::Name;
using namespace shunt::bench;
using namespace shunt::rules;

const HashKey kKey{0x123456789abcdef1, 0xfedcba9876543210};
constexpr std::size_t kQueries = std::size_t{1} << 20;
constexpr std::size_t kChecked = 1 << 16;

std::unique_ptr<const RuleSet> build(std::size_t rules) {
  RuleSetBuilder builder(kKey);
  Names names(1);
  Name name;
  for (std::size_t i = 0; i < rules; ++i) {
    names.rule(name);
    builder.add(name, Cover::kSuffix, Action::kBlockNxdomain, 0, static_cast<std::uint32_t>(i));
  }
  return builder.build();
}

struct Fixture {
  std::unique_ptr<const RuleSet> set;
  std::vector<RuleIndex> rules;  ///< of the set, in order: the alternatives number theirs
  std::vector<std::array<std::uint8_t, 48>> queries;
  double name_octets = 0;

  double per_rule(double octets) const { return octets / static_cast<double>(set->size()); }
};

const Fixture& fixture(std::size_t rules) {
  static std::size_t built = 0;
  static Fixture f;
  if (built == rules) return f;
  f = {};
  f.set = build(rules);
  double name_octets = 0;
  std::vector<std::array<std::uint8_t, 48>> wires(f.set->size());
  f.rules.reserve(f.set->size());
  for (const RuleIndex rule : f.set->rules()) {
    const auto wire = f.set->name(rule);
    std::copy(wire.begin(), wire.end(), wires[f.rules.size()].begin());
    name_octets += static_cast<double>(wire.size());
    f.rules.push_back(rule);
  }
  f.name_octets = f.per_rule(name_octets);
  Names names(2);
  f.queries.resize(kQueries);
  for (auto& query : f.queries)
    names.query(wires, query);
  built = rules;
  return f;
}

/// 32 queries after another, as a worker reads them, and the time that each part takes.
struct Burst {
  std::array<Name, kBurst> names;
  std::array<const Name*, kBurst> pointers;
  std::vector<std::uint64_t> hashes = std::vector<std::uint64_t>((shunt::dns::kMaxLabels + 1) * kBurst);
  std::size_t next = 0;
  std::uint64_t walking = 0;  ///< ticks

  Burst() {
    for (unsigned i = 0; i < kBurst; ++i)
      pointers[i] = &names[i];
  }
  void read(const Fixture& f) {
    for (unsigned i = 0; i < kBurst; ++i)
      shunt::dns::read_name(f.queries[next + i], names[i]);
    next = (next + kBurst) % kQueries;
  }
  void hash() {
    for (unsigned i = 0; i < kBurst; ++i)
      shunt::dns::hash_suffixes(kKey, names[i], &hashes[i], kBurst);
  }
  template <typename Walk>
  void time(Walk walk) {
    const std::uint64_t start = __rdtsc();
    walk();
    walking += __rdtsc() - start;
  }
};

void report(benchmark::State& state, const Fixture& f, const Burst& burst, double octets) {
  const double names = static_cast<double>(state.iterations()) * kBurst;
  state.counters["each"] = time_each(state, kBurst);
  state.counters["walk"] = static_cast<double>(burst.walking) / ticks_per_ns() / names / 1e9;
  state.counters["octets/rule"] = f.per_rule(octets);
  state.counters["of name"] = f.name_octets;
}

/// Reading, lower-casing and hashing alone: what the next two contain.
void hash_only(benchmark::State& state) {
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  Burst burst;
  for (auto _ : state) {
    burst.read(f);
    burst.hash();
    benchmark::DoNotOptimize(burst.hashes.data());
    benchmark::ClobberMemory();
  }
  report(state, f, burst, 0);
}

void lookup_burst(benchmark::State& state) {
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  Burst burst;
  std::array<Match, kBurst> best;
  for (auto _ : state) {
    burst.read(f);
    burst.hash();
    best.fill({});
    burst.time(
        [&] { f.set->find_burst(kBurst, burst.pointers.data(), burst.hashes.data(), 0, best.data()); });
    benchmark::DoNotOptimize(best);
  }
  report(state, f, burst, static_cast<double>(f.set->memory_octets()));
}

void lookup_scalar(benchmark::State& state) {
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  Burst burst;
  for (auto _ : state) {
    burst.read(f);
    burst.hash();
    burst.time([&] {
      for (unsigned i = 0; i < kBurst; ++i)
        benchmark::DoNotOptimize(f.set->find(burst.names[i], &burst.hashes[i], kBurst));
    });
  }
  report(state, f, burst, static_cast<double>(f.set->memory_octets()));
}

/// Ends the run where `find` gives another rule than our set for one of the first queries.
template <typename Find>
void check(const Fixture& f, Find find) {
  Name name;
  std::array<std::uint64_t, shunt::dns::kMaxLabels + 1> hashes;
  for (std::size_t i = 0; i < kChecked; ++i) {
    shunt::dns::read_name(f.queries[i], name);
    shunt::dns::hash_suffixes(kKey, name, hashes.data());
    const std::uint32_t found = find(name);
    require((found == kNoRule ? kNoRule : f.rules[found]) == f.set->find(name, hashes.data()).rule,
            "an alternative finds another rule");
  }
}

/// One alternative at a time, for one number of rules: at ten million each takes a gigabyte.
std::shared_ptr<const void> held;

template <typename Alternative>
const Alternative& alternative(const Fixture& f) {
  static std::weak_ptr<const Alternative> built;
  static std::size_t built_size = 0;
  if (const auto known = built.lock(); known != nullptr && built_size == f.set->size()) return *known;
  held.reset();
  const auto made = std::make_shared<const Alternative>(
      f.set->size(), [&f](std::size_t i) { return f.set->name(f.rules[i]); });
  held = made;
  built = made;
  built_size = f.set->size();
  return *made;
}

template <typename Alphabet>
void trie_scalar(benchmark::State& state) {
  using Trie = QpTrie<Alphabet>;
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  const Trie& trie = alternative<Trie>(f);
  auto walk = std::make_unique<typename Trie::Walk>();
  check(f, [&](const Name& name) { return trie.find(name, *walk); });
  Burst burst;
  for (auto _ : state) {
    burst.read(f);
    burst.time([&] {
      for (unsigned i = 0; i < kBurst; ++i)
        benchmark::DoNotOptimize(trie.find(burst.names[i], *walk));
    });
  }
  report(state, f, burst, static_cast<double>(trie.memory_octets()));
}

template <typename Alphabet>
void trie_burst(benchmark::State& state) {
  using Trie = QpTrie<Alphabet>;
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  const Trie& trie = alternative<Trie>(f);
  auto walks = std::make_unique<std::array<typename Trie::Walk, kBurst>>();
  std::array<std::uint32_t, kBurst> rules;
  check(f, [&](const Name& name) {
    const Name* const pointer = &name;
    trie.find_burst(1, &pointer, *walks, rules.data());
    return rules[0];
  });
  Burst burst;
  for (auto _ : state) {
    burst.read(f);
    burst.time([&] { trie.find_burst(kBurst, burst.pointers.data(), *walks, rules.data()); });
    benchmark::DoNotOptimize(rules);
  }
  report(state, f, burst, static_cast<double>(trie.memory_octets()));
}

void map_scalar(benchmark::State& state) {
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  const SuffixMap& map = alternative<SuffixMap>(f);
  check(f, [&](const Name& name) { return map.find(name); });
  Burst burst;
  for (auto _ : state) {
    burst.read(f);
    burst.time([&] {
      for (const Name& name : burst.names)
        benchmark::DoNotOptimize(map.find(name));
    });
  }
  report(state, f, burst, map.memory_octets());
}

void build_set(benchmark::State& state) {
  for (auto _ : state) {
    auto set = build(static_cast<std::size_t>(state.range(0)));
    benchmark::DoNotOptimize(set);
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}
/// What build_set spends on making names.
void build_names(benchmark::State& state) {
  for (auto _ : state) {
    Names names(1);
    Name name;
    for (std::int64_t i = 0; i < state.range(0); ++i) {
      names.rule(name);
      benchmark::DoNotOptimize(name);
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

void register_all() {
  for (const std::int64_t rules : {4, 1000, 10'000, 100'000, 1'000'000, 10'000'000}) {
    benchmark::RegisterBenchmark("rules/hash_only", hash_only)->Arg(rules);
    benchmark::RegisterBenchmark("rules/burst", lookup_burst)->Arg(rules);
    benchmark::RegisterBenchmark("rules/scalar", lookup_scalar)->Arg(rules);
    benchmark::RegisterBenchmark("rules/qp4/burst", trie_burst<NibbleAlphabet>)->Arg(rules);
    benchmark::RegisterBenchmark("rules/qp4/scalar", trie_scalar<NibbleAlphabet>)->Arg(rules);
    benchmark::RegisterBenchmark("rules/dns_trie/burst", trie_burst<DnsAlphabet>)->Arg(rules);
    benchmark::RegisterBenchmark("rules/dns_trie/scalar", trie_scalar<DnsAlphabet>)->Arg(rules);
    benchmark::RegisterBenchmark("rules/unordered_map", map_scalar)->Arg(rules);
  }
  for (const std::int64_t rules : {1000, 100'000, 1'000'000, 10'000'000}) {
    benchmark::RegisterBenchmark("rules/build", build_set)->Arg(rules)->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark("rules/build_names_alone", build_names)
        ->Arg(rules)
        ->Unit(benchmark::kMillisecond);
  }
}
const bool kRegistered = (register_all(), true);

}  // namespace
