#include "bench/perf/clients.h"

#include <emmintrin.h>
#include <rte_prefetch.h>

#include <array>
#include <cstring>
#include <vector>

#include "bench/perf/frames.h"

namespace shunt::perf {
namespace {

constexpr unsigned kExpiryParts = 16;  // calls of expire() that look at all slots
constexpr std::uint64_t kMilliseconds = 1000;
constexpr unsigned kSampled = 16;  // one answer in so many, where not all checksums are verified

struct Slot {
  std::uint64_t sent = 0;
  std::uint32_t question = 0;
  std::uint32_t address = 0;  ///< the client's last four octets, as on the wire
  std::uint16_t port = 0;     ///< as on the wire
  std::uint16_t id = 0;
  bool waiting = false;
};

/// Copies whole blocks of sixteen octets: reads and writes up to fifteen more than asked for.
inline void copy_blocks(std::uint8_t* to, const std::uint8_t* from, std::size_t length) {
  for (std::size_t i = 0; i < length; i += 16) {
    const __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from + i));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to + i), block);
  }
}

/// True where `length` octets are equal. Reads up to fifteen more of both.
inline bool equal_blocks(const std::uint8_t* a, const std::uint8_t* b, std::size_t length) {
  for (std::size_t i = 0; i < length; i += 16) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a + i));
    const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b + i));
    auto different = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(x, y))) ^ 0xffff;
    if (length - i < 16) different &= (1U << (length - i)) - 1;
    if (different != 0) return false;
  }
  return true;
}

template <bool kV4>
class FamilyClients final : public Clients {
  using L = Layout<kV4>;

 public:
  FamilyClients(const Options& options, Questions& questions, Counters& counters,
                std::uint64_t cycles_per_second)
      : options_(options.client),
        all_checksums_(options.all_checksums),
        questions_(questions),
        counters_(counters),
        header_(options_.first, options_.target, options_.stub, options.names.edns != 0),
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
  void set_priming(bool priming) override {
    priming_ = priming;
    primed_ = 0;
  }

  void write(rte_mbuf** packets, unsigned count, std::uint64_t now) override {
    std::array<std::uint32_t, kBurst> asked;
    for (unsigned i = 0; i < count; ++i) {
      asked[i] = priming_ ? primed_++ % questions_.count() : questions_.next();
      rte_prefetch0(&questions_[asked[i]]);
      rte_prefetch0(rte_pktmbuf_mtod(packets[i], std::uint8_t*));
    }
    std::uint64_t octets = 0;
    for (unsigned i = 0; i < count; ++i) {
      Slot& slot = slots_[free_[free_begin_++ & mask_]];
      slot.id = static_cast<std::uint16_t>(slot.id + options_.in_flight);
      slot.sent = now;
      slot.question = asked[i];
      slot.waiting = true;
      next_client(slot);
      const std::size_t length =
          fill(rte_pktmbuf_mtod(packets[i], std::uint8_t*), slot, questions_[asked[i]]);
      packets[i]->data_len = static_cast<std::uint16_t>(length);
      packets[i]->pkt_len = static_cast<std::uint32_t>(length);
      octets += length;
    }
    counters_.sent += count;
    counters_.octets_sent += octets;
  }

  void receive(rte_mbuf** packets, unsigned count, std::uint64_t now) override {
    std::array<const std::uint8_t*, kBurst> frames;
    std::array<Slot*, kBurst> slots;
    unsigned found = 0;
    for (unsigned i = 0; i < count; ++i) {
      const auto* frame = rte_pktmbuf_mtod(packets[i], const std::uint8_t*);
      counters_.octets_received += packets[i]->data_len;
      Slot* slot = find(frame, packets[i]->data_len);
      if (slot == nullptr) continue;
      rte_prefetch0(&questions_[slot->question]);
      frames[found] = frame;
      slots[found++] = slot;
    }
    for (unsigned i = 0; i < found; ++i)
      finish(frames[i], *slots[i], now);
  }

  void expire(std::uint64_t now) override {
    const std::uint32_t part = (mask_ + 1) / kExpiryParts;
    for (std::uint32_t i = 0; i < part; ++i) {
      const std::uint32_t at = expiry_++ & mask_;
      Slot& slot = slots_[at];
      if (!slot.waiting || now - slot.sent < timeout_) continue;
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
  std::size_t fill(std::uint8_t* f, const Slot& slot, const Question& question) const {
    copy_blocks(f, header_.octets.data(), header_.kSize);
    copy_blocks(f + L::kQuestion, question.octets(), question.whole_length);
    const auto udp_length =
        static_cast<std::uint16_t>(net::kUdpSize + dns::kHeaderSize + question.whole_length);
    std::memcpy(f + L::kSourceLow, &slot.address, 4);
    std::memcpy(f + L::kUdp, &slot.port, 2);
    std::memcpy(f + L::kDns, &slot.id, 2);
    store_be16(f + L::kUdpLength, udp_length);
    const auto ip_length = static_cast<std::uint16_t>(udp_length + (kV4 ? net::kIpv4Size : 0));
    store_be16(f + L::kLength, ip_length);
    if (kV4) {
      const std::uint16_t sum = net::finish(header_.ip_sum + slot.address + net::word(ip_length));
      std::memcpy(f + L::kIpChecksum, &sum, 2);
    }
    const std::uint16_t sum = net::finish_udp(header_.udp_sum + slot.address + slot.port + slot.id +
                                              question.sum + 2 * net::word(udp_length));
    std::memcpy(f + L::kUdpChecksum, &sum, 2);
    return L::kUdp + udp_length;
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
    if (!slot.waiting || slot.id != id || slot.port != port || slot.address != address) {
      ++counters_.unexpected;
      return nullptr;
    }
    // What the target sent from is what we sent to: addresses side by side, then ports.
    const std::uint8_t* h = header_.octets.data();
    if (std::memcmp(f + L::kSource, h + L::kDestination, L::kAddressSize) != 0 ||
        std::memcmp(f + L::kUdp, h + L::kUdp + 2, 2) != 0) {
      ++counters_.wrong_source;
      return nullptr;
    }
    return &slot;
  }

  void finish(const std::uint8_t* f, Slot& slot, std::uint64_t now) {
    if (!slot.waiting) {  // the same answer twice in one burst
      ++counters_.unexpected;
      return;
    }
    const Question& question = questions_[slot.question];
    const std::size_t message = load_be16(f + L::kUdpLength) - net::kUdpSize;
    const std::uint8_t* d = f + L::kDns;
    const std::uint16_t flags = load_be16(d + dns::kFlagsOffset);
    if ((flags & (dns::kQr | dns::kOpcodeMask)) != dns::kQr) {
      ++counters_.wrong_message;
      return;
    }
    if (load_be16(d + dns::kQdcountOffset) != 1 || message < dns::kHeaderSize + question.length ||
        !equal_blocks(d + dns::kHeaderSize, question.octets(), question.length)) {
      ++counters_.wrong_question;
      return;
    }
    const unsigned rcode = flags & dns::kRcodeMask;
    const std::uint16_t records = load_be16(d + dns::kAncountOffset);
    // A record takes twelve octets at least: a count without the records is no answer.
    constexpr std::size_t kLeastRecord = 12;
    if (records != 0 && message < dns::kHeaderSize + question.length + kLeastRecord) {
      ++counters_.wrong_message;
      return;
    }
    ++counters_.rcodes[rcode];
    if ((flags & dns::kTc) != 0) ++counters_.truncated;
    if (rcode == 0 && records == 0) ++counters_.without_records;
    ++counters_.answered;
    counters_.latency.add(now - slot.sent);
    give_back(slot);
  }

  void give_back(Slot& slot) {
    slot.waiting = false;
    free_[free_end_++ & mask_] = static_cast<std::uint16_t>(slot.id & mask_);
  }

  const ClientOptions& options_;
  const bool all_checksums_;
  Questions& questions_;
  Counters& counters_;
  QueryHeader<kV4> header_;
  const std::uint64_t timeout_;
  const std::uint32_t first_address_;
  const std::uint32_t mask_;
  std::vector<Slot> slots_;
  std::vector<std::uint16_t> free_;  ///< a queue: a slot rests as long as possible before its next use
  std::uint32_t free_begin_ = 0, free_end_ = 0;
  std::uint32_t expiry_ = 0, sample_ = 0;
  std::uint32_t client_ = 0, port_ = 0;
  bool priming_ = false;
  std::uint32_t primed_ = 0;
};

}  // namespace

std::unique_ptr<Clients> Clients::make(const Options& options, Questions& questions, Counters& counters,
                                       std::uint64_t cycles_per_second) {
  if (options.client.first.is_v4())
    return std::make_unique<FamilyClients<true>>(options, questions, counters, cycles_per_second);
  return std::make_unique<FamilyClients<false>>(options, questions, counters, cycles_per_second);
}

}  // namespace shunt::perf
