#include "bench/perf/servers.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "bench/perf/frames.h"

namespace shunt::perf {
namespace {

constexpr std::size_t kOptSize = 11;
constexpr std::size_t kRecordHead = 12;  // compressed name, type, class, TTL, length
constexpr std::uint16_t kServerUdpSize = 1232;
// What an answer's octets may lie behind a query's end: two records, copied whole.
constexpr std::size_t kGrowth = 64;
constexpr std::uint8_t kDoBit = 0x80;
constexpr std::uint8_t kTimeToLive = 64;

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

/// Takes a folded sum out of a checksum's sum (RFC 1624).
net::Sum without(std::uint16_t sum) {
  return static_cast<std::uint16_t>(~sum);
}
/// Sums of octets that begin at an odd offset count with their halves changed over.
std::uint16_t at_offset(std::size_t offset, std::uint16_t sum) {
  return offset % 2 == 0 ? sum : __builtin_bswap16(sum);
}
/// What a checksum's sum grows by where a 16-bit value, in host order, is replaced.
net::Sum replaced(std::uint16_t before, std::uint16_t now) {
  return net::word(now) + without(__builtin_bswap16(before));
}

template <typename T>
void swap_at(std::uint8_t* a, std::uint8_t* b) {
  T x, y;
  std::memcpy(&x, a, sizeof x);
  std::memcpy(&y, b, sizeof y);
  std::memcpy(a, &y, sizeof y);
  std::memcpy(b, &x, sizeof x);
}

/// Back to where it came from. Sums don't notice.
template <bool kV4>
void turn_round(std::uint8_t* f) {
  using L = Layout<kV4>;
  using Address = std::conditional_t<kV4, std::uint32_t, std::array<std::uint64_t, 2>>;
  swap_at<std::array<std::uint8_t, 6>>(f, f + 6);
  swap_at<Address>(f + L::kSource, f + L::kDestination);
  swap_at<std::uint16_t>(f + L::kUdp, f + L::kUdp + 2);
}

/// The sum of all that the UDP checksum covers, but for the checksum itself.
template <bool kV4>
net::Sum covered(const std::uint8_t* f, std::uint16_t udp_length) {
  using L = Layout<kV4>;
  std::uint16_t checksum;
  std::memcpy(&checksum, f + L::kUdpChecksum, 2);
  if (checksum != 0) return without(checksum);  // it was verified
  const net::Sum sum = net::word(net::kProtocolUdp) + net::word(udp_length);
  return net::add_octets(sum, f + L::kSource, 2 * L::kAddressSize + udp_length);
}

/// Writes the lengths and patches the checksums of a verified frame whose message has changed; `sum` is
/// covered(), and what the message has changed of it.
template <bool kV4>
void finish_answer(std::uint8_t* f, std::size_t message_size, net::Sum sum) {
  using L = Layout<kV4>;
  const std::uint16_t udp_before = load_be16(f + L::kUdpLength);
  const auto udp_length = static_cast<std::uint16_t>(net::kUdpSize + message_size);
  const std::uint16_t udp_sum = net::finish_udp(sum + 2 * replaced(udp_before, udp_length));
  std::memcpy(f + L::kUdpChecksum, &udp_sum, 2);
  store_be16(f + L::kUdpLength, udp_length);
  const auto ip_length = static_cast<std::uint16_t>(udp_length + (kV4 ? net::kIpv4Size : 0));
  if (kV4) {
    std::uint16_t ip_sum;
    std::memcpy(&ip_sum, f + L::kIpChecksum, 2);
    // The time to live is the upper half of its word.
    ip_sum = net::finish(without(ip_sum) + replaced(load_be16(f + L::kLength), ip_length) +
                         replaced(static_cast<std::uint16_t>(f[L::kTimeToLive] << 8), kTimeToLive << 8));
    std::memcpy(f + L::kIpChecksum, &ip_sum, 2);
  }
  store_be16(f + L::kLength, ip_length);
  f[L::kTimeToLive] = kTimeToLive;
}

}  // namespace

Servers::Servers(const ServerOptions& options, Counters& counters)
    : options_(options),
      counters_(counters),
      a_(make_record(static_cast<std::uint16_t>(dns::Type::kA), options.ttl, options.answer4.v4_octets(), 4)),
      aaaa_(make_record(static_cast<std::uint16_t>(dns::Type::kAaaa), options.ttl,
                        options.answer6.octets.data(), 16)),
      opt_{make_opt(0), make_opt(kDoBit)} {}

Servers::Record Servers::make_record(std::uint16_t type, std::uint32_t ttl, const std::uint8_t* data,
                                     std::size_t length) {
  Record record;
  std::uint8_t* const to = record.octets.data();
  store_be16(to, 0xc000 | dns::kHeaderSize);  // the question's name
  store_be16(to + 2, type);
  store_be16(to + 4, dns::kClassIn);
  store_be32(to + 6, ttl);
  store_be16(to + 10, static_cast<std::uint16_t>(length));
  std::memcpy(to + kRecordHead, data, length);
  record.size = static_cast<std::uint16_t>(kRecordHead + length);
  record.sum = net::fold(net::add_octets(0, to, record.size));
  return record;
}

Servers::Record Servers::make_opt(std::uint8_t flags) {
  Record record;
  std::uint8_t* const to = record.octets.data();
  store_be16(to + 1, static_cast<std::uint16_t>(dns::Type::kOpt));
  store_be16(to + 3, kServerUdpSize);
  to[7] = flags;
  record.size = kOptSize;
  record.sum = net::fold(net::add_octets(0, to, record.size));
  return record;
}

bool Servers::answer(rte_mbuf* packet) {
  const auto* frame = rte_pktmbuf_mtod(packet, const std::uint8_t*);
  const bool v4 = load_be16(frame + 12) == net::kEtherIpv4;
  const bool answered = v4 ? answer_family<true>(packet) : answer_family<false>(packet);
  ++(answered ? counters_.served : counters_.not_served);
  return answered;
}

template <bool kV4>
bool Servers::owns(const std::uint8_t* address) const {
  using L = Layout<kV4>;
  return std::any_of(options_.addresses.begin(), options_.addresses.end(), [&](const IpAddress& mine) {
    return mine.is_v4() == kV4 && std::memcmp(L::octets_of(mine), address, L::kAddressSize) == 0;
  });
}

template <bool kV4>
bool Servers::answer_family(rte_mbuf* packet) {
  using L = Layout<kV4>;
  auto* f = rte_pktmbuf_mtod(packet, std::uint8_t*);
  if (packet->nb_segs != 1 || !is_udp<kV4>(f, packet->data_len)) return false;
  if (rte_pktmbuf_tailroom(packet) < kGrowth || !checksums_hold<kV4>(f)) return false;
  if (!owns<kV4>(f + L::kDestination)) return false;
  const std::uint16_t udp_length = load_be16(f + L::kUdpLength);
  const net::Sum sum = covered<kV4>(f, udp_length);
  const Answer answer = write_answer(f + L::kDns, udp_length - net::kUdpSize);
  if (answer.size == 0) return false;
  turn_round<kV4>(f);
  finish_answer<kV4>(f, answer.size, sum + answer.change);
  packet->data_len = static_cast<std::uint16_t>(L::kDns + answer.size);
  packet->pkt_len = packet->data_len;
  packet->ol_flags = 0;
  return true;
}

/// In place. Offsets are even from the UDP header on as they are in the message.
Servers::Answer Servers::write_answer(std::uint8_t* m, std::size_t size) const {
  const std::uint16_t flags = load_be16(m + dns::kFlagsOffset);
  if ((flags & (dns::kQr | dns::kOpcodeMask)) != 0) return {};
  const std::size_t end = question_end(m, size);
  if (end == 0) return {};
  const bool edns = load_be16(m + dns::kArcountOffset) == 1 && size >= end + kOptSize && m[end] == 0 &&
                    load_be16(m + end + 1) == static_cast<std::uint16_t>(dns::Type::kOpt);
  const bool dnssec_ok = edns && (m[end + 7] & kDoBit) != 0;
  // The header's words but for the id, and what lies behind the question, are replaced.
  net::Sum change = without(net::fold(net::add_octets(0, m + dns::kFlagsOffset, dns::kHeaderSize - 2)));
  if (size > end) change += without(at_offset(end, net::fold(net::add_octets(0, m + end, size - end))));

  const std::uint16_t type = load_be16(m + end - 4);
  std::size_t at = end;
  const auto append = [&](const Record& record) {
    std::memcpy(m + at, record.octets.data(), sizeof record.octets);
    change += at_offset(at, record.sum);
    at += record.size;
  };
  if (type == static_cast<std::uint16_t>(dns::Type::kA)) append(a_);
  if (type == static_cast<std::uint16_t>(dns::Type::kAaaa)) append(aaaa_);
  const std::uint16_t records = at == end ? 0 : 1;
  if (edns) append(opt_[dnssec_ok ? 1 : 0]);
  const std::uint16_t answered = dns::kQr | dns::kAa | dns::kRa | (flags & dns::kRd);
  store_be16(m + dns::kFlagsOffset, answered);
  store_be16(m + dns::kAncountOffset, records);
  store_be16(m + dns::kNscountOffset, 0);
  store_be16(m + dns::kArcountOffset, edns ? 1 : 0);
  change += net::word(answered) + net::word(1) + net::word(records) + net::word(edns ? 1 : 0);
  return {.size = at, .change = change};
}

}  // namespace shunt::perf
