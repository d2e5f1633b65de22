#include "bench/perf/link.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>

#include <algorithm>

#include "bench/perf/frames.h"

namespace shunt::perf {
namespace {

constexpr unsigned kServerTries = 1000;  // turns of waiting for room before answers are dropped
constexpr std::uint16_t kNoPort = 0;

/// The UDP destination port of a frame that may carry one, kNoPort for any other.
std::uint16_t destination_port(const rte_mbuf* packet) {
  const auto* f = rte_pktmbuf_mtod(packet, const std::uint8_t*);
  using L4 = Layout<true>;
  using L6 = Layout<false>;
  if (packet->data_len < L4::kQuestion) return kNoPort;
  const std::uint16_t type = load_be16(f + 12);
  if (type == L4::kEtherType && f[L4::kProtocol] == net::kProtocolUdp) return load_be16(f + L4::kUdp + 2);
  if (type == L6::kEtherType && packet->data_len >= L6::kQuestion && f[L6::kProtocol] == net::kProtocolUdp)
    return load_be16(f + L6::kUdp + 2);
  return kNoPort;
}

}  // namespace

Link::Link(const Options& options, std::uint16_t ethdev, const MacAddress& own, rte_mempool* pool,
           Clients* clients, Counters& counters)
    : options_(options),
      ethdev_(ethdev),
      pool_(pool),
      pool_cache_(rte_mempool_default_cache(pool, rte_lcore_id())),
      clients_(clients),
      counters_(counters),
      neighbours_(options, own),
      servers_(options.server, counters) {}

Link::~Link() {
  free(held_.data() + held_begin_, held_end_ - held_begin_);
}

bool Link::up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(ethdev_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

void Link::send_request() {
  rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
  if (packet == nullptr) return;
  const std::size_t length = neighbours_.write_request(rte_pktmbuf_mtod(packet, std::uint8_t*));
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  if (rte_eth_tx_burst(ethdev_, 0, &packet, 1) == 0) rte_pktmbuf_free(packet);
}

void Link::receive() {
  for (std::uint16_t queue = 0; queue < options_.queues; ++queue)
    receive_queue(queue);
}

void Link::receive_queue(std::uint16_t queue) {
  std::array<rte_mbuf*, kBurst> packets, answers, queries;
  const unsigned count = rte_eth_rx_burst(ethdev_, queue, packets.data(), kBurst);
  if (count == 0) return;
  const std::uint64_t now = rte_rdtsc();
  unsigned answer_count = 0, query_count = 0;
  for (unsigned i = 0; i < count; ++i)
    prefetch(rte_pktmbuf_mtod(packets[i], std::uint8_t*));
  for (unsigned i = 0; i < count; ++i) {
    const std::uint16_t port = destination_port(packets[i]);
    if (port == 53 && options_.has_servers()) {
      queries[query_count++] = packets[i];
    } else if (port != kNoPort && clients_ != nullptr) {
      answers[answer_count++] = packets[i];
    } else {
      receive_other(packets[i], queue);
    }
  }
  if (answer_count > 0) {
    clients_->receive(answers.data(), answer_count, now);
    free(answers.data(), answer_count);
  }
  if (query_count > 0) serve(queries.data(), query_count, queue);
}

void Link::receive_other(rte_mbuf* packet, std::uint16_t queue) {
  std::size_t length = packet->data_len;
  auto outcome = Neighbours::Outcome::kNotMine;
  if (packet->nb_segs == 1 && rte_pktmbuf_tailroom(packet) >= 64 && length >= net::kEthernetSize)
    outcome = neighbours_.receive(rte_pktmbuf_mtod(packet, std::uint8_t*), length);
  if (outcome == Neighbours::Outcome::kReply) {
    packet->data_len = static_cast<std::uint16_t>(length);
    packet->pkt_len = packet->data_len;
    ++counters_.neighbour_answers;
    if (rte_eth_tx_burst(ethdev_, queue, &packet, 1) == 1) return;
    ++counters_.transmit_full;
  }
  if (outcome == Neighbours::Outcome::kNotMine) ++counters_.others;
  rte_pktmbuf_free(packet);
}

void Link::serve(rte_mbuf** packets, unsigned count, std::uint16_t queue) {
  std::array<rte_mbuf*, kBurst> answers, refused;
  unsigned ready = 0, bad = 0;
  for (unsigned i = 0; i < count; ++i)
    (servers_.answer(packets[i]) ? answers[ready++] : refused[bad++]) = packets[i];
  free(refused.data(), bad);
  const auto out =
      static_cast<std::uint16_t>(options_.server.shift_queues ? (queue + 1) % options_.queues : queue);
  unsigned sent = 0;
  for (unsigned tries = 0; sent < ready && tries < kServerTries; ++tries)
    sent += rte_eth_tx_burst(ethdev_, out, answers.data() + sent, static_cast<std::uint16_t>(ready - sent));
  counters_.transmit_full += ready - sent;
  free(answers.data() + sent, ready - sent);
}

void Link::send(std::uint64_t least, std::uint64_t most, Schedule* schedule) {
  send_held();
  if (held_begin_ < held_end_) return;
  const auto count = static_cast<unsigned>(std::min<std::uint64_t>({kBurst, most, clients_->free_slots()}));
  if (count < least || count == 0 || !allocate(held_.data(), count)) return;
  clients_->write(held_.data(), count);
  held_begin_ = 0;
  held_end_ = count;
  if (++send_queue_ == options_.queues) send_queue_ = 0;
  clients_->stamp(rte_rdtsc(), schedule);
  send_held();
}

void Link::send_held() {
  if (held_begin_ == held_end_) return;
  held_begin_ += rte_eth_tx_burst(ethdev_, send_queue_, held_.data() + held_begin_,
                                  static_cast<std::uint16_t>(held_end_ - held_begin_));
}

// Both straight at the core's cache of the pool: rte_pktmbuf_free_bulk() and rte_pktmbuf_alloc_bulk() look it
// up at each call, and the one checks for chains and shared buffers, which clients' packets hardly ever are.
void Link::free(rte_mbuf** packets, unsigned count) {
  unsigned own = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (packets[i]->pool != pool_ || packets[i]->nb_segs != 1) {
      rte_pktmbuf_free(packets[i]);
    } else if (rte_mbuf* const packet = rte_pktmbuf_prefree_seg(packets[i]); packet != nullptr) {
      packets[own++] = packet;
    }
  }
  if (own > 0) rte_mempool_generic_put(pool_, reinterpret_cast<void**>(packets), own, pool_cache_);
}

bool Link::allocate(rte_mbuf** packets, unsigned count) {
  if (rte_mempool_generic_get(pool_, reinterpret_cast<void**>(packets), count, pool_cache_) != 0)
    return false;
  for (unsigned i = 0; i < count; ++i)
    rte_pktmbuf_reset(packets[i]);
  return true;
}

}  // namespace shunt::perf
