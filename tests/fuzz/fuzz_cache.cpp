// A script of insertions, lookups, flushes and passing time on a small cache, checked against a plain map:
// what is found is what was stored last and has not expired. Some of the answers stored are the fuzzer's own
// octets.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "dataplane/net/checksum.h"
#include "dataplane/state/cache.h"
#include "tests/fuzz/require.h"

namespace {

using namespace shunt;
using namespace shunt::state;
using shunt::testing::require;
using Octets = std::vector<std::uint8_t>;

class Script {
 public:
  explicit Script(std::span<const std::uint8_t> octets) : octets_(octets) {}
  bool over() const { return octets_.empty(); }
  std::uint8_t next() {
    if (over()) return 0;
    const std::uint8_t octet = octets_.front();
    octets_ = octets_.subspan(1);
    return octet;
  }
  std::span<const std::uint8_t> take(std::size_t length) {
    const auto taken = octets_.first(std::min(length, octets_.size()));
    octets_ = octets_.subspan(taken.size());
    return taken;
  }

 private:
  std::span<const std::uint8_t> octets_;
};

void put16(Octets& to, std::size_t value) {
  to.push_back(static_cast<std::uint8_t>(value >> 8));
  to.push_back(static_cast<std::uint8_t>(value));
}

// An answer for one of 256 names, of up to three records with data of up to 255 octets.
Octets made_answer(std::uint8_t name, Script& script) {
  const unsigned records = script.next() % 4;
  Octets wire = {0, 0, 0x81, 0x80, 0, 1, 0, static_cast<std::uint8_t>(records), 0, 0, 0, 0};
  wire.insert(wire.end(), {1, name, static_cast<std::uint8_t>(name % 5 + 1)});
  wire.insert(wire.end(), name % 5 + 1u, 'x');
  wire.insert(wire.end(), {0, 0, 1, 0, 1});
  for (unsigned i = 0; i < records; ++i) {
    wire.insert(wire.end(), {0xc0, 0x0c, 0, 16, 0, 1, 0, 0, 0, script.next()});
    const auto data = script.take(script.next());
    put16(wire, data.size());
    wire.insert(wire.end(), data.begin(), data.end());
  }
  return wire;
}

class Replay {
 public:
  Replay(std::byte* memory, std::size_t size) : cache_({memory, size}) {}

  void insert(std::span<const std::uint8_t> wire, Script& script) {
    dns::Reply reply;
    dns::Name name;
    if (dns::parse_reply(wire, reply, name) != dns::ReplyVerdict::kGood) return;
    const Origin origin = script.next() % 3;
    const std::uint32_t seconds = script.next(), max_ttl = 1u + script.next();
    const bool raise = (script.next() & 1) != 0;
    const CacheKey key = key_of(name, reply.type, origin);
    if (!cache_.insert(key, wire, reply, now_, seconds, max_ttl, raise)) return;
    require(seconds != 0 && !reply.truncated());
    Expected expected{
        Octets(wire.begin() + reply.question_end, wire.begin() + reply.body_end), {}, now_, seconds};
    for (unsigned i = 0; i < reply.ttl_count; ++i) {
      const auto offset = static_cast<std::uint16_t>(reply.ttl_offset[i] - reply.question_end);
      std::uint32_t ttl = load_be32(&expected.body[offset]);
      ttl = std::min(ttl > 0x7fffffff ? 0 : ttl, max_ttl);
      if (raise) ttl = std::max(ttl, seconds);
      store_be32(&expected.body[offset], ttl);
      expected.seconds = std::min(expected.seconds, ttl);
      expected.ttls.push_back(offset);
    }
    known_[id_of(name, reply.type, origin)] = expected;
    find(name, reply.type, origin);
  }

  void find(const dns::Name& name, std::uint16_t type, Origin origin) {
    const CacheKey key = key_of(name, type, origin);
    cache_.prefetch_bucket(key.hash);
    const Cache::Place place = cache_.prefetch_entry(key.hash);
    CacheHit routed, hit;
    const bool found_routed = cache_.find_routed(key, place, now_, routed);
    if (!cache_.find(key, now_, hit)) return require(!found_routed);
    require(found_routed && routed.body == hit.body && routed.age == hit.age);
    const auto it = known_.find(id_of(name, type, origin));
    require(it != known_.end());
    Expected expected = it->second;
    const std::uint32_t age = now_ - expected.inserted;
    require(age < expected.seconds && age == hit.age);
    for (const std::uint16_t offset : expected.ttls) {
      require(load_be32(&expected.body[offset]) > age);
      store_be32(&expected.body[offset], load_be32(&expected.body[offset]) - age);
    }
    const auto body = std::make_unique<std::uint8_t[]>(hit.body_length);
    copy_aged(hit, body.get(), hit.body_length);
    require(std::ranges::equal(expected.body, std::span(body.get(), hit.body_length)));
    const std::uint16_t sum = net::fold(net::add_octets(0, body.get(), hit.body_length));
    require(sum % 0xffff == aged_sum(hit) % 0xffff);
  }

  void flush_all() {
    require(cache_.flush() <= known_.size());
    known_.clear();
  }
  void flush(const dns::Name& suffix) {
    cache_.flush(suffix);
    for (auto it = known_.begin(); it != known_.end();) {
      const Octets& name = std::get<0>(it->first);
      std::size_t at = 0;
      while (name.size() - at > suffix.length)
        at += name[at] + 1u;
      const bool below = std::ranges::equal(std::span(name).subspan(at), suffix.octets());
      it = below ? known_.erase(it) : std::next(it);
    }
  }
  void pass(std::uint32_t seconds) { now_ += seconds; }
  void check() const { require(cache_.consistent()); }

 private:
  struct Expected {
    Octets body;
    std::vector<std::uint16_t> ttls;
    std::uint32_t inserted, seconds;
  };
  using Id = std::tuple<Octets, std::uint16_t, Origin>;

  static CacheKey key_of(const dns::Name& name, std::uint16_t type, Origin origin) {
    // Few different hashes, so that buckets overflow.
    std::uint64_t hash = name.length;
    for (const std::uint8_t octet : name.octets())
      hash = hash * 31 + octet % 4;
    return {name.wire.data(), cache_hash(hash, type, 1), origin, origin, type, 1, name.length};
  }
  static Id id_of(const dns::Name& name, std::uint16_t type, Origin origin) {
    return {Octets(name.octets().begin(), name.octets().end()), type, origin};
  }

  Cache cache_;
  std::uint32_t now_ = 1;
  std::map<Id, Expected> known_;
};

void step(Replay& replay, Script& script) {
  const std::uint8_t what = script.next();
  const std::uint8_t number = script.next();
  Octets wire;
  dns::Name name;
  dns::Reply reply;
  switch (what % 8) {
    case 0:
      replay.pass(number);
      break;
    case 1:
      replay.insert(script.take(std::size_t{number} * 4), script);
      break;
    case 2:
      if (number == 0) replay.flush_all();
      if (number == 1 && dns::read_name(script.take(16), name) != 0) replay.flush(name);
      break;
    case 3:
      wire = made_answer(number, script);
      if (dns::parse_reply(wire, reply, name) == dns::ReplyVerdict::kGood)
        replay.find(name, 1, script.next() % 3);
      break;
    default:
      wire = made_answer(number, script);
      replay.insert(wire, script);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Script script({data, size});
  const std::size_t memory_size = 4096 + script.next() * 128u;
  void* memory = nullptr;
  if (posix_memalign(&memory, kCacheLine, memory_size) != 0) std::abort();
  const std::unique_ptr<void, void (*)(void*)> owner(memory, std::free);
  Replay replay(static_cast<std::byte*>(memory), memory_size);
  while (!script.over())
    step(replay, script);
  replay.check();
  return 0;
}
