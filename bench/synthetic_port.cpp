#include "bench/synthetic_port.h"

#include <rte_dev.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "dataplane/base/bytes.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/dns/edns.h"
#include "dataplane/dns/name.h"
#include "dataplane/dns/wire.h"
#include "dataplane/net/checksum.h"

namespace shunt {
namespace {

// Turns a question of the worker's, in its frame, into an upstream's answer with one address. It has no UDP
// checksum, which IPv4 allows: the worker is measured, not this.
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

void put(const Frame& f, rte_mbuf& packet) {
  std::memcpy(rte_pktmbuf_mtod(&packet, void*), f.octets.data(), Frame::kOctets);
  packet.data_len = static_cast<std::uint16_t>(f.length);
  packet.pkt_len = f.length;
}

}  // namespace

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "worker_bench: %s\n", what);
  std::exit(1);
}

Frame make_frame(const std::string& text, std::uint32_t client) {
  const dns::Name name = dns::parse_name(text).value();
  Frame f;
  std::uint8_t* const ip = f.octets.data() + 14;
  std::uint8_t* const udp = ip + 20;
  std::uint8_t* const message = udp + 8;
  const auto udp_length = static_cast<std::uint16_t>(8 + dns::kHeaderSize + name.length + 4);
  std::memcpy(f.octets.data(), kPortMac.octets.data(), 6);
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

SyntheticPort::SyntheticPort(unsigned number, rte_mempool* pool) {
  const std::string name = "net_null" + std::to_string(number);
  require(rte_dev_probe((name + ",size=64").c_str()) == 0, "net_null doesn't open");
  require(rte_eth_dev_get_port_by_name(name.c_str(), &ethdev_) == 0, "net_null has no port");
  const rte_eth_conf conf{};
  const bool good = rte_eth_dev_configure(ethdev_, 1, 1, &conf) == 0 &&
                    rte_eth_rx_queue_setup(ethdev_, 0, 512, 0, nullptr, pool) == 0 &&
                    rte_eth_tx_queue_setup(ethdev_, 0, 512, 0, nullptr) == 0;
  rte_eth_add_rx_callback(ethdev_, 0, &SyntheticPort::on_receive, this);
  rte_eth_add_tx_callback(ethdev_, 0, &SyntheticPort::on_transmit, this);
  require(good && rte_eth_dev_start(ethdev_) == 0, "net_null doesn't start");
}

void SyntheticPort::ask(std::vector<Frame> frames) {
  require(frames.size() == kFrames, "another number of frames was drawn");
  frames_ = std::move(frames);
  at_ = 0;
}

std::uint16_t SyntheticPort::on_receive(std::uint16_t, std::uint16_t, rte_mbuf** packets, std::uint16_t count,
                                        std::uint16_t, void* self) {
  static_cast<SyntheticPort*>(self)->fill(packets, count);
  return count;
}

std::uint16_t SyntheticPort::on_transmit(std::uint16_t, std::uint16_t, rte_mbuf** packets,
                                         std::uint16_t count, void* self) {
  static_cast<SyntheticPort*>(self)->keep_questions(packets, count);
  return count;
}

void SyntheticPort::keep_questions(rte_mbuf** packets, unsigned count) {
  for (unsigned i = 0; i < count && answer_count_ < answers_.size(); ++i) {
    const auto* octets = rte_pktmbuf_mtod(packets[i], const std::uint8_t*);
    if (load_be16(octets + 36) != kDnsPort) continue;
    Frame& f = answers_[answer_count_++];
    std::memcpy(f.octets.data(), octets, Frame::kOctets);
    f.length = packets[i]->data_len;
  }
}

void SyntheticPort::fill(rte_mbuf** packets, unsigned count) {
  const unsigned answered = answer_count_;
  for (unsigned i = 0; i < answered; ++i) {
    answer(answers_[i]);
    put(answers_[i], *packets[i]);
  }
  answer_count_ = 0;
  // As many queries as answers, once there are any.
  const unsigned asked = answered == 0 ? count : std::max<unsigned>(count - answered, count / 2u);
  for (unsigned i = answered; i < answered + asked && i < count; ++i) {
    const Frame& f = frames_[at_];
    // The next burst's: a link has what comes next at hand.
    const Frame& later = frames_[(at_ + Worker::kReceiveBurst) % kFrames];
    prefetch(&later);
    prefetch(&later.octets[64]);
    at_ = (at_ + 1) % kFrames;
    put(f, *packets[i]);
  }
}

}  // namespace shunt
