// The rule trie: building, octets a rule, one lookup and a burst of 32, hashing included and not.
//
// Rules are synthetic: two random labels below one of 300 top-level names, one in eight with a third label,
// as in a block list. Queries: half below a rule ("www." in front), half with a second label that no rule
// has.
#include <benchmark/benchmark.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "dataplane/dns/name.h"
#include "dataplane/rules/trie.h"
#include "dataplane/rules/trie_builder.h"

namespace {

using shunt::kBurst;
using shunt::dns::HashKey;
using shunt::dns::Name;
using namespace shunt::rules;

const HashKey kKey{0x123456789abcdef1, 0xfedcba9876543210};
constexpr std::size_t kQueries = std::size_t{1} << 20;

/// Wire names straight from a generator: text would take longer than the trie.
class Names {
 public:
  explicit Names(std::uint64_t seed) : random_(seed) {}

  void rule(Name& name) {
    start();
    if (random_() % 8 == 0) label(3 + random_() % 6);
    label(6 + random_() % 10);
    top();
    read(name);
  }
  /// Keeps the wire form: a burst reads names as a worker does.
  void query(const std::vector<std::array<std::uint8_t, 48>>& rules, std::array<std::uint8_t, 48>& wire) {
    start();
    if (random_() % 2 == 0) {
      const auto& rule = rules[random_() % rules.size()];
      static constexpr std::uint8_t kWww[] = {3, 'w', 'w', 'w'};
      std::copy(std::begin(kWww), std::end(kWww), wire_.begin());
      std::copy(rule.begin(), rule.begin() + 44, wire_.begin() + 4);
    } else {
      static constexpr std::uint8_t kWww[] = {3, 'w', 'w', 'w'};
      std::copy(std::begin(kWww), std::end(kWww), wire_.begin());
      end_ = 4;
      label(16);
      top();
    }
    std::copy(wire_.begin(), wire_.begin() + 48, wire.begin());
  }

 private:
  void start() {
    wire_.fill(0);
    end_ = 0;
  }
  void label(std::size_t length) {
    wire_[end_++] = static_cast<std::uint8_t>(length);
    for (std::size_t i = 0; i < length; ++i)
      wire_[end_++] = static_cast<std::uint8_t>('a' + random_() % 26);
  }
  void top() {
    // Skewed as top-level domains are: half of all is one of them.
    const std::uint64_t n = random_() % 2 == 0 ? 0 : random_() % 300;
    wire_[end_++] = 3;
    wire_[end_++] = static_cast<std::uint8_t>('a' + n / 26);
    wire_[end_++] = static_cast<std::uint8_t>('a' + n % 26);
    wire_[end_++] = 'x';
    wire_[end_++] = 0;
  }
  void read(Name& name) { shunt::dns::read_name({wire_.data(), end_}, name); }

  std::mt19937_64 random_;
  std::array<std::uint8_t, 64> wire_{};
  std::size_t end_ = 0;
};

struct Fixture {
  std::unique_ptr<const RuleSet> set;
  std::vector<std::array<std::uint8_t, 48>> queries;
  double octets_per_rule = 0, name_octets = 0;
};

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

const Fixture& fixture(std::size_t rules) {
  static std::size_t built = 0;
  static Fixture f;
  if (built == rules) return f;
  f = {};
  f.set = build(rules);
  double name_octets = 0;
  std::vector<std::array<std::uint8_t, 48>> wires(f.set->size());
  for (RuleIndex i = 0; i < f.set->size(); ++i) {
    const auto wire = f.set->name(i);
    std::copy(wire.begin(), wire.end(), wires[i].begin());
    name_octets += static_cast<double>(wire.size());
  }
  f.name_octets = name_octets / static_cast<double>(f.set->size());
  f.octets_per_rule = static_cast<double>(f.set->memory_octets()) / static_cast<double>(f.set->size());
  Names names(2);
  f.queries.resize(kQueries);
  for (auto& query : f.queries)
    names.query(wires, query);
  built = rules;
  return f;
}

void report(benchmark::State& state, const Fixture& f) {
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kBurst));
  state.counters["ns/name"] = benchmark::Counter(static_cast<double>(state.iterations()) * kBurst / 1e9,
                                                 benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
  state.counters["octets/rule"] = f.octets_per_rule;
  state.counters["of name"] = f.name_octets;
}

struct Burst {
  std::array<Name, kBurst> names;
  std::array<const Name*, kBurst> pointers;
  std::vector<std::uint64_t> hashes = std::vector<std::uint64_t>((shunt::dns::kMaxLabels + 1) * kBurst);
  std::size_t next = 0;

  Burst() {
    for (unsigned i = 0; i < kBurst; ++i)
      pointers[i] = &names[i];
  }
  void fill(const Fixture& f) {
    for (unsigned i = 0; i < kBurst; ++i) {
      shunt::dns::read_name(f.queries[next + i], names[i]);
      shunt::dns::hash_suffixes(kKey, names[i], &hashes[i], kBurst);
    }
    next = (next + kBurst) % kQueries;
  }
};

/// Reading, lower-casing and hashing alone: what the next two contain.
void hash_only(benchmark::State& state) {
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  Burst burst;
  for (auto _ : state) {
    burst.fill(f);
    benchmark::DoNotOptimize(burst.hashes.data());
    benchmark::ClobberMemory();
  }
  report(state, f);
}

void lookup_burst(benchmark::State& state) {
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  Burst burst;
  std::array<Match, kBurst> best;
  for (auto _ : state) {
    burst.fill(f);
    best.fill({});
    f.set->find_burst(kBurst, burst.pointers.data(), burst.hashes.data(), 0, best.data());
    benchmark::DoNotOptimize(best);
  }
  report(state, f);
}

void lookup_scalar(benchmark::State& state) {
  const Fixture& f = fixture(static_cast<std::size_t>(state.range(0)));
  Burst burst;
  for (auto _ : state) {
    burst.fill(f);
    for (unsigned i = 0; i < kBurst; ++i) {
      Match match = f.set->find(burst.names[i], &burst.hashes[i], kBurst);
      benchmark::DoNotOptimize(match);
    }
  }
  report(state, f);
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
  for (const std::int64_t rules : {4, 1000, 100'000, 1'000'000, 10'000'000}) {
    benchmark::RegisterBenchmark("rules/hash_only", hash_only)->Arg(rules);
    benchmark::RegisterBenchmark("rules/burst", lookup_burst)->Arg(rules);
    benchmark::RegisterBenchmark("rules/scalar", lookup_scalar)->Arg(rules);
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
