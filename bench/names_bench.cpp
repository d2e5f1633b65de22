// A name's way from the packet to its hashes in two parts, each beside others: lower-casing, and the chain of
// hashes over its labels. Names differ in length and labels, too many for the branch predictor to learn.
//
// Lower-casing: sixteen octets at a time, as dns::lower_case does it on every x86-64, against octet by octet,
// and 32 and 64 at a time. A name is two steps of sixteen: wider ones save next to nothing. Hashing: ours
// (wyhash's multiplication, seeded) against CRC32C, SipHash-1-3 and AES rounds, and is the fastest of them;
// anybody can make names that collide under CRC32C.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <unordered_set>
#include <vector>

#include "bench/alternatives/name_hashes.h"
#include "bench/support.h"
#include "dataplane/dns/name.h"

namespace {

using namespace shunt;
using namespace shunt::bench;
using dns::Name;

constexpr std::size_t kNames = 4096;
using Buffer = std::array<std::uint8_t, dns::kNameBuffer>;

struct Wire {
  Buffer octets{};
  std::size_t length = 0;
};

/// Two to five labels of letters and digits in mixed case, 8 to 60 octets.
std::vector<Wire> make_names() {
  std::mt19937 random(1);
  static constexpr char kLetters[] = "abcdefghijklmnopqrstuvwxyz0123456789-ABCDEFGHIJKLM";
  std::vector<Wire> names(kNames);
  for (Wire& name : names) {
    for (unsigned labels = 2 + random() % 4; labels > 0; --labels) {
      const unsigned length = labels == 1 ? 2 + random() % 2 : 1 + random() % 15;
      name.octets[name.length++] = static_cast<std::uint8_t>(length);
      for (unsigned i = 0; i < length; ++i)
        name.octets[name.length++] = static_cast<std::uint8_t>(kLetters[random() % (sizeof kLetters - 1)]);
    }
    ++name.length;
  }
  return names;
}

bool always() {
  return true;
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") != 0;
}
bool has_avx512() {
  return __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("bmi2") != 0;
}
bool has_aes() {
  return __builtin_cpu_supports("aes") != 0;
}

using Lower = void (*)(const std::uint8_t* from, std::uint8_t* to, std::size_t length);

template <Lower kLower, bool (*kCan)()>
void lower(benchmark::State& state) {
  if (!kCan()) {
    state.SkipWithError("this processor can't");
    return;
  }
  const std::vector<Wire> names = make_names();
  Buffer out{}, expected{};
  for (const Wire& name : names) {
    lower_bytewise(name.octets.data(), expected.data(), name.length);
    kLower(name.octets.data(), out.data(), name.length);
    require(std::equal(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(name.length), expected.begin()),
            "lower-casing");
  }
  for (auto _ : state) {
    for (const Wire& name : names) {
      kLower(name.octets.data(), out.data(), name.length);
      benchmark::ClobberMemory();
    }
  }
  state.counters["each"] = time_each(state, kNames);
}
BENCHMARK(lower<dns::lower_case, always>);
BENCHMARK(lower<lower_bytewise, always>);
BENCHMARK(lower<lower_avx2, has_avx2>);
BENCHMARK(lower<lower_avx512, has_avx512>);

template <typename Hash>
void hash_chain(const Name& name, std::uint64_t* into) {
  std::uint64_t hash = Hash::root();
  *into = hash;
  for (unsigned i = name.labels; i-- > 0;) {
    hash = Hash::extend(hash, &name.wire[name.offset[i]]);
    *++into = hash;
  }
}

std::vector<Name> read_names() {
  std::vector<Name> names(kNames);
  std::size_t i = 0;
  for (const Wire& wire : make_names())
    require(dns::read_name({wire.octets.data(), wire.length}, names[i++]) == wire.length, "read_name");
  return names;
}

/// Names one after the other, whose chains the processor overlaps as far as it can see.
template <typename Hash, bool (*kCan)()>
void hash(benchmark::State& state) {
  if (!kCan()) {
    state.SkipWithError("this processor can't");
    return;
  }
  const std::vector<Name> names = read_names();
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
  std::unordered_set<std::uint64_t> distinct;
  std::unordered_set<std::string> suffixes;
  for (const Name& name : names) {
    hash_chain<Hash>(name, hashes.data());
    for (unsigned d = 0; d <= name.labels; ++d) {
      distinct.insert(hashes[d]);
      const auto suffix = name.octets().subspan(name.offset[name.labels - d]);
      suffixes.emplace(suffix.begin(), suffix.end());
    }
  }
  require(distinct.size() == suffixes.size(), "two suffixes have one hash, or one has two");
  for (auto _ : state) {
    for (const Name& name : names) {
      hash_chain<Hash>(name, hashes.data());
      benchmark::DoNotOptimize(hashes[name.labels]);
    }
  }
  state.counters["each"] = time_each(state, kNames);
}
BENCHMARK(hash<OurHash, always>);
BENCHMARK(hash<Crc32c, always>);
BENCHMARK(hash<SipHash, always>);
BENCHMARK(hash<AesHash, has_aes>);

/// Both parts and the walk over the labels, as the parser calls them.
void read_and_hash(benchmark::State& state) {
  const std::vector<Wire> wires = make_names();
  Name name;
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
  for (auto _ : state) {
    for (const Wire& wire : wires) {
      dns::read_name({wire.octets.data(), wire.length + 4}, name);
      dns::hash_suffixes({}, name, hashes.data());
      benchmark::DoNotOptimize(hashes[name.labels]);
    }
  }
  state.counters["each"] = time_each(state, kNames);
}
BENCHMARK(read_and_hash);

}  // namespace
