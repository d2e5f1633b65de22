// Queries in flight: the life of one (opened, sent, found by its answer's port and id, closed) while so many
// others wait, the finding alone, and answers that nobody waits for, as a forger sends.
//
// Beside state::Pending: the same slots found through rte_hash, through std::unordered_map, and through a
// table like Pending's own whose buckets hold the pair themselves and which may be asked for 32 at once.
// Pending's way is chosen: a bucket that only one pair may take needs no chain, no second bucket and no
// allocation, and a query's life costs a third of rte_hash's. Lives don't use the index of questions, which
// only Pending has. The table with pairs beside the values shows what is still to be had: a forged answer
// never touches a slot, and an answer's slot needn't be waited for when a burst's are asked for together.
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "bench/alternatives/pair_index.h"
#include "bench/support.h"
#include "dataplane/state/pending.h"

namespace {

using namespace shunt;
using namespace shunt::bench;
using namespace shunt::state;

constexpr std::uint32_t kSlots = 65536;  // as the configuration has it unless told otherwise
constexpr std::uint16_t kFirstPort = 1024, kLastPort = 65535;

struct Pair {
  std::uint16_t port, id;
};

/// Pending's part that is measured here, with another index.
template <typename Index>
class Indexed {
 public:
  Indexed()
      : memory_(kSlots * sizeof(Slot)),
        slots_(reinterpret_cast<Slot*>(memory_.octets().data())),
        index_(kSlots),
        owners_(std::make_unique<PortOwners>(1)),
        ports_(*owners_, 0),
        random_(Random::Seed{1}) {
    for (std::uint32_t i = kSlots; i-- > 0;)
      free_.push_back(i);
  }
  Slot* open(const QuestionKey& key, bool) {
    Slot& s = slots_[free_.back()];
    free_.pop_back();
    s = {.waiting = Waiting::kForControl,
         .flags = key.flags,
         .name_length = key.name->length,
         .type = key.type,
         .klass = key.klass,
         .serial = s.serial + 1,
         .upstream = key.upstream,
         .origin = key.origin,
         .hash = key.hash};
    std::memcpy(s.name.data(), key.name->wire.data(), s.name_length);
    return &s;
  }
  Try* begin_try(Slot& slot, std::uint16_t first, std::uint16_t last) {
    for (;;) {
      const std::uint16_t port = ports_.draw(random_, first, last);
      const auto id = static_cast<std::uint16_t>(random_.next32());
      if (!index_.insert(pair_of(port, id), static_cast<std::uint32_t>(&slot - slots_))) continue;
      Try& t = slot.attempt[slot.tries++];
      t.port = port;
      t.id = id;
      return &t;
    }
  }
  Slot* find(std::uint16_t port, std::uint16_t id, unsigned& which) {
    const std::uint32_t slot = index_.find(pair_of(port, id));
    which = 0;
    return slot == kNothing ? nullptr : &slots_[slot];
  }
  void close(Slot& slot) {
    index_.erase(pair_of(slot.attempt[0].port, slot.attempt[0].id));
    slot.waiting = Waiting::kFree;
    free_.push_back(static_cast<std::uint32_t>(&slot - slots_));
  }
  const Index& index() const { return index_; }
  Slot* slot(std::uint32_t i) { return &slots_[i]; }

 private:
  HugeMemory memory_;
  Slot* slots_;
  Index index_;
  std::unique_ptr<PortOwners> owners_;
  SourcePorts ports_;
  Random random_;
  std::vector<std::uint32_t> free_;
};

/// The real one, with what it is given at start.
class Ours {
 public:
  Ours()
      : memory_(Pending::memory_octets(kSlots)),
        owners_(std::make_unique<PortOwners>(1)),
        random_(Random::Seed{1}),
        pending_(memory_.octets(), kSlots, SourcePorts(*owners_, 0), random_) {}
  Slot* open(const QuestionKey& key, bool shared) { return pending_.open(key, shared); }
  Try* begin_try(Slot& slot, std::uint16_t first, std::uint16_t last) {
    return pending_.begin_try(slot, first, last);
  }
  Slot* find(std::uint16_t port, std::uint16_t id, unsigned& which) {
    return pending_.find(pending_.prefetch_pair(port, id), port, id, which);
  }
  void close(Slot& slot) { pending_.close(slot); }

 private:
  HugeMemory memory_;
  std::unique_ptr<PortOwners> owners_;
  Random random_;
  Pending pending_;
};

/// A table with range(0) queries in flight.
template <typename Table>
struct Filled {
  explicit Filled(const benchmark::State& state) : name(dns::parse_name("host1234.onprem.corp").value()) {
    const auto waiting = static_cast<std::size_t>(state.range(0));
    for (std::size_t i = 0; i < waiting; ++i)
      pairs.push_back(open());
    for (const Pair& p : pairs) {
      unsigned which = 0;
      const Slot* const slot = table.find(p.port, p.id, which);
      require(slot != nullptr && slot->attempt[which].port == p.port && slot->attempt[which].id == p.id,
              "a pending query is not found");
    }
  }
  Pair open() {
    Slot* const slot = table.open({&name, ++opened, 1, 1, 1, 1, 1}, false);
    require(slot != nullptr, "no slot");
    const Try* const t = table.begin_try(*slot, kFirstPort, kLastPort);
    require(t != nullptr, "no pair");
    return {t->port, t->id};
  }
  bool waits(Pair p) {
    unsigned which = 0;
    const Slot* const slot = table.find(p.port, p.id, which);
    return slot != nullptr && slot->attempt[which].port == p.port && slot->attempt[which].id == p.id;
  }

  Table table;
  dns::Name name;
  std::uint64_t opened = 0;
  std::vector<Pair> pairs;
};

/// The oldest gets its answer, and a new one is sent.
template <typename Table>
void life(benchmark::State& state) {
  Filled<Table> f(state);
  std::size_t oldest = 0;
  for (auto _ : state) {
    Pair& p = f.pairs[oldest];
    unsigned which = 0;
    f.table.close(*f.table.find(p.port, p.id, which));
    p = f.open();
    if (++oldest == f.pairs.size()) oldest = 0;
  }
  state.counters["each"] = time_each(state, 1);
}

/// Pairs in the order that answers come in, of which none is a neighbour of the one before; forged: pairs
/// that nobody waits for.
template <typename Table>
std::vector<Pair> asked(Filled<Table>& f, bool forged) {
  std::mt19937_64 random(1);
  std::vector<Pair> pairs;
  while (pairs.size() < kSlots) {
    Pair p = f.pairs[random() % f.pairs.size()];
    if (forged) {
      p = {static_cast<std::uint16_t>(kFirstPort + random() % (65536u - kFirstPort)),
           static_cast<std::uint16_t>(random())};
      if (f.waits(p)) continue;
    }
    pairs.push_back(p);
  }
  return pairs;
}

/// In bursts, as a worker gets them; each slot found is looked at. The processor overlaps lookups that follow
/// each other at once, which those of a worker don't: hence kAlone, where each waits for the one before.
enum Asking { kFollowing, kAlone, kForged };

template <typename Table, Asking kHow>
void find(benchmark::State& state) {
  Filled<Table> f(state);
  const std::vector<Pair> pairs = asked(f, kHow == kForged);
  std::size_t at = 0;
  std::uint64_t found = 0;
  for (auto _ : state) {
    std::uint32_t never = 0;
    for (unsigned i = 0; i < kBurst; ++i) {
      const Pair p = pairs[at + i + never];
      unsigned which = 0;
      const Slot* const slot = f.table.find(p.port, p.id, which);
      found += slot != nullptr && slot->attempt[which].id == p.id;
      if (kHow == kAlone) never = slot->serial >> 31;
    }
    at = (at + kBurst) % pairs.size();
  }
  require(found == (kHow == kForged ? 0u : static_cast<std::uint64_t>(state.iterations()) * kBurst),
          "answers found");
  state.counters["each"] = time_each(state, kBurst);
}

template <typename Index, Asking kHow>
void find_bulk(benchmark::State& state) {
  Filled<Indexed<Index>> f(state);
  std::vector<std::uint32_t> pairs;
  for (const Pair& p : asked(f, kHow == kForged))
    pairs.push_back(pair_of(p.port, p.id));
  std::size_t at = 0;
  std::uint64_t found = 0;
  std::array<std::uint32_t, kBurst> slots;
  for (auto _ : state) {
    f.table.index().find_bulk(&pairs[at], kBurst, slots.data());
    for (const std::uint32_t slot : slots)
      if (slot != kNothing) prefetch(&f.table.slot(slot)->attempt[0]);
    for (unsigned i = 0; i < kBurst; ++i) {
      const std::uint32_t slot = slots[i];
      found += slot != kNothing && f.table.slot(slot)->attempt[0].id == (pairs[at + i] & 0xffff);
    }
    at = (at + kBurst) % pairs.size();
  }
  require(found == (kHow == kForged ? 0u : static_cast<std::uint64_t>(state.iterations()) * kBurst),
          "answers found");
  state.counters["each"] = time_each(state, kBurst);
}

void waiting(benchmark::internal::Benchmark* b) {
  b->Arg(1000)->Arg(32000);
}
BENCHMARK(life<Ours>)->Apply(waiting);
BENCHMARK(life<Indexed<BucketIndex>>)->Apply(waiting);
BENCHMARK(life<Indexed<RteHashIndex>>)->Apply(waiting);
BENCHMARK(life<Indexed<MapIndex>>)->Apply(waiting);

BENCHMARK(find<Ours, kFollowing>)->Apply(waiting);
BENCHMARK(find<Indexed<BucketIndex>, kFollowing>)->Apply(waiting);
BENCHMARK(find<Indexed<RteHashIndex>, kFollowing>)->Apply(waiting);
BENCHMARK(find<Indexed<MapIndex>, kFollowing>)->Apply(waiting);
BENCHMARK(find_bulk<BucketIndex, kFollowing>)->Apply(waiting);
BENCHMARK(find_bulk<RteHashIndex, kFollowing>)->Apply(waiting);

BENCHMARK(find<Ours, kAlone>)->Apply(waiting);
BENCHMARK(find<Indexed<BucketIndex>, kAlone>)->Apply(waiting);
BENCHMARK(find<Indexed<RteHashIndex>, kAlone>)->Apply(waiting);
BENCHMARK(find<Indexed<MapIndex>, kAlone>)->Apply(waiting);

BENCHMARK(find<Ours, kForged>)->Apply(waiting);
BENCHMARK(find<Indexed<BucketIndex>, kForged>)->Apply(waiting);
BENCHMARK(find<Indexed<RteHashIndex>, kForged>)->Apply(waiting);
BENCHMARK(find<Indexed<MapIndex>, kForged>)->Apply(waiting);
BENCHMARK(find_bulk<BucketIndex, kForged>)->Apply(waiting);
BENCHMARK(find_bulk<RteHashIndex, kForged>)->Apply(waiting);

}  // namespace
