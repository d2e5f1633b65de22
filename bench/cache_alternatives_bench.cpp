// Hits of a burst of 32 in state::Cache, from hashed question to copied body, beside other tables: rte_hash
// with its bulk lookup, std::unordered_map, and a direct-mapped table, in which later answers overwrite
// earlier ones: a floor rather than a cache. Bodies are copied as they are, by all of them.
//
// state::Cache alone ages, evicts, compares keys of any length, and keeps answers of any size next to their
// questions. A hit there is two loads that were asked for in time, the bucket, then the entry with name and
// body: ten nanoseconds more than in the direct-mapped table, and at a million names half of rte_hash's,
// which loads bucket, key and record one after the other. While all fits the processor's caches, rte_hash is
// as fast. Ours also copies the name as the parser would; the others are given keys that are ready to
// compare.
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "bench/alternatives/answer_stores.h"
#include "bench/support.h"
#include "dataplane/base/bytes.h"
#include "dataplane/state/cache.h"

namespace {

using namespace shunt;
using namespace shunt::bench;
using namespace shunt::state;

constexpr std::size_t kQuestions = std::size_t{1} << 18;  // drawn beforehand, read in passing
constexpr std::size_t kNameStart = dns::kHeaderSize;

QuestionRecord question(std::uint64_t i, std::uint64_t& hash) {
  const dns::Name name = dns::parse_name("host" + std::to_string(i) + ".onprem.corp").value();
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
  dns::hash_suffixes(dns::HashKey{}, name, hashes.data());
  QuestionRecord q;
  q.length = name.length;
  std::memcpy(q.name.data(), name.wire.data(), name.length);
  hash = cache_hash(hashes[name.labels], q.type, q.flags);
  return q;
}

/// One address record, made from the name so that each body is another, and an OPT.
std::vector<std::uint8_t> message(const QuestionRecord& q, std::uint64_t hash) {
  std::vector<std::uint8_t> wire;
  wire.reserve(128);
  const auto put = [&wire](std::span<const std::uint8_t> octets) {
    wire.insert(wire.end(), octets.begin(), octets.end());
  };
  put(std::array<std::uint8_t, 12>{0, 0, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 1});
  put(std::span(q.name).first(q.length));
  put(std::array<std::uint8_t, 16>{0, 1, 0, 1, 0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0x0e, 0x10, 0, 4});
  std::array<std::uint8_t, 4> address;
  std::memcpy(address.data(), &hash, address.size());
  put(address);
  put(std::array<std::uint8_t, 11>{0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0});
  return wire;
}
/// The sections behind the question, without the OPT.
std::span<const std::uint8_t> body_of(std::span<const std::uint8_t> message, const QuestionRecord& q) {
  return message.subspan(kNameStart + q.length + 4, 16);
}

class Ours {
 public:
  explicit Ours(std::size_t answers) : memory_(answers * 160 + (8 << 20)), cache_(memory_.octets()) {}

  void insert(const QuestionRecord& q, std::uint64_t hash, std::span<const std::uint8_t> wire) {
    require(dns::parse_reply(wire, reply_, name_) == dns::ReplyVerdict::kGood, "parse_reply");
    require(cache_.insert(key_of(q, hash, name_), wire, reply_, 0, 3600, 86400, false), "insert");
  }
  template <typename Take>
  void look_up(std::span<const QuestionRecord, kBurst> questions, const std::uint64_t* hashes, Take take) {
    for (unsigned i = 0; i < kBurst; ++i)
      cache_.prefetch_bucket(hashes[i]);
    for (unsigned i = 0; i < kBurst; ++i)
      cache_.prefetch_entry(hashes[i]);
    for (unsigned i = 0; i < kBurst; ++i) {
      CacheHit hit;
      if (cache_.find(key_of(questions[i], hashes[i], names_[i]), 1, hit))
        take(i, std::span(hit.body, hit.body_length));
    }
  }
  double memory_octets() const { return static_cast<double>(memory_.octets().size()); }

 private:
  /// What the parser leaves: the name in a buffer of its own.
  static CacheKey key_of(const QuestionRecord& q, std::uint64_t hash, dns::Name& name) {
    name.length = q.length;
    std::memcpy(name.wire.data(), q.name.data(), q.name.size());
    return {name.wire.data(), hash, q.origin, 1, q.type, q.flags, name.length};
  }
  HugeMemory memory_;
  Cache cache_;
  dns::Reply reply_;
  dns::Name name_;
  std::array<dns::Name, kBurst> names_;
};

template <typename Store>
void fill(Store& store, std::uint64_t names) {
  for (std::uint64_t i = 0; i < names; ++i) {
    std::uint64_t hash = 0;
    const QuestionRecord q = question(i, hash);
    const std::vector<std::uint8_t> wire = message(q, hash);
    store.insert(q, hash, std::is_same_v<Store, Ours> ? std::span(wire) : body_of(wire, q));
  }
}

struct alignas(kCacheLine) Output {
  std::array<std::uint8_t, 2048 + 3 * 128> octets;
};

template <typename Store>
void hit_burst(benchmark::State& state) {
  const auto names = static_cast<std::uint64_t>(state.range(0));
  Store store(names);
  fill(store, names);
  std::vector<QuestionRecord> questions(kQuestions);
  std::vector<std::uint64_t> hashes(kQuestions);
  std::mt19937_64 random(1);
  for (std::size_t i = 0; i < kQuestions; ++i)
    questions[i] = question(random() % names, hashes[i]);
  std::vector<Output> outputs(kBurst);

  std::size_t at = 0, hits = 0;
  const auto burst = [&](auto take) {
    store.look_up(std::span(questions).subspan(at).template first<kBurst>(), &hashes[at], take);
    at = (at + kBurst) % kQuestions;
  };
  for (unsigned i = 0; i < 64; ++i) {
    const std::size_t first = at;
    burst([&](unsigned k, std::span<const std::uint8_t> body) {
      const std::vector<std::uint8_t> wire = message(questions[first + k], hashes[first + k]);
      require(std::ranges::equal(body, body_of(wire, questions[first + k])), "another name's answer");
      ++hits;
    });
  }
  require(hits > 64 * kBurst * 3 / 4, "answers are not found");
  hits = 0;
  for (auto _ : state) {
    burst([&](unsigned i, std::span<const std::uint8_t> body) {
      std::memcpy(outputs[i].octets.data(), body.data(), body.size());
      ++hits;
    });
    benchmark::ClobberMemory();
  }
  state.counters["each"] = time_each(state, kBurst);
  state.counters["hits"] = static_cast<double>(hits) / (static_cast<double>(state.iterations()) * kBurst);
  state.counters["octets/answer"] = store.memory_octets() / static_cast<double>(names);
}

void names(benchmark::internal::Benchmark* b) {
  b->Arg(1000)->Arg(100'000)->Arg(1'000'000);
}
BENCHMARK(hit_burst<Ours>)->Apply(names);
BENCHMARK(hit_burst<DirectStore>)->Apply(names);
BENCHMARK(hit_burst<RteHashStore>)->Apply(names);
BENCHMARK(hit_burst<MapStore>)->Apply(names);

}  // namespace
