#include "tests/unit/stages/worker_rig.h"

#include <rte_eal.h>
#include <rte_eth_ring.h>
#include <rte_ethdev.h>
#include <rte_mempool.h>

#include <cstdlib>
#include <cstring>

#include "dataplane/eal.h"
#include "dataplane/net/adjacency.h"
#include "dataplane/stages/stages.h"

namespace shunt::testing {
namespace {

constexpr unsigned kRing = 4096, kBuffers = 8191;
const MacAddress kMac = net::testing::kOurMac, kPeer = net::testing::kTheirMac;

rte_mempool* pool() {
  static rte_mempool* const made = [] {
    auto eal = Eal::start({{}, 0, 128u << 20, false, {}, {"--no-telemetry"}});
    if (!eal) {
      std::fprintf(stderr, "%s\n", eal.error().c_str());
      std::abort();
    }
    static Eal keep = std::move(*eal);
    return make_packet_pool(kBuffers).value();
  }();
  return made;
}

IpAddress address(std::string_view text) {
  return *IpAddress::parse(text);
}
dns::Name name(std::string_view text) {
  return *dns::parse_name(text);
}

std::shared_ptr<const rules::RuleSet> test_rules() {
  rules::RuleSetBuilder b(dns::HashKey{});
  using rules::Action;
  using rules::Cover;
  b.add(name("corp."), Cover::kSuffix, Action::kForward, 0, 0);
  b.add(name("nx.example."), Cover::kSuffix, Action::kBlockNxdomain, 0, 1);
  b.add(name("nodata.example."), Cover::kSuffix, Action::kBlockNodata, 0, 2);
  b.add(name("refused.example."), Cover::kSuffix, Action::kBlockRefused, 0, 3);
  b.add(name("drop.example."), Cover::kSuffix, Action::kBlockDrop, 0, 4);
  b.add(name("system.corp."), Cover::kSuffix, Action::kSystem, 0, 5);
  b.add_answer(name("fixed.example."), Cover::kExact, 1, 60, std::array<std::uint8_t, 4>{192, 0, 2, 1}, 6);
  return b.build();
}

}  // namespace

Bytes query(std::string_view text, std::uint16_t id, std::uint16_t type, int edns_size, bool dnssec_ok) {
  Bytes m;
  append16(m, id);
  append16(m, dns::kRd);
  append16(m, 1);
  append16(m, 0);
  append16(m, 0);
  append16(m, edns_size > 0 ? 1 : 0);
  append(m, wire_name(text));
  append16(m, type);
  append16(m, 1);
  if (edns_size > 0) {
    m.push_back(0);
    append16(m, 41);
    append16(m, static_cast<unsigned>(edns_size));
    append32(m, dnssec_ok ? 0x8000u : 0);
    append16(m, 0);
  }
  return m;
}

Bytes answer_to(const Bytes& question, unsigned records, std::uint32_t ttl) {
  dns::Question q;
  EXPECT_EQ(dns::parse_query(question, q), dns::QueryVerdict::kGood);
  Bytes m(question.begin(), question.begin() + q.end);
  store_be16(&m[2], static_cast<std::uint16_t>(dns::kQr | dns::kRa | (q.flags & dns::kRd)));
  store_be16(&m[6], static_cast<std::uint16_t>(records));
  store_be16(&m[10], 1);
  for (unsigned i = 0; i < records; ++i) {
    append16(m, 0xc00c);
    append16(m, 1);
    append16(m, 1);
    append32(m, ttl);
    append16(m, 4);
    append32(m, 0xc0000200u + i);
  }
  m.push_back(0);
  append16(m, 41);
  append16(m, 1232);
  append32(m, 0);
  append16(m, 0);
  return m;
}

Bytes truncated_answer_to(const Bytes& question) {
  Bytes m = answer_to(question, 0);
  store_be16(&m[2], static_cast<std::uint16_t>(load_be16(&m[2]) | dns::kTc));
  return m;
}

Rig::Rig(const RigOptions& options) {
  rte_mempool* buffers = pool();
  const std::string number = std::to_string(instances_++);
  for (unsigned i = 0; i < options.workers; ++i) {
    const std::string suffix = number + "-" + std::to_string(i);
    receive_rings_.push_back(
        rte_ring_create(("rx" + suffix).c_str(), kRing, 0, RING_F_SP_ENQ | RING_F_SC_DEQ));
    transmit_rings_.push_back(
        rte_ring_create(("tx" + suffix).c_str(), kRing, 0, RING_F_SP_ENQ | RING_F_SC_DEQ));
  }
  const int made = rte_eth_from_rings(("rig" + number).c_str(), receive_rings_.data(), options.workers,
                                      transmit_rings_.data(), options.workers, 0);
  if (made < 0) std::abort();
  ethdev_ = static_cast<std::uint16_t>(made);
  rte_eth_conf conf{};
  const auto queues = static_cast<std::uint16_t>(options.workers);
  rte_eth_dev_configure(ethdev_, queues, queues, &conf);
  for (std::uint16_t q = 0; q < queues; ++q) {
    rte_eth_rx_queue_setup(ethdev_, q, 512, 0, nullptr, buffers);
    rte_eth_tx_queue_setup(ethdev_, q, 512, 0, nullptr);
  }
  rte_eth_dev_start(ethdev_);
  make_snapshot(options);
  owners_ = std::make_unique<state::PortOwners>(options.workers);
  health_ = std::make_unique<state::TargetHealth[]>(kMaxTargets);
  loops_ = std::make_unique<state::TargetLoops[]>(kMaxTargets);
  std::vector<rte_ring*> handovers;
  for (unsigned i = 0; i < options.workers; ++i) {
    rings_.push_back(Rings::create(instances_ * 10 + i).value());
    handovers.push_back(rings_.back().handovers);
  }
  for (unsigned i = 0; i < options.workers; ++i) {
    memory_.emplace_back(options.cache + kCacheLine);
    memory_.emplace_back(state::Pending::memory_octets(options.pending) + kCacheLine);
    const auto aligned = [](std::vector<std::byte>& m) {
      const std::size_t skip =
          (kCacheLine - reinterpret_cast<std::uintptr_t>(m.data()) % kCacheLine) % kCacheLine;
      return std::span<std::byte>(m).subspan(skip, m.size() - kCacheLine);
    };
    WorkerOptions w;
    w.context.worker = i;
    w.context.seed[0] = static_cast<std::uint8_t>(i + 1);
    w.context.cache_memory = aligned(memory_[memory_.size() - 2]);
    w.context.pending_memory = aligned(memory_.back());
    w.context.pending_slots = options.pending;
    w.context.owners = owners_.get();
    w.context.health = health_.get();
    w.context.loops = loops_.get();
    w.context.pool = buffers;
    w.context.rings = rings_[i];
    w.context.handovers = handovers;
    WorkerPort port;
    port.ethdev = ethdev_;
    port.queue = static_cast<std::uint16_t>(i);
    port.rules.mac = kMac;
    port.has_mirror = true;
    w.ports = {port};
    w.published = &published_;
    workers_.push_back(std::make_unique<Worker>(w));
  }
}

Rig::~Rig() {
  workers_.clear();
  for (Rings& r : rings_)
    r.destroy();
  rte_eth_dev_stop(ethdev_);
  rte_eth_dev_close(ethdev_);
  for (const auto& rings : {receive_rings_, transmit_rings_}) {
    for (rte_ring* ring : rings) {
      void* p = nullptr;
      while (rte_ring_dequeue(ring, &p) == 0)
        rte_pktmbuf_free(static_cast<rte_mbuf*>(p));
      rte_ring_free(ring);
    }
  }
}

void Rig::make_snapshot(const RigOptions& options) {
  snapshot_ = std::make_shared<state::Snapshot>();
  state::Snapshot& s = *snapshot_;
  s.generation = 1;
  s.queries_per_client = options.per_client;
  s.queries_per_upstream = options.per_upstream;
  s.queries_per_target = options.per_target;
  const std::pair<Prefix, std::uint32_t> clients[] = {{*Prefix::parse("10.0.0.0/24"), 0},
                                                      {*Prefix::parse("fd00::/64"), 0}};
  s.clients = net::PrefixTable(clients);
  const std::pair<Prefix, std::uint32_t> allowed[] = {{*Prefix::parse("10.0.0.0/16"), 1},
                                                      {*Prefix::parse("fd00::/64"), 1}};
  state::Endpoint endpoint;
  endpoint.allow = net::PrefixTable(allowed);
  s.endpoints.push_back(std::move(endpoint));
  const net::LocalAddress local[] = {{address(kEndpoint), 0, false},
                                     {address("fd00::1"), 0, false, true},
                                     {address(kOutbound), net::LocalAddress::kNoEndpoint, true}};
  s.local.emplace_back(local);
  const auto set = test_rules();
  s.keep.push_back(set);
  state::Network network;
  network.rules.add(*set);
  network.default_upstream = 1;
  network.routing = 1;
  s.networks.push_back(network);
  view_ = std::make_unique<state::View>();
  for (std::uint32_t u = 0; u < 2; ++u) {
    state::Upstream upstream;
    upstream.handle = u;
    upstream.origin = u + 1;
    upstream.exists = true;
    upstream.policy = state::Policy::kOrdered;
    for (std::uint32_t t = 0; t < 2; ++t) {
      const SocketAddress target{address(t == 0 ? kTargetA : kTargetB), 53};
      const auto path = static_cast<std::uint32_t>(s.paths.size());
      upstream.targets.push_back({target, u * 2 + t, path, 1});
      s.paths.push_back({address(kOutbound), target});
      view_->adjacencies.push_back(net::make_adjacency(address(kOutbound), target, kMac, kPeer, 0, 0));
      view_->adjacencies.back().usable = true;
    }
    s.upstreams.push_back(std::move(upstream));
  }
  view_->snapshot = snapshot_;
  published_.view.store(view_.get());
}

rte_mbuf* Rig::packet(std::span<const std::uint8_t> data) {
  rte_mbuf* p = rte_pktmbuf_alloc(pool());
  std::memcpy(rte_pktmbuf_append(p, static_cast<std::uint16_t>(data.size())), data.data(), data.size());
  return p;
}

bool Rig::receive(const net::testing::Octets& frame, unsigned worker) {
  rte_mbuf* p = packet(frame);
  if (rte_ring_enqueue(receive_rings_[worker], p) == 0) return true;
  rte_pktmbuf_free(p);
  return false;
}

void Rig::ask(const Bytes& message, std::string_view client, std::uint16_t port) {
  net::testing::FrameSpec spec;
  spec.source = client;
  spec.destination = client.find(':') == std::string_view::npos ? kEndpoint : "fd00::1";
  spec.source_port = port;
  spec.payload = message;
  ASSERT_TRUE(receive(net::testing::build(spec)));
}

void Rig::ask_over_stream(const Bytes& message, std::uint64_t ticket) {
  rte_mbuf* const order = packet(message);
  Message& m = message_of(order);
  m = {};
  m.kind = MessageKind::kQuery;
  m.ticket = ticket;
  m.client = {*IpAddress::parse(kClient), 5000};
  m.local = *IpAddress::parse(kEndpoint);
  rte_ring_enqueue(rings_[0].orders, order);
}

net::testing::FrameSpec Rig::reply_frame(const Sent& question, const Bytes& message) const {
  net::testing::FrameSpec spec;
  spec.source = question.to(kTargetA) ? kTargetA : kTargetB;
  spec.destination = kOutbound;
  spec.source_port = 53;
  spec.destination_port = question.frame.source_port;
  spec.payload = message;
  return spec;
}

void Rig::reply(const Sent& question, const Bytes& message, unsigned worker) {
  ASSERT_TRUE(receive(net::testing::build(reply_frame(question, message)), worker));
}

void Rig::turn(unsigned ms) {
  now_.us += 1000ull * ms;
  // Until nothing is left to do: a burst is bounded, what a test puts in may not be.
  for (bool busy = true; busy;) {
    busy = false;
    for (auto& w : workers_)
      busy |= w->turn(now_);
  }
  for (auto& w : workers_)
    flush(w->context());
}

std::vector<Sent> Rig::sent() {
  std::vector<Sent> all;
  for (rte_ring* ring : transmit_rings_) {
    void* p = nullptr;
    while (rte_ring_dequeue(ring, &p) == 0) {
      auto* m = static_cast<rte_mbuf*>(p);
      Sent s;
      const auto* data = rte_pktmbuf_mtod(m, const std::uint8_t*);
      s.octets.assign(data, data + m->data_len);
      rte_pktmbuf_free(m);
      // What we send must itself be valid in every checksum and length: seen from the other side.
      FrameDrop why{};
      const net::FrameRules other{kPeer,
                                  snapshot_->vlans.empty() ? std::uint16_t{0} : snapshot_->vlans.front()};
      EXPECT_EQ(net::parse_frame(s.octets, other, {}, s.frame, why), net::FrameKind::kUdp)
          << kFrameDropText[static_cast<unsigned>(why)].name;
      s.dns.assign(s.octets.begin() + s.frame.payload_offset,
                   s.octets.begin() + s.frame.payload_offset + s.frame.payload_length);
      all.push_back(std::move(s));
    }
  }
  return all;
}

Sent Rig::turn_for_one() {
  turn();
  std::vector<Sent> all = sent();
  EXPECT_EQ(all.size(), 1u);
  if (all.empty()) {
    Sent none;
    none.dns.resize(dns::kHeaderSize);
    return none;
  }
  return all.front();
}

void Rig::take_events() {
  for (Rings& rings : rings_) {
    for (void* packet = nullptr; rte_ring_dequeue(rings.events, &packet) == 0;)
      rte_pktmbuf_free(static_cast<rte_mbuf*>(packet));
  }
}

unsigned Rig::free_buffers() const {
  return rte_mempool_avail_count(pool());
}

void Rig::check_laws() {
  for (auto& w : workers_) {
    w->publish_stats();
    const Stats s = w->stats();
    EXPECT_EQ(s[Counter::frames_received], s[Counter::queries_udp] + s[Counter::answers] +
                                               s[Counter::to_mirror] + s[Counter::handed_over] +
                                               s.frame_drops.sum());
    EXPECT_EQ(s[Counter::queries_udp] + s[Counter::queries_stream],
              s[Counter::answered_cache] + s[Counter::answered_rule] + s[Counter::answered_upstream] +
                  s[Counter::answered_default] + s[Counter::answered_zone] + s[Counter::answered_error] +
                  s.query_drops.sum() + s.waiting);
    EXPECT_EQ(s[Counter::answers] + s[Counter::taken_over], s[Counter::answers_taken] + s.answer_drops.sum());
    // What a driver or ring refused was counted as a wait, and is no answer.
    const std::uint64_t lost =
        s.query_drops[QueryDrop::transmit_full] + s.query_drops[QueryDrop::control_full];
    for (const Counter answered : {Counter::answered_upstream, Counter::answered_default}) {
      const std::uint64_t waits = s.waited[static_cast<std::size_t>(waited_of(answered))].count();
      EXPECT_GE(waits, s[answered]);
      EXPECT_LE(waits, s[answered] + lost);
    }
    EXPECT_EQ(s.burst_queries.sum, s[Counter::queries_udp] + s[Counter::queries_stream]);
  }
}

}  // namespace shunt::testing
