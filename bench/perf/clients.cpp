#include "bench/perf/clients.h"

#include <array>
#include <cstring>
#include <vector>

#include "bench/perf/blocks.h"
#include "bench/perf/frames.h"

namespace shunt::perf {
namespace {

constexpr unsigned kExpiryParts = 16;  // calls of expire() that look at all slots
constexpr std::uint64_t kMilliseconds = 1000;
constexpr unsigned kSampled = 16;  // one answer in so many, where not all checksums are verified

/// A query in flight, or a number waiting for its next use. Half a cache line.
struct alignas(32) Slot {
  static constexpr std::uint64_t kIdle = ~std::uint64_t{0};  ///< as `ask`: nothing waits here

  std::uint64_t sent = 0;   ///< for the timeout
  std::uint64_t since = 0;  ///< from when latency counts: `sent`, or before where the schedule was missed
  std::uint64_t ask = kIdle;
  std::uint32_t address = 0;  ///< the client's last four octets, as on the wire
  std::uint16_t port = 0;     ///< as on the wire
  std::uint16_t id = 0;       ///< as on the wire, but for its byte order

  bool waiting() const { return ask != kIdle; }
};
static_assert(sizeof(Slot) == 32);

template <bool kV4>
class FamilyClients final : public Clients {
  using L = Layout<kV4>;

 public:
  FamilyClients(const Options& options, const Questions& questions, Counters& counters,
                std::uint64_t cycles_per_second)
      : options_(options.client),
        all_checksums_(options.all_checksums),
        questions_(questions),
        asks_(options.names, questions, options.seed),
        counters_(counters),
        header_(options_.first, options_.target, options_.stub),
        timeout_(cycles_per_second * options_.timeout_ms / kMilliseconds),
        first_address_(load_be32(&options_.first.octets[12])),
        mask_(options_.in_flight - 1),
        slots_(options_.in_flight),
        free_(options_.in_flight) {
    for (std::uint32_t i = 0; i <= mask_; ++i) {
      slots_[i].id = static_cast<std::uint16_t>(i);
      free_[i] = static_cast<std::uint16_t>(i);
    }
    free_end_ = options_.in_flight;
  }

  void set_stations(const MacAddress& own, const MacAddress& peer) override {
    std::memcpy(header_.octets.data(), peer.octets.data(), 6);
    std::memcpy(header_.octets.data() + 6, own.octets.data(), 6);
  }
  std::uint32_t free_slots() const override { return free_end_ - free_begin_; }
  std::uint32_t in_flight() const override { return options_.in_flight - free_slots(); }
  void set_priming(bool priming) override { asks_.restart(priming); }

  void write(rte_mbuf** packets, unsigned count) override {
    // Drawn in a row, so that what they prefetch is loaded side by side.
    std::array<Ask, kBurst> asks;
    for (unsigned i = 0; i < count; ++i) {
      prefetch(rte_pktmbuf_mtod(packets[i], std::uint8_t*));
      asks[i] = asks_.next();
    }
    written_ = free_begin_;
    std::uint64_t octets = 0, fresh = 0, edns = 0;
    for (unsigned i = 0; i < count; ++i) {
      Slot& slot = slots_[free_[free_begin_++ & mask_]];
      const Ask ask = asks[i];
      slot.ask = ask.bits;
      slot.id = static_cast<std::uint16_t>(slot.id + options_.in_flight);
      next_client(slot);
      const std::size_t length = fill(rte_pktmbuf_mtod(packets[i], std::uint8_t*), slot, ask);
      packets[i]->data_len = static_cast<std::uint16_t>(length);
      packets[i]->pkt_len = static_cast<std::uint32_t>(length);
      octets += length;
      fresh += static_cast<unsigned>(ask.fresh());
      edns += static_cast<unsigned>(ask.edns());
    }
    counters_.sent += count;
    counters_.sent_fresh += fresh;
    counters_.sent_edns += edns;
    counters_.octets_sent += octets;
  }

  void stamp(std::uint64_t now, Schedule* schedule) override {
    for (std::uint32_t at = written_; at != free_begin_; ++at) {
      Slot& slot = slots_[free_[at & mask_]];
      slot.sent = now;
      slot.since = schedule == nullptr ? now : schedule->send(now);
    }
  }

  // In two passes, so that the questions are on their way when they are compared.
  void receive(rte_mbuf* const* packets, unsigned count, std::uint64_t now) override {
    std::array<const std::uint8_t*, kBurst> frames;
    std::array<Slot*, kBurst> slots;
    std::uint64_t octets = 0;
    unsigned found = 0;
    for (unsigned i = 0; i < count; ++i) {
      const auto* frame = rte_pktmbuf_mtod(packets[i], const std::uint8_t*);
      octets += packets[i]->data_len;
      Slot* slot = find(frame, packets[i]->data_len);
      if (slot == nullptr) continue;
      prefetch(&questions_.of(Ask{slot->ask}));
      frames[found] = frame;
      slots[found++] = slot;
    }
    // Queries that left together often come back together, and count as one for the histogram.
    std::uint64_t since = now, times = 0;
    for (unsigned i = 0; i < found; ++i) {
      if (!finish(frames[i], *slots[i])) continue;
      if (slots[i]->since != since) {
        if (times != 0) counters_.latency.add(now - since, times);
        since = slots[i]->since;
        times = 0;
      }
      ++times;
    }
    if (times != 0) counters_.latency.add(now - since, times);
    counters_.octets_received += octets;
  }

  void expire(std::uint64_t now) override {
    const std::uint32_t part = (mask_ + 1) / kExpiryParts;
    for (std::uint32_t i = 0; i < part; ++i) {
      const std::uint32_t at = expiry_++ & mask_;
      Slot& slot = slots_[at];
      if (!slot.waiting() || now - slot.sent < timeout_) continue;
      ++counters_.lost;
      give_back(slot);
    }
  }

 private:
  void next_client(Slot& slot) {
    slot.address = __builtin_bswap32(first_address_ + client_);
    slot.port = __builtin_bswap16(static_cast<std::uint16_t>(options_.first_port + port_));
    if (++client_ < options_.clients) return;
    client_ = 0;
    if (++port_ == options_.ports) port_ = 0;
  }

  /// Returns the frame's length.
  std::size_t fill(std::uint8_t* f, const Slot& slot, Ask ask) const {
    const Question& question = questions_.of(ask);
    copy_blocks(f, header_.octets.data(), header_.kSize);
    copy_blocks(f + L::kQuestion, question.octets(), question.whole_length);
    const std::size_t length = ask.edns() ? question.whole_length : question.length;
    net::Sum sum = ask.edns() ? question.whole_sum + net::word(1) : question.sum;
    f[L::kDns + dns::kArcountOffset + 1] = ask.edns() ? 1 : 0;
    if (ask.fresh()) sum += write_digits(f, ask);
    const auto udp_length = static_cast<std::uint16_t>(net::kUdpSize + dns::kHeaderSize + length);
    std::memcpy(f + L::kSourceLow, &slot.address, 4);
    std::memcpy(f + L::kUdp, &slot.port, 2);
    std::memcpy(f + L::kDns, &slot.id, 2);
    store_be16(f + L::kUdpLength, udp_length);
    const auto ip_length = static_cast<std::uint16_t>(udp_length + (kV4 ? net::kIpv4Size : 0));
    store_be16(f + L::kLength, ip_length);
    if (kV4) {
      const std::uint16_t ip_sum = net::finish(header_.ip_sum + slot.address + net::word(ip_length));
      std::memcpy(f + L::kIpChecksum, &ip_sum, 2);
    }
    sum += header_.udp_sum + slot.address + slot.port + slot.id + 2 * net::word(udp_length);
    const std::uint16_t udp_sum = net::finish_udp(sum);
    std::memcpy(f + L::kUdpChecksum, &udp_sum, 2);
    return L::kUdp + udp_length;
  }

  /// Returns what the digits add to the sum.
  net::Sum write_digits(std::uint8_t* f, Ask ask) const {
    const FreshNames::Digits digits = questions_.fresh.digits(ask.number());
    std::uint8_t* const at = f + L::kQuestion + questions_.fresh.digits_offset();
    _mm_storeu_si128(reinterpret_cast<__m128i*>(at), digits);
    return questions_.fresh.digits_sum(digits);
  }

  /// The slot of the query that this is an answer to, by id, port and address; counted where there is none.
  Slot* find(const std::uint8_t* f, std::size_t length) {
    if (!is_udp<kV4>(f, length)) {
      ++counters_.others;
      return nullptr;
    }
    if ((all_checksums_ || ++sample_ % kSampled == 0) && !checksums_hold<kV4>(f)) {
      ++counters_.wrong_checksum;
      return nullptr;
    }
    std::uint16_t id, port;
    std::uint32_t address;
    std::memcpy(&id, f + L::kDns, 2);
    std::memcpy(&port, f + L::kUdp + 2, 2);
    std::memcpy(&address, f + L::kDestinationLow, 4);
    Slot& slot = slots_[id & mask_];
    const std::uint8_t* h = header_.octets.data();
    // The upper part of IPv6 addresses is the same for all clients.
    const bool ours = kV4 || std::memcmp(f + L::kDestination, h + L::kSource, L::kAddressSize - 4) == 0;
    if (!slot.waiting() || slot.id != id || slot.port != port || slot.address != address || !ours) {
      ++counters_.unexpected;
      return nullptr;
    }
    // What the target sent from is what we sent to: addresses side by side, then ports.
    if (std::memcmp(f + L::kSource, h + L::kDestination, L::kAddressSize) != 0 ||
        std::memcmp(f + L::kUdp, h + L::kUdp + 2, 2) != 0) {
      ++counters_.wrong_source;
      return nullptr;
    }
    return &slot;
  }

  /// True where this is the answer; it is counted in any case.
  bool finish(const std::uint8_t* f, Slot& slot) {
    if (!slot.waiting()) {  // the same answer twice in one burst
      ++counters_.unexpected;
      return false;
    }
    const Ask ask{slot.ask};
    const Question& question = questions_.of(ask);
    const std::size_t message = load_be16(f + L::kUdpLength) - net::kUdpSize;
    const std::uint8_t* d = f + L::kDns;
    const std::uint16_t flags = load_be16(d + dns::kFlagsOffset);
    if ((flags & (dns::kQr | dns::kOpcodeMask)) != dns::kQr) {
      ++counters_.wrong_message;
      return false;
    }
    if (load_be16(d + dns::kQdcountOffset) != 1 || message < dns::kHeaderSize + question.length ||
        !repeats(d + dns::kHeaderSize, question, ask)) {
      ++counters_.wrong_question;
      return false;
    }
    const unsigned rcode = flags & dns::kRcodeMask;
    const std::uint16_t records = load_be16(d + dns::kAncountOffset);
    // A record takes twelve octets at least: a count without the records is no answer.
    constexpr std::size_t kLeastRecord = 12;
    if (records != 0 && message < dns::kHeaderSize + question.length + kLeastRecord) {
      ++counters_.wrong_message;
      return false;
    }
    ++counters_.rcodes[rcode];
    if ((flags & dns::kTc) != 0) ++counters_.truncated;
    if (rcode == 0 && records == 0) ++counters_.without_records;
    ++counters_.answered;
    give_back(slot);
    return true;
  }

  /// True where the answer's question is the query's, octet by octet.
  bool repeats(const std::uint8_t* answered, const Question& question, Ask ask) const {
    if (!ask.fresh()) return equal_blocks(answered, question.octets(), question.length);
    const std::size_t at = questions_.fresh.digits_offset(), behind = at + FreshNames::kDigits;
    const __m128i digits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(answered + at));
    const __m128i same = _mm_cmpeq_epi8(digits, questions_.fresh.digits(ask.number()));
    return _mm_movemask_epi8(same) == 0xffff && equal_blocks(answered, question.octets(), at) &&
           equal_blocks(answered + behind, question.octets() + behind, question.length - behind);
  }

  void give_back(Slot& slot) {
    slot.ask = Slot::kIdle;
    free_[free_end_++ & mask_] = static_cast<std::uint16_t>(slot.id & mask_);
  }

  const ClientOptions& options_;
  const bool all_checksums_;
  const Questions& questions_;
  Asks asks_;
  Counters& counters_;
  QueryHeader<kV4> header_;
  const std::uint64_t timeout_;
  const std::uint32_t first_address_;
  const std::uint32_t mask_;
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> free_;  ///< a queue: a slot rests as long as possible before its next use
  std::uint32_t free_begin_ = 0, free_end_ = 0;
  std::uint32_t written_ = 0;  ///< in the queue, where the last write() began
  std::uint32_t expiry_ = 0, sample_ = 0;
  std::uint32_t client_ = 0, port_ = 0;
};

}  // namespace

std::unique_ptr<Clients> Clients::make(const Options& options, const Questions& questions, Counters& counters,
                                       std::uint64_t cycles_per_second) {
  if (options.client.first.is_v4())
    return std::make_unique<FamilyClients<true>>(options, questions, counters, cycles_per_second);
  return std::make_unique<FamilyClients<false>>(options, questions, counters, cycles_per_second);
}

}  // namespace shunt::perf
