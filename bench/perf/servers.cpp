#include "bench/perf/servers.h"

#include <algorithm>
#include <cstring>

#include "bench/perf/frames.h"

namespace shunt::perf {
namespace {

constexpr std::size_t kOptSize = 11;
constexpr std::size_t kRecordHead = 12;  // compressed name, type, class, TTL, length
constexpr std::uint16_t kServerUdpSize = 1232;
constexpr std::size_t kGrowth = kRecordHead + 16;  // a query's OPT is never shorter than the answer's
constexpr std::uint8_t kDoBit = 0x80;

/// The offset behind the question, or 0 where there is no single well-formed one.
std::size_t question_end(const std::uint8_t* m, std::size_t size) {
  if (load_be16(m + dns::kQdcountOffset) != 1) return 0;
  std::size_t at = dns::kHeaderSize;
  while (at < size && m[at] != 0) {
    if (m[at] > dns::kMaxLabel) return 0;
    at += std::size_t{m[at]} + 1;
  }
  at += 1 + 4;  // root label, type, class
  return at <= size && at <= dns::kHeaderSize + dns::kMaxName + 4 ? at : 0;
}

std::size_t write_record(std::uint8_t* to, std::uint16_t type, std::uint32_t ttl, const std::uint8_t* data,
                         std::uint16_t length) {
  store_be16(to, 0xc000 | dns::kHeaderSize);  // the question's name
  store_be16(to + 2, type);
  store_be16(to + 4, dns::kClassIn);
  store_be32(to + 6, ttl);
  store_be16(to + 10, length);
  std::memcpy(to + kRecordHead, data, length);
  return kRecordHead + length;
}

}  // namespace

bool Servers::answer(rte_mbuf* packet) {
  const auto* frame = rte_pktmbuf_mtod(packet, const std::uint8_t*);
  const bool v4 = load_be16(frame + 12) == net::kEtherIpv4;
  const bool answered = v4 ? answer_family<true>(packet) : answer_family<false>(packet);
  ++(answered ? counters_.served : counters_.not_served);
  return answered;
}

template <bool kV4>
bool Servers::answer_family(rte_mbuf* packet) {
  using L = Layout<kV4>;
  auto* f = rte_pktmbuf_mtod(packet, std::uint8_t*);
  if (packet->nb_segs != 1 || !is_udp<kV4>(f, packet->data_len)) return false;
  if (rte_pktmbuf_tailroom(packet) < kGrowth || !checksums_hold<kV4>(f)) return false;
  const IpAddress asked = L::address_at(f + L::kDestination);
  const auto& mine = options_.addresses;
  if (std::find(mine.begin(), mine.end(), asked) == mine.end()) return false;
  const std::size_t size = write_answer(f + L::kDns, load_be16(f + L::kUdpLength) - net::kUdpSize);
  if (size == 0) return false;
  std::swap_ranges(f, f + 6, f + 6);
  std::swap_ranges(f + L::kSource, f + L::kSource + L::kAddressSize, f + L::kDestination);
  std::swap_ranges(f + L::kUdp, f + L::kUdp + 2, f + L::kUdp + 2);
  f[L::kTimeToLive] = 64;
  finish_udp_frame<kV4>(f, size);
  packet->data_len = static_cast<std::uint16_t>(L::kDns + size);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = 0;
  return true;
}

/// In place. Returns the answer's size, or 0 where the query can't be answered.
std::size_t Servers::write_answer(std::uint8_t* m, std::size_t size) const {
  const std::uint16_t flags = load_be16(m + dns::kFlagsOffset);
  if ((flags & (dns::kQr | dns::kOpcodeMask)) != 0) return 0;
  const std::size_t end = question_end(m, size);
  if (end == 0) return 0;
  const bool edns = load_be16(m + dns::kArcountOffset) == 1 && size >= end + kOptSize && m[end] == 0 &&
                    load_be16(m + end + 1) == static_cast<std::uint16_t>(dns::Type::kOpt);
  const std::uint8_t dnssec_ok = edns ? m[end + 7] & kDoBit : 0;
  const std::uint16_t type = load_be16(m + end - 4);
  std::size_t at = end;
  if (type == static_cast<std::uint16_t>(dns::Type::kA)) {
    at += write_record(m + at, type, options_.ttl, options_.answer4.v4_octets(), 4);
  } else if (type == static_cast<std::uint16_t>(dns::Type::kAaaa)) {
    at += write_record(m + at, type, options_.ttl, options_.answer6.octets.data(), 16);
  }
  store_be16(m + dns::kFlagsOffset, dns::kQr | dns::kAa | dns::kRa | (flags & dns::kRd));
  store_be16(m + dns::kAncountOffset, at == end ? 0 : 1);
  store_be16(m + dns::kNscountOffset, 0);
  store_be16(m + dns::kArcountOffset, edns ? 1 : 0);
  if (!edns) return at;
  std::memset(m + at, 0, kOptSize);
  store_be16(m + at + 1, static_cast<std::uint16_t>(dns::Type::kOpt));
  store_be16(m + at + 3, kServerUdpSize);
  m[at + 7] = dnssec_ok;
  return at + kOptSize;
}

}  // namespace shunt::perf
