// Whole workers without a link: what a cached and a blocked name cost from receive burst to transmit burst,
// and what a second worker adds. The port is DPDK's net_null, whose receive side a callback fills with
// queries drawn beforehand; its transmit side drops. One process, no generator, nothing between two workers
// but what they share in shuntd too: snapshot, packet pool, memory.
//
// Needs two cores for `workers:2`; takes huge pages where 512 MiB of them are free.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_lcore.h>

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "dataplane/base/prefetch.h"
#include "dataplane/dns/name.h"
#include "dataplane/eal.h"
#include "dataplane/net/checksum.h"
#include "dataplane/rules/trie_builder.h"
#include "dataplane/worker.h"

namespace shunt {
namespace {

constexpr unsigned kMaxWorkersHere = 2;
constexpr std::size_t kFrames = 1 << 17;
constexpr std::size_t kCacheOctets = std::size_t{160} << 20;
constexpr std::uint32_t kPendingSlots = 65536;
constexpr MacAddress kMac{{2, 0, 0, 0, 0, 1}};

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "worker_bench: %s\n", what);
  std::exit(1);
}

// A query in a frame of its own, in whole cache lines.
struct alignas(kCacheLine) Frame {
  static constexpr std::size_t kOctets = 124;
  std::uint32_t length = 0;
  std::array<std::uint8_t, kOctets> octets{};
};

Frame make_frame(const std::string& text, std::uint32_t client) {
  const dns::Name name = dns::parse_name(text).value();
  Frame f;
  std::uint8_t* const ip = f.octets.data() + 14;
  std::uint8_t* const udp = ip + 20;
  std::uint8_t* const message = udp + 8;
  const auto udp_length = static_cast<std::uint16_t>(8 + dns::kHeaderSize + name.length + 4);
  std::memcpy(f.octets.data(), kMac.octets.data(), 6);
  f.octets[6] = 2, f.octets[11] = 9;
  store_be16(ip - 2, 0x0800);
  store_be16(ip, 0x4500);
  store_be16(ip + 2, static_cast<std::uint16_t>(20 + udp_length));
  store_be16(ip + 8, 64 << 8 | 17);
  store_be32(ip + 12, 0x0a010000 + client);
  store_be32(ip + 16, 0x0a000001);
  const std::uint16_t ip_checksum = net::finish(net::add_octets(0, ip, 20));
  std::memcpy(ip + 10, &ip_checksum, 2);
  store_be16(udp, static_cast<std::uint16_t>(20000 + client % 1000));
  store_be16(udp + 2, kDnsPort);
  store_be16(udp + 4, udp_length);
  dns::store_header(message, {static_cast<std::uint16_t>(client * 7), dns::kRd, 1, 0, 0, 0});
  std::memcpy(message + dns::kHeaderSize, name.wire.data(), name.length);
  store_be16(udp + udp_length - 4, 1);
  store_be16(udp + udp_length - 2, dns::kClassIn);
  const net::Sum pseudo = net::word(17) + net::word(udp_length) + net::add_octets(0, ip + 12, 8);
  const std::uint16_t checksum = net::finish_udp(net::add_octets(pseudo, udp, udp_length));
  std::memcpy(udp + 6, &checksum, 2);
  f.length = 34u + udp_length;
  return f;
}

/// Turns a question of the worker's, in its frame, into an upstream's answer with one address. It has no UDP
/// checksum, which IPv4 allows: the worker is measured, not this.
void answer(Frame& f) {
  std::uint8_t* const ip = f.octets.data() + 14;
  std::uint8_t* const udp = ip + 20;
  std::uint8_t* const opt = f.octets.data() + f.length - dns::kOptSize;
  std::swap_ranges(f.octets.data(), f.octets.data() + 6, f.octets.data() + 6);
  std::swap_ranges(ip + 12, ip + 16, ip + 16);
  std::swap_ranges(udp, udp + 2, udp + 2);
  constexpr std::size_t kRecord = 16;
  std::memmove(opt + kRecord, opt, dns::kOptSize);
  store_be64(opt, 0xc00c'0001'0001'0000);
  store_be64(opt + 8, 0x0e10'0004'c000'0201);
  f.length += kRecord;
  store_be16(ip + 2, static_cast<std::uint16_t>(f.length - 14));
  store_be16(ip + 10, 0);
  const std::uint16_t checksum = net::finish(net::add_octets(0, ip, 20));
  std::memcpy(ip + 10, &checksum, 2);
  store_be32(udp + 4, (f.length - 34) << 16);
  store_be16(udp + 10, dns::kQr | dns::kRd | dns::kRa);
  store_be16(udp + 14, 1);
}

/// The queries of one worker: each receive burst copies the next ones into the packets that net_null
/// allocated. What the worker asks its upstream is answered in the next burst, which is half answers then.
struct Source {
  std::vector<Frame> frames;
  std::size_t at = 0;
  std::array<Frame, kBurst> answers;
  unsigned answer_count = 0;

  /// Keeps the questions among what is sent.
  static std::uint16_t take(std::uint16_t, std::uint16_t, rte_mbuf** packets, std::uint16_t count,
                            void* self) {
    auto& s = *static_cast<Source*>(self);
    for (unsigned i = 0; i < count && s.answer_count < s.answers.size(); ++i) {
      const auto* octets = rte_pktmbuf_mtod(packets[i], const std::uint8_t*);
      if (load_be16(octets + 36) != kDnsPort) continue;
      Frame& f = s.answers[s.answer_count++];
      std::memcpy(f.octets.data(), octets, Frame::kOctets);
      f.length = packets[i]->data_len;
    }
    return count;
  }

  static std::uint16_t fill(std::uint16_t, std::uint16_t, rte_mbuf** packets, std::uint16_t count,
                            std::uint16_t, void* self) {
    auto& s = *static_cast<Source*>(self);
    const unsigned answered = s.answer_count;
    for (unsigned i = 0; i < answered; ++i) {
      answer(s.answers[i]);
      put(s.answers[i], *packets[i]);
    }
    s.answer_count = 0;
    // As many queries as answers, once there are any.
    const unsigned asked = answered == 0 ? count : std::max<unsigned>(count - answered, count / 2u);
    for (unsigned i = answered; i < answered + asked && i < count; ++i) {
      const Frame& f = s.frames[s.at];
      prefetch(&s.frames[(s.at + kBurst) % kFrames]);  // the next burst's: a link has what comes next at hand
      prefetch(&s.frames[(s.at + kBurst) % kFrames].octets[64]);
      s.at = (s.at + 1) % kFrames;
      put(f, *packets[i]);
    }
    return count;
  }
  static void put(const Frame& f, rte_mbuf& packet) {
    std::memcpy(rte_pktmbuf_mtod(&packet, void*), f.octets.data(), Frame::kOctets);
    packet.data_len = static_cast<std::uint16_t>(f.length);
    packet.pkt_len = f.length;
  }
};

std::string name_of(std::size_t i) {
  return "n" + std::to_string(i) + ".example.com";
}

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
  view.adjacencies.push_back(net::make_adjacency(outbound, target, kMac, {{2, 0, 0, 0, 0, 8}}, 0, 0));
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

/// `work(i)` by `count` threads of DPDK's at once, on the cores from `core` up; returns the seconds that each
/// of them took, in the mean: what one of them does in that time, each does.
template <typename Work>
double seconds_on(unsigned core, unsigned count, Work work) {
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

class World {
 public:
  World() {
    owners_ = std::make_unique<state::PortOwners>(kMaxWorkersHere);
    health_ = std::make_unique<state::TargetHealth[]>(kMaxTargets);
    loops_ = std::make_unique<state::TargetLoops[]>(kMaxTargets);
    pool_ = make_packet_pool(16384).value();
    view_ = make_view(key_);
    published_.view.store(&view_);
    for (unsigned i = 0; i < kMaxWorkersHere; ++i)
      add_worker(i);
  }

  /// Answers for `count` names go into every cache; queries for them into every source.
  void ask_cached(std::size_t count) {
    for (auto& worker : workers_) {
      state::Cache& cache = worker->context().cache;
      cache.flush();
      for (std::size_t i = 0; i < count; ++i)
        store(cache, name_of(i));
      require(cache.entries() > count - count / 100, "the names don't fit the cache");
    }
    draw(count, [](std::size_t i) { return name_of(i); });
  }
  void ask_forwarded() {
    draw(100000, [](std::size_t i) { return "n" + std::to_string(i) + ".forwarded.example"; });
  }
  void ask_blocked() {
    draw(100000, [](std::size_t i) { return "n" + std::to_string(i) + ".blocked.example"; });
  }

  /// `bursts` turns of the first `count` workers at once; see seconds_on().
  double run(unsigned count, std::size_t bursts, unsigned core) {
    return seconds_on(core, count, [this, bursts](unsigned i) {
      for (std::size_t n = 0; n < bursts; ++n)
        workers_[i]->turn({1'000'000 + n});
    });
  }
  Stats stats(unsigned worker) {
    workers_[worker]->publish_stats();
    return workers_[worker]->stats();
  }

 private:
  // A port for each worker: net_null counts with locked additions, and two queues of one port would do so in
  // one cache line.
  std::uint16_t open_port(unsigned worker) {
    const std::string name = "net_null" + std::to_string(worker);
    std::uint16_t ethdev = 0;
    require(rte_dev_probe((name + ",size=64").c_str()) == 0, "net_null doesn't open");
    require(rte_eth_dev_get_port_by_name(name.c_str(), &ethdev) == 0, "net_null has no port");
    const rte_eth_conf conf{};
    const bool good = rte_eth_dev_configure(ethdev, 1, 1, &conf) == 0 &&
                      rte_eth_rx_queue_setup(ethdev, 0, 512, 0, nullptr, pool_) == 0 &&
                      rte_eth_tx_queue_setup(ethdev, 0, 512, 0, nullptr) == 0;
    Source& source = *sources_.emplace_back(std::make_unique<Source>());
    rte_eth_add_rx_callback(ethdev, 0, &Source::fill, &source);
    rte_eth_add_tx_callback(ethdev, 0, &Source::take, &source);
    require(good && rte_eth_dev_start(ethdev) == 0, "net_null doesn't start");
    return ethdev;
  }

  void add_worker(unsigned i) {
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
    w.context.handovers.assign(kMaxWorkersHere, nullptr);
    WorkerPort port;
    port.ethdev = open_port(i);
    port.rules.mac = kMac;
    w.ports = {port};
    w.published = &published_;
    workers_.push_back(std::make_unique<Worker>(w));
  }

  // What an upstream's answer with one address leaves in the cache.
  void store(state::Cache& cache, const std::string& text) const {
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
    const std::uint64_t hash =
        state::cache_hash(dns::hash_name(key_, name.wire.data(), name.length), 1, flags);
    cache.insert({name.wire.data(), hash, 1, 1, 1, flags, name.length, 1}, message, reply, 0, 3600, 86400,
                 false);
  }

  template <typename NameOf>
  void draw(std::size_t count, NameOf text) {
    std::mt19937_64 random(1);
    for (auto& source : sources_) {
      source->frames.clear();
      source->at = 0;
      for (std::size_t i = 0; i < kFrames; ++i)
        source->frames.push_back(make_frame(text(random() % count), static_cast<std::uint32_t>(i % 4096)));
    }
  }

  const dns::HashKey key_;
  std::unique_ptr<state::PortOwners> owners_;
  std::unique_ptr<state::TargetHealth[]> health_;
  std::unique_ptr<state::TargetLoops[]> loops_;
  rte_mempool* pool_ = nullptr;
  state::View view_;
  state::Published published_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<Rings> rings_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

World& world() {
  static World* const made = new World;  // lives as long as the EAL
  return *made;
}

/// `every_core`: a single worker takes turns on the cores that two would have, as one may be slower than the
/// other; else it has the last one, where what the system does on the first doesn't meet it.
void measure(benchmark::State& state, unsigned workers, Counter answered, bool every_core = false) {
  constexpr std::size_t kBursts = 20000;
  double seconds = 0;
  const unsigned last = std::thread::hardware_concurrency() - 1;
  unsigned core = workers == 1 ? last : 0;
  world().run(workers, kBursts / 10, core);  // caches warm
  const std::uint64_t before = world().stats(0)[answered];
  for (auto _ : state) {
    if (every_core && workers == 1) core = core == 0 ? 1 : 0;
    const double took = world().run(workers, kBursts, core);
    state.SetIterationTime(took);
    seconds += took;
  }
  const auto queries = static_cast<double>(state.iterations()) * kBursts * kBurst;
  require(static_cast<double>(world().stats(0)[answered] - before) == queries,
          "not every query was answered");
  state.counters["queries_per_second"] = queries * workers / seconds;
  state.counters["ns_per_query"] = seconds / queries * 1e9;
}

void cached(benchmark::State& state) {
  const auto workers = static_cast<unsigned>(state.range(1));
  if (workers > std::thread::hardware_concurrency()) return state.SkipWithError("not enough cores");
  world().ask_cached(static_cast<std::size_t>(state.range(0)));
  measure(state, workers, Counter::answered_cache, std::thread::hardware_concurrency() > 1);
}
BENCHMARK(cached)
    ->ArgNames({"names", "workers"})
    ->ArgsProduct({{1000, 100000, 1000000}, {1, 2}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

void blocked(benchmark::State& state) {
  world().ask_blocked();
  measure(state, 1, Counter::answered_rule);
}
BENCHMARK(blocked)->UseManualTime()->Unit(benchmark::kMillisecond);

// Half of each burst are queries, the other half the answers to those before: a query costs both ways.
void forwarded(benchmark::State& state) {
  world().ask_forwarded();
  constexpr std::size_t kBursts = 20000;
  const unsigned core = std::thread::hardware_concurrency() - 1;
  world().run(1, kBursts / 10, core);
  const std::uint64_t before = world().stats(0)[Counter::answered_upstream];
  double seconds = 0;
  for (auto _ : state) {
    const double took = world().run(1, kBursts, core);
    state.SetIterationTime(took);
    seconds += took;
  }
  const auto queries = static_cast<double>(world().stats(0)[Counter::answered_upstream] - before);
  state.counters["queries_per_second"] = queries / seconds;
  state.counters["ns_per_query"] = seconds / queries * 1e9;
  state.counters["per_burst"] = queries / (static_cast<double>(state.iterations()) * kBursts);
}
BENCHMARK(forwarded)->UseManualTime()->Unit(benchmark::kMillisecond);

// The yardstick for two workers: as many multiplications as a core can do, without memory. Two cores that
// share a clock, or a core, do less than twice the work of one, whatever they run.
void arithmetic(benchmark::State& state) {
  constexpr std::size_t kTurns = std::size_t{1} << 24;
  constexpr std::size_t kChains = 4;  // one alone would wait for its own results
  const auto workers = static_cast<unsigned>(state.range(0));
  if (workers > std::thread::hardware_concurrency()) return state.SkipWithError("not enough cores");
  unsigned core = 0;
  double seconds = 0;
  for (auto _ : state) {
    if (workers == 1 && std::thread::hardware_concurrency() > 1) core = core == 0 ? 1 : 0;
    const double took = seconds_on(core, workers, [](unsigned) {
      std::array<std::uint64_t, kChains> product{3, 5, 7, 11};
      for (std::size_t n = 0; n < kTurns; ++n) {
        for (std::uint64_t& p : product) {
          p *= 0x9e3779b97f4a7c15;
          asm volatile("" : "+r"(p));  // each product is wanted
        }
      }
    });
    state.SetIterationTime(took);
    seconds += took;
  }
  state.counters["multiplications_per_second"] =
      static_cast<double>(state.iterations()) * kTurns * kChains * workers / seconds;
}
BENCHMARK(arithmetic)->ArgName("workers")->Arg(1)->Arg(2)->UseManualTime()->Unit(benchmark::kMillisecond);

bool huge_pages_free() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  unsigned pages = 0;
  return file >> pages && pages >= 256;
}

void start_eal() {
  std::vector<std::string> args{"worker_bench", "--lcores",       "0",           "-m",           "512",
                                "--no-pci",     "--no-telemetry", "--log-level", "lib.*:warning"};
  if (huge_pages_free()) {
    args.emplace_back("--in-memory");
  } else {
    args.insert(args.end(), {"--no-huge", "--no-shconf"});
  }
  std::vector<char*> argv;
  for (std::string& a : args)
    argv.push_back(a.data());
  require(rte_eal_init(static_cast<int>(argv.size()), argv.data()) >= 0, "DPDK doesn't start");
}

}  // namespace
}  // namespace shunt

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  shunt::start_eal();
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
}
