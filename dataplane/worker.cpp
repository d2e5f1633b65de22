#include "dataplane/worker.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/tsc_clock.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

constexpr std::uint64_t kWheelUs = 1000;   // how often deadlines and the published counters are looked after
constexpr unsigned kQuiescentTurns = 256;  // a report to RCU costs cache misses: not every turn

std::uint16_t endpoint_at(const state::Snapshot& snapshot, const IpAddress& address) {
  for (const net::LocalAddresses& port : snapshot.local) {
    if (const net::LocalAddress* found = port.find(address); found != nullptr) return found->endpoint;
  }
  return net::LocalAddress::kNoEndpoint;
}

}  // namespace

Worker::Worker(const WorkerOptions& options)
    : context_(options.context),
      burst_(std::make_unique<Burst>()),
      shared_(*options.published),
      rcu_(options.rcu) {
  context_.ports = options.ports;
}

template <auto kWork>
void Worker::pass(Stage stage) {
  const unsigned live = burst_->live;
  kWork(context_, *burst_);
  clock_.lap(stage, live);
}

void Worker::run_queries() {
  const Burst& burst = *burst_;
  if (burst.live == 0) return;
  if (burst.live != burst.aliases) context_.stats.burst_queries.add(burst.live - burst.aliases);
  pass<parse>(Stage::parse);
  if (context_.sampled != nullptr) [[unlikely]]
    sample_queries(context_, burst);
  pass<answer_routed>(Stage::cached);
  if (burst.live == 0) return;
  pass<match>(Stage::match);
  pass<answer_from_cache>(Stage::cached_again);
  pass<forward>(Stage::forward);
}

void Worker::relay_answers() {
  const unsigned answers = burst_->answers;
  relay(context_, *burst_);
  clock_.lap(Stage::relay, answers);
}

bool Worker::poll_port(std::uint8_t port) {
  const WorkerPort& p = context_.ports[port];
  std::array<rte_mbuf*, kReceiveBurst> packets;
  const unsigned count = rte_eth_rx_burst(p.ethdev, p.queue, packets.data(), kReceiveBurst);
  clock_.lap(Stage::receive, count);
  for (unsigned at = 0; at < count; at += kBurst)
    run_burst(port, &packets[at], std::min(kBurst, count - at));
  return count != 0;
}

void Worker::run_burst(std::uint8_t port, rte_mbuf* const* packets, unsigned count) {
  Burst& burst = *burst_;
  burst.queries = burst.answers = 0;
  if (context_.capture != nullptr) [[unlikely]]
    capture(context_, port, packets, count, false);
  classify(context_, port, packets, count, burst);
  clock_.lap(Stage::classify, count);
  run_queries();
  relay_answers();
}

bool Worker::poll_handovers() {
  std::array<void*, kBurst> packets;
  const unsigned count = rte_ring_sc_dequeue_burst(context_.rings.handovers, packets.data(), kBurst, nullptr);
  Burst& burst = *burst_;
  burst.queries = burst.answers = burst.live = 0;
  for (unsigned i = 0; i < count; ++i)
    classify_handover(context_, static_cast<rte_mbuf*>(packets[i]), burst);
  clock_.lap(Stage::handovers, count);
  if (count == 0) return false;
  relay_answers();
  return true;
}

bool Worker::poll_orders() {
  std::array<void*, kBurst> packets;
  const unsigned count = rte_ring_sc_dequeue_burst(context_.rings.orders, packets.data(), kBurst, nullptr);
  burst_->queries = burst_->answers = burst_->live = 0;
  for (unsigned i = 0; i < count; ++i)
    take_order(static_cast<rte_mbuf*>(packets[i]));
  clock_.lap(Stage::orders, count);
  if (count == 0) return false;
  run_queries();
  burst_->aliases = 0;
  return true;
}

void Worker::take_order(rte_mbuf* packet) {
  switch (message_of(packet).kind) {
    case MessageKind::kTransmit:
      ++context_.stats[Counter::from_mirror];
      return transmit(context_, message_of(packet).port, packet, Counter::from_mirror);
    case MessageKind::kQuery:
      return take_stream_query(packet);
    case MessageKind::kAlias:
      return take_alias_query(packet);
    case MessageKind::kDecision:
      return take_decision(context_, packet);
    case MessageKind::kAnswer:
      return take_answer(context_, packet);
    case MessageKind::kFail:
      return take_failure(context_, packet);
    case MessageKind::kAsk:
      return take_ask(context_, packet);
    case MessageKind::kFlush:
      return flush_cache(packet);
    case MessageKind::kFrame:
    case MessageKind::kMiss:
    case MessageKind::kReply:
    case MessageKind::kWatched:
    case MessageKind::kTimeout:
      break;  // never sent this way
  }
  rte_pktmbuf_free(packet);
}

// A query that the control plane brings: the burst's next, once it is counted among the living.
Query& Worker::make_query(rte_mbuf* packet, state::Transport transport) {
  const Message& message = message_of(packet);
  Query& q = burst_->query[burst_->queries];
  q.packet = packet;
  q.wire = rte_pktmbuf_mtod(packet, std::uint8_t*);
  q.length = packet->data_len;
  q.room = static_cast<std::uint16_t>(packet->buf_len - packet->data_off);
  q.port = 0;
  q.transport = transport;
  q.ticket = message.ticket;
  q.frame = {};
  q.frame.source = message.client.address;
  q.frame.source_port = message.client.port;
  return q;
}

// A query that came over TCP takes the same way as all others, from the parser on.
void Worker::take_stream_query(rte_mbuf* packet) {
  Burst& burst = *burst_;
  Query& q = make_query(packet, state::Transport::kStream);
  ++context_.stats[Counter::queries_stream];
  // By address, not by index: a reload may have come between, and have given the index to another endpoint.
  q.endpoint = endpoint_at(*context_.snapshot, message_of(packet).local);
  if (q.endpoint == net::LocalAddress::kNoEndpoint) return drop_query(context_, q, QueryDrop::too_late);
  burst.alive[burst.live++] = static_cast<std::uint8_t>(burst.queries++);
}

// So does the target of a zone's alias, for a client of `network`. Under other rules than the alias was found
// under, it would be a mix of two generations: it goes back.
void Worker::take_alias_query(rte_mbuf* packet) {
  Message& message = message_of(packet);
  const auto& networks = context_.snapshot->networks;
  if (message.network >= networks.size() || networks[message.network].routing != message.routing) {
    message.kind = MessageKind::kReply;
    message.zone = true;
    packet->data_len = 0;
    packet->pkt_len = 0;
    if (rte_ring_sp_enqueue(context_.rings.events, packet) != 0) rte_pktmbuf_free(packet);
    return;
  }
  Burst& burst = *burst_;
  make_query(packet, state::Transport::kAlias).network = message.network;
  ++burst.aliases;
  burst.alive[burst.live++] = static_cast<std::uint8_t>(burst.queries++);
}

void Worker::flush_cache(rte_mbuf* packet) {
  if (packet->data_len == 0) {
    context_.cache.flush();
  } else {
    dns::Name name;
    const std::span<const std::uint8_t> wire(rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
    if (dns::read_name(wire, name) != 0) context_.cache.flush(name);
  }
  rte_pktmbuf_free(packet);
}

bool Worker::turn(Now now) {
  clock_.begin_turn();
  const std::uint64_t sent = context_.stats[Counter::frames_sent];
  context_.now = now;
  context_.look_at(shared_.view.load(std::memory_order_acquire));
  // Deadlines first: the wheel must stand at the present before anything is hung on it.
  const bool tick = now.us - wheel_turned_us_ >= kWheelUs;
  if (tick) {
    wheel_turned_us_ = now.us;
    handle_timeouts(context_);
  }
  clock_.lap(Stage::timeouts, 1);
  bool busy = false;
  for (std::uint8_t port = 0; port < context_.ports.size(); ++port)
    busy |= poll_port(port);
  busy |= poll_orders();
  busy |= poll_handovers();
  if (busy || tick) flush(context_);
  clock_.lap(Stage::transmit, context_.stats[Counter::frames_sent] - sent);
  if (busy) clock_.add_turn(context_.stats.stages);
  if (tick) publish_stats();
  return busy;
}

void Worker::publish_stats() {
  Stats& stats = context_.stats;
  stats.waiting = context_.pending.waiting();
  stats.pending = context_.pending.open_slots();
  stats.cache_entries = context_.cache.entries();
  stats.cache_octets = context_.cache.octets();
  stats[Counter::cache_evictions] = context_.cache.evictions();
  stats.generation = context_.snapshot->generation;
  published_stats_.publish(stats);
}

// The whole turn counts as the pause, the work of its burst included.
void Worker::note_swap(const state::View* before, std::uint64_t ns) {
  if (before == nullptr) return;
  Stats& stats = context_.stats;
  ++stats.swaps;
  stats.last_swap_ns = ns;
  stats.longest_swap_ns = std::max(stats.longest_swap_ns, ns);
}

void Worker::run() {
  const std::uint64_t hz = rte_get_tsc_hz();
  const TscClock clock(hz);
  rte_rcu_qsbr_thread_register(rcu_, context_.worker);
  rte_rcu_qsbr_thread_online(rcu_, context_.worker);
  Stats& stats = context_.stats;
  const std::uint64_t began = rte_rdtsc();
  std::uint64_t before = began, busy_tsc = 0;
  unsigned turns = 0;
  while (!stopping_.load(std::memory_order_relaxed)) {
    const state::View* const view = context_.view;
    const bool busy = turn({clock.us(before)});
    const std::uint64_t after = rte_rdtsc();
    if (context_.view != view) [[unlikely]]
      note_swap(view, (after - before) * 1'000'000'000 / hz);
    ++stats[Counter::loops];
    if (busy) {
      ++stats[Counter::busy_loops];
      busy_tsc += after - before;
    }
    before = after;
    if (++turns == kQuiescentTurns) {
      turns = 0;
      rte_rcu_qsbr_quiescent(rcu_, context_.worker);
      stats[Counter::polled_us] = clock.us(after - began);
      stats[Counter::busy_us] = clock.us(busy_tsc);
    }
  }
  publish_stats();
  rte_rcu_qsbr_thread_offline(rcu_, context_.worker);
  rte_rcu_qsbr_thread_unregister(rcu_, context_.worker);
}

}  // namespace shunt
