#include "bench/worker_world.h"

#include <pthread.h>
#include <rte_lcore.h>

#include <barrier>
#include <chrono>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "dataplane/dns/name.h"
#include "dataplane/eal.h"
#include "dataplane/rules/trie_builder.h"

namespace shunt {
namespace {

constexpr std::size_t kCacheOctets = std::size_t{160} << 20;
constexpr std::uint32_t kPendingSlots = 65536;

std::shared_ptr<const rules::RuleSet> make_rules(const dns::HashKey& key) {
  rules::RuleSetBuilder builder(key);
  const auto add = [&builder](const std::string& name, rules::Action action) {
    const auto added = builder.add(dns::parse_name(name).value(), rules::Cover::kSuffix, action, 0, 0);
    require(added == rules::RuleSetBuilder::Added::kNew, "a rule isn't taken");
  };
  add("example.com", rules::Action::kForward);
  for (unsigned i = 0; i < 1000; ++i)
    add("r" + std::to_string(i) + ".filler.example", rules::Action::kBlockNxdomain);
  add("blocked.example", rules::Action::kBlockNxdomain);
  add("forwarded.example", rules::Action::kForward);
  return builder.build();
}

// Every rule has figures of its own, as they have where they are not too many; the first has number 1.
std::shared_ptr<const state::CountedRules> count_rules(const rules::RuleSet& set) {
  std::vector<rules::FigureTable::Row> rows;
  for (const rules::RuleIndex i : set.rules())
    rows.push_back({&set, i, static_cast<FigureNumber>(rows.size() + 1)});
  auto counted = std::make_shared<state::CountedRules>();
  counted->table = rules::FigureTable(rows);
  return counted;
}

state::View make_view(const dns::HashKey& key) {
  auto s = std::make_shared<state::Snapshot>();
  s->generation = 1;
  const std::pair<Prefix, std::uint32_t> clients[] = {{*Prefix::parse("10.1.0.0/16"), 0}};
  s->clients = net::PrefixTable(clients);
  const std::pair<Prefix, std::uint32_t> allowed[] = {{*Prefix::parse("10.0.0.0/8"), 1}};
  state::Endpoint endpoint;
  endpoint.allow = net::PrefixTable(allowed);
  s->endpoints.push_back(std::move(endpoint));
  const IpAddress outbound = *IpAddress::parse("10.0.0.2");
  const net::LocalAddress local[] = {{*IpAddress::parse("10.0.0.1"), 0, false},
                                     {outbound, net::LocalAddress::kNoEndpoint, true}};
  s->local.emplace_back(local);
  const auto set = make_rules(key);
  s->keep.push_back(set);
  state::Network network;
  network.rules.add(*set);
  network.routing = 1;
  s->networks.push_back(network);
  state::Upstream upstream;
  upstream.origin = 1;
  upstream.exists = true;
  upstream.max_ttl = 0;  // what it answers is never cached; the names of cached() are stored by hand
  const SocketAddress target{*IpAddress::parse("10.2.0.1"), kDnsPort};
  upstream.targets.push_back({target, 0, 0, 1});
  s->paths.push_back({outbound, target});
  s->upstreams.push_back(std::move(upstream));
  state::View view;
  view.adjacencies.push_back(net::make_adjacency(outbound, target, kPortMac, {{2, 0, 0, 0, 0, 8}}, 0, 0));
  view.adjacencies.back().usable = true;
  view.snapshot = std::move(s);
  view.counted = count_rules(*set);
  return view;
}

void pin(unsigned core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  require(pthread_setaffinity_np(pthread_self(), sizeof set, &set) == 0, "a core can't be had");
}

std::string name_of(std::size_t i, const std::string& domain) {
  return "n" + std::to_string(i) + "." + domain;
}

}  // namespace

double seconds_on(unsigned core, unsigned count, const std::function<void(unsigned)>& work) {
  std::barrier start(count), end(count);
  std::vector<double> took(count);
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      pin(core + i);
      rte_thread_register();
      start.arrive_and_wait();
      const auto began = std::chrono::steady_clock::now();
      work(i);
      took[i] = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
      end.arrive_and_wait();
      rte_thread_unregister();
    });
  }
  for (std::thread& t : threads)
    t.join();
  return std::accumulate(took.begin(), took.end(), 0.0) / count;
}

WorkerWorld::WorkerWorld() {
  owners_ = std::make_unique<state::PortOwners>(kWorkers);
  health_ = std::make_unique<state::TargetHealth[]>(kMaxTargets);
  loops_ = std::make_unique<state::TargetLoops[]>(kMaxTargets);
  pool_ = make_packet_pool(16384).value();
  view_ = make_view(key_);
  published_.view.store(&view_);
  for (unsigned i = 0; i < kWorkers; ++i)
    add_worker(i);
}

// An index that has grown with a million names would make each look dearer.
void WorkerWorld::flush_caches() {
  for (auto& worker : workers_)
    worker->context().cache.flush();
}

void WorkerWorld::ask_cached(std::size_t count) {
  flush_caches();
  for (auto& worker : workers_) {
    state::Cache& cache = worker->context().cache;
    for (std::size_t i = 0; i < count; ++i)
      store(cache, name_of(i, "example.com"));
    require(cache.entries() > count - count / 100, "the names don't fit the cache");
  }
  draw(count, "example.com");
}

void WorkerWorld::ask_forwarded() {
  flush_caches();
  draw(100000, "forwarded.example");
}

void WorkerWorld::ask_blocked() {
  flush_caches();
  draw(100000, "blocked.example");
}

double WorkerWorld::run(unsigned first, unsigned count, std::size_t bursts) {
  return seconds_on(first, count, [this, first, bursts](unsigned i) {
    for (std::size_t n = 0; n < bursts; ++n)
      workers_[first + i]->turn({1'000'000 + n});
  });
}

std::uint64_t WorkerWorld::count(Counter counter) {
  std::uint64_t sum = 0;
  for (const auto& worker : workers_)
    sum += worker->context().stats[counter];
  return sum;
}

StageCycles WorkerWorld::stage_cycles() {
  StageCycles sum{};
  for (const auto& worker : workers_) {
    for (std::size_t i = 0; i < kStages; ++i)
      sum[i] += worker->context().stats.stages[i].cycles;
  }
  return sum;
}

void WorkerWorld::add_worker(unsigned i) {
  rings_.push_back(Rings::create(i).value());
  WorkerOptions w;
  w.context.worker = i;
  w.context.hash_key = key_;
  w.context.cache_memory = take_memory("cache", kCacheOctets).value();
  w.context.pending_memory = take_memory("pending", state::Pending::memory_octets(kPendingSlots)).value();
  w.context.pending_slots = kPendingSlots;
  w.context.owners = owners_.get();
  w.context.health = health_.get();
  w.context.loops = loops_.get();
  w.context.pool = pool_;
  w.context.rings = rings_[i];
  w.context.handovers.assign(kWorkers, nullptr);
  WorkerPort port;
  port.ethdev = ports_.emplace_back(std::make_unique<SyntheticPort>(i, pool_))->ethdev();
  port.rules.mac = kPortMac;
  w.ports = {port};
  w.published = &published_;
  workers_.push_back(std::make_unique<Worker>(w));
}

// What an upstream's answer with one address leaves in the cache.
void WorkerWorld::store(state::Cache& cache, const std::string& text) const {
  const dns::Name name = dns::parse_name(text).value();
  std::array<std::uint8_t, 512> m{};
  dns::store_header(m.data(), {0, dns::kQr | dns::kRd | dns::kRa, 1, 1, 0, 0});
  std::memcpy(&m[dns::kHeaderSize], name.wire.data(), name.length);
  std::size_t at = dns::kHeaderSize + name.length;
  store_be16(&m[at], 1), store_be16(&m[at + 2], dns::kClassIn);
  at += 4;
  store_be16(&m[at], 0xc00c), store_be16(&m[at + 2], 1), store_be16(&m[at + 4], dns::kClassIn);
  store_be32(&m[at + 6], 3600), store_be16(&m[at + 10], 4);
  at += 16;
  dns::Reply reply;
  dns::Name read;
  const std::span<const std::uint8_t> message(m.data(), at);
  require(dns::parse_reply(message, reply, read) == dns::ReplyVerdict::kGood, "the answer is malformed");
  const std::uint8_t flags = 1;  // RD
  const std::uint64_t hash = state::cache_hash(dns::hash_name(key_, name.wire.data(), name.length), 1, flags);
  cache.insert({name.wire.data(), hash, 1, 1, 1, flags, name.length, 1}, message, reply, 0, 3600, 86400,
               false);
}

void WorkerWorld::draw(std::size_t count, const std::string& domain) {
  std::mt19937_64 random(1);
  for (auto& port : ports_) {
    std::vector<Frame> frames;
    for (std::size_t i = 0; i < SyntheticPort::kFrames; ++i)
      frames.push_back(make_frame(name_of(random() % count, domain), static_cast<std::uint32_t>(i % 4096)));
    port->ask(std::move(frames));
  }
}

}  // namespace shunt
