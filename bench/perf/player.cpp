#include "bench/perf/player.h"

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_prefetch.h>

#include <algorithm>
#include <thread>

#include "bench/perf/frames.h"

namespace shunt::perf {
namespace {

constexpr double kRequestEvery = 0.2;  // seconds
constexpr double kExpireEvery = 0.001;
constexpr double kLongestPriming = 120;
constexpr double kPrimeEvery = 0.2;
constexpr unsigned kServerTries = 1000;  // turns of waiting for room before answers are dropped

/// The UDP destination port of a frame that may carry one, 0 for any other.
std::uint16_t destination_port(const rte_mbuf* packet) {
  const auto* f = rte_pktmbuf_mtod(packet, const std::uint8_t*);
  using L4 = Layout<true>;
  using L6 = Layout<false>;
  if (packet->data_len < L4::kQuestion) return 0;
  const std::uint16_t type = load_be16(f + 12);
  if (type == L4::kEtherType && f[L4::kProtocol] == net::kProtocolUdp) return load_be16(f + L4::kUdp + 2);
  if (type == L6::kEtherType && packet->data_len >= L6::kQuestion && f[L6::kProtocol] == net::kProtocolUdp)
    return load_be16(f + L6::kUdp + 2);
  return 0;
}

}  // namespace

Player::Player(const Options& options, std::uint16_t ethdev, const MacAddress& own, rte_mempool* pool,
               Questions* questions)
    : options_(options),
      ethdev_(ethdev),
      pool_(pool),
      questions_(questions),
      hz_(static_cast<double>(rte_get_tsc_hz())),
      neighbours_(options, own),
      servers_(options.server, counters_),
      own_(own) {
  if (options.has_clients()) clients_ = Clients::make(options, *questions, counters_, rte_get_tsc_hz());
}

Result<Report> Player::play(const volatile int& stopped) {
  Report report;
  if (auto up = wait_for_link(stopped); !up) return Failure(up.error());
  if (clients_) {
    if (auto found = resolve(stopped); !found) return Failure(found.error());
    clients_->set_stations(own_, neighbours_.peer());
    if (options_.client.prime) {
      if (auto primed = prime(stopped); !primed) return Failure(primed.error());
      report.primed = counters_.answered;
      counters_.forget_clients();
    }
  }
  measure(stopped, report);
  while (held_begin_ < held_end_)
    rte_pktmbuf_free(held_[held_begin_++]);
  return report;
}

Result<void> Player::wait_for_link(const volatile int& stopped) const {
  const std::uint64_t end = rte_rdtsc() + cycles(options_.patience);
  rte_eth_link link{};
  while (rte_eth_link_get_nowait(ethdev_, &link) != 0 || link.link_status != RTE_ETH_LINK_UP) {
    if (rte_rdtsc() > end) return Failure("the link of " + options_.device + " does not come up");
    if (stopped != 0) return Failure("stopped before the link came up");
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return {};
}

Result<void> Player::resolve(const volatile int& stopped) {
  const std::uint64_t end = rte_rdtsc() + cycles(options_.patience);
  std::uint64_t next = 0;
  while (!neighbours_.resolved()) {
    const std::uint64_t now = rte_rdtsc();
    const std::string target = options_.client.target.address.to_string();
    if (now > end) return Failure("nobody on the link has the address " + target + "; or give --peer-mac");
    if (stopped != 0) return Failure("stopped before the MAC of " + target + " was found");
    if (now >= next) {
      send_request();
      next = now + cycles(kRequestEvery);
    }
    receive(now);
  }
  return {};
}

void Player::send_request() {
  rte_mbuf* packet = rte_pktmbuf_alloc(pool_);
  if (packet == nullptr) return;
  const std::size_t length = neighbours_.write_request(rte_pktmbuf_mtod(packet, std::uint8_t*));
  packet->data_len = static_cast<std::uint16_t>(length);
  packet->pkt_len = static_cast<std::uint32_t>(length);
  if (rte_eth_tx_burst(ethdev_, 0, &packet, 1) == 0) rte_pktmbuf_free(packet);
}

// Passes over all names, until one of them meets no failure: a target whose station isn't found yet, say.
Result<void> Player::prime(const volatile int& stopped) {
  constexpr auto kServFail = static_cast<std::size_t>(dns::Rcode::kServFail);
  const std::uint64_t end = rte_rdtsc() + cycles(kLongestPriming);
  for (;;) {
    const std::uint64_t sent = counters_.sent, lost = counters_.lost, failed = counters_.rcodes[kServFail];
    prime_once(stopped, end);
    if (stopped != 0) return Failure("stopped while priming");
    const std::uint64_t bad = counters_.lost - lost + counters_.rcodes[kServFail] - failed;
    const bool complete = counters_.sent - sent == questions_->count();
    if (complete && bad == 0) return {};
    if (rte_rdtsc() > end) {
      return Failure("priming: of " + std::to_string(counters_.sent - sent) + " names, " +
                     std::to_string(bad) + " still get no answer or SERVFAIL");
    }
    for (std::uint64_t now = rte_rdtsc(), next = now + cycles(kPrimeEvery); now < next; now = rte_rdtsc())
      receive(now);
  }
}

void Player::prime_once(const volatile int& stopped, std::uint64_t end) {
  clients_->set_priming(true);
  const std::uint64_t wanted = counters_.sent + questions_->count();
  for (std::uint64_t now = rte_rdtsc(); counters_.sent < wanted && now < end && stopped == 0;
       now = rte_rdtsc()) {
    receive(now);
    clients_->expire(now);
    send(now, wanted - counters_.sent);
  }
  drain(stopped);
  clients_->set_priming(false);
}

void Player::measure(const volatile int& stopped, Report& report) {
  const std::uint64_t start = rte_rdtsc(), end = start + cycles(options_.seconds);
  const double rate = options_.client.rate;
  std::uint64_t now = start, next_line = start + cycles(1), next_expiry = start;
  LiveLine live(options_, hz_);
  while (now < end && stopped == 0) {
    receive(now);
    if (clients_) {
      if (now >= next_expiry) {
        clients_->expire(now);
        next_expiry = now + cycles(kExpireEvery);
      }
      std::uint64_t due = ~std::uint64_t{0};
      if (rate > 0) {
        due = static_cast<std::uint64_t>(static_cast<double>(now - start) / hz_ * rate);
        due -= std::min(due, counters_.sent);
      }
      send(now, due);
    }
    now = rte_rdtsc();
    if (now >= next_line) {
      next_line += cycles(1);
      if (!options_.quiet) live.print(counters_, now - start);
    }
  }
  report.seconds = static_cast<double>(now - start) / hz_;
  report.answered_in_time = counters_.answered;
  drain(stopped);
  report.counters = counters_;
  report.cycles_per_second = hz_;
}

void Player::drain(const volatile int& stopped) {
  if (!clients_) return;
  // Every slot is looked at within a few calls, and a query waits no longer than its timeout.
  const std::uint64_t end = rte_rdtsc() + cycles(2.0 * options_.client.timeout_ms / 1000 + 1);
  for (std::uint64_t now = rte_rdtsc(); clients_->in_flight() > 0 && now < end; now = rte_rdtsc()) {
    send_held();
    receive(now);
    clients_->expire(now);
    if (stopped > 1) return;  // asked to stop twice
  }
}

void Player::receive(std::uint64_t now) {
  for (std::uint16_t queue = 0; queue < options_.queues; ++queue)
    receive_queue(queue, now);
}

void Player::receive_queue(std::uint16_t queue, std::uint64_t now) {
  std::array<rte_mbuf*, kBurst> packets, answers, queries;
  const unsigned count = rte_eth_rx_burst(ethdev_, queue, packets.data(), kBurst);
  if (count == 0) return;
  unsigned answer_count = 0, query_count = 0;
  for (unsigned i = 0; i < count; ++i)
    rte_prefetch0(rte_pktmbuf_mtod(packets[i], std::uint8_t*));
  for (unsigned i = 0; i < count; ++i) {
    const std::uint16_t port = destination_port(packets[i]);
    if (port == 53 && options_.has_servers()) {
      queries[query_count++] = packets[i];
    } else if (port != 0 && clients_) {
      answers[answer_count++] = packets[i];
    } else {
      receive_other(packets[i], queue);
    }
  }
  if (answer_count > 0) {
    clients_->receive(answers.data(), answer_count, now);
    rte_pktmbuf_free_bulk(answers.data(), answer_count);
  }
  if (query_count > 0) serve(queries.data(), query_count, queue);
}

void Player::receive_other(rte_mbuf* packet, std::uint16_t queue) {
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

void Player::serve(rte_mbuf** packets, unsigned count, std::uint16_t queue) {
  std::array<rte_mbuf*, kBurst> answers;
  unsigned ready = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (servers_.answer(packets[i])) {
      answers[ready++] = packets[i];
    } else {
      rte_pktmbuf_free(packets[i]);
    }
  }
  const auto out =
      static_cast<std::uint16_t>(options_.server.shift_queues ? (queue + 1) % options_.queues : queue);
  unsigned sent = 0;
  for (unsigned tries = 0; sent < ready && tries < kServerTries; ++tries)
    sent += rte_eth_tx_burst(ethdev_, out, answers.data() + sent, static_cast<std::uint16_t>(ready - sent));
  counters_.transmit_full += ready - sent;
  rte_pktmbuf_free_bulk(answers.data() + sent, ready - sent);
}

void Player::send(std::uint64_t now, std::uint64_t most) {
  send_held();
  if (held_begin_ < held_end_) return;
  const auto count = static_cast<unsigned>(std::min<std::uint64_t>({kBurst, most, clients_->free_slots()}));
  if (count == 0 || rte_pktmbuf_alloc_bulk(pool_, held_.data(), count) != 0) return;
  clients_->write(held_.data(), count, now);
  held_begin_ = 0;
  held_end_ = count;
  if (++send_queue_ == options_.queues) send_queue_ = 0;
  send_held();
}

void Player::send_held() {
  if (held_begin_ == held_end_) return;
  held_begin_ += rte_eth_tx_burst(ethdev_, send_queue_, held_.data() + held_begin_,
                                  static_cast<std::uint16_t>(held_end_ - held_begin_));
}

}  // namespace shunt::perf
