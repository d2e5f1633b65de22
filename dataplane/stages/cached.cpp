#include <algorithm>

#include "dataplane/net/checksum.h"
#include "dataplane/stages/reflect.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"

namespace shunt {
namespace {

// Flags of an answer towards a client: what the upstream said of it, and what the client asked.
std::uint16_t answer_flags(const dns::Question& q, std::uint16_t stored) {
  std::uint16_t flags =
      dns::kQr | dns::kRa | (q.flags & (dns::kRd | dns::kCd)) | (stored & (dns::kAa | dns::kRcodeMask));
  // AD only towards those who say that they understand it (RFC 6840 section 5.8).
  if (q.edns.dnssec_ok || (q.flags & dns::kAd) != 0) flags |= stored & dns::kAd;
  return flags;
}

// An answer's octets behind the question.
struct Tail {
  std::size_t length = 0;
  net::Sum sum = 0;  ///< as if they began at an even offset

  void add(std::size_t octets, net::Sum of_them) {
    sum += net::at_offset(of_them, length);
    length += octets;
  }
};

// An OPT of ours behind the answer.
void add_opt(const Query& q, bool servfail, Tail& tail) {
  const dns::OptFields fields{
      .udp_size = kEdnsSize,
      .dnssec_ok = q.question.edns.dnssec_ok,
      .error = servfail ? dns::ExtendedError::kCachedError : dns::ExtendedError::kNone};
  tail.add(dns::write_opt(q.wire + q.question.end + tail.length, fields), opt_sum(fields));
}

std::size_t limit_of(const Query& q) {
  if (q.transport != state::Transport::kUdp) [[unlikely]]
    return q.room;
  return std::min<std::size_t>(dns::client_limit(q.question.edns), q.room);
}

// Finishes the answer behind the client's own question, which stays as it is, its case included.
[[gnu::always_inline]] inline Tail write_hit(Context& context, Query& q, const state::CacheHit& hit) {
  const dns::Question& question = q.question;
  const bool servfail = (hit.flags & dns::kRcodeMask) == static_cast<std::uint16_t>(dns::Rcode::kServFail);
  const std::size_t opt =
      !question.edns.present ? 0 : dns::kOptSize + (servfail ? dns::kExtendedErrorSize : 0);
  std::uint16_t flags = answer_flags(question, hit.flags);
  Tail tail;
  std::uint16_t records = 0xffff;  // keeps the counts, or none of them
  if (question.end + hit.body_length + opt <= limit_of(q)) [[likely]] {
    state::copy_aged(hit, q.wire + question.end, q.room - question.end);
    tail = {hit.body_length, state::aged_sum(hit)};
  } else {
    flags |= dns::kTc;
    records = 0;
    ++context.stats[Counter::truncated];
  }
  if (opt != 0) add_opt(q, servfail, tail);
  dns::store_header(q.wire, {question.id, flags, 1, static_cast<std::uint16_t>(hit.ancount & records),
                             static_cast<std::uint16_t>(hit.nscount & records),
                             static_cast<std::uint16_t>((hit.arcount & records) + (opt != 0 ? 1 : 0))});
  return tail;
}

[[gnu::always_inline]] inline void send_hit(Context& context, Query& q, const state::CacheHit& hit) {
  static constexpr Counter kCounted[] = {Counter::answered_cache, Counter::answered_rule,
                                         Counter::answered_zone};
  bump(context.figure(hit.figure).hits[figure_rcode(hit.flags & dns::kRcodeMask)]);
  const Tail tail = write_hit(context, q, hit);
  send_answer(context, q, q.question.end + tail.length, tail.sum, kCounted[static_cast<unsigned>(hit.maker)]);
}

// Sends what `find` finds for the live queries; the others stay alive.
template <typename Find>
void answer(Context& context, Burst& burst, Find find) {
  unsigned live = 0;
  for (unsigned n = 0; n < burst.live; ++n) {
    const std::uint8_t i = burst.alive[n];
    Query& q = burst.query[i];
    state::CacheHit hit;
    // A question with a client subnet or options unknown to us has an answer of its own.
    if (!q.question.edns.foreign_options && find(q, hit)) {
      send_hit(context, q, hit);
      continue;
    }
    burst.alive[live++] = i;
  }
  context.stats[Counter::cache_hits] += burst.live - live;
  burst.live = live;
  if (context.cache.any_due()) [[unlikely]]
    refetch(context, burst);
}

}  // namespace

void answer_routed(Context& context, Burst& burst) {
  for (unsigned n = 0; n < burst.live; ++n) {
    Query& q = burst.query[burst.alive[n]];
    q.place = context.cache.prefetch_entry(q.key.hash);
  }
  const std::uint32_t now = context.now.seconds();
  answer(context, burst, [&context, now](Query& q, state::CacheHit& hit) {
    if (!context.cache.find_routed(q.key, q.place, now, hit)) return false;
    if (hit.figure != 0) [[likely]]
      return true;
    // One that is drawn is matched, so that its rule is known, and finds its answer after that.
    q.sampled = context.sampler.due();
    return !q.sampled;
  });
}

void answer_from_cache(Context& context, Burst& burst) {
  const std::uint32_t now = context.now.seconds();
  answer(context, burst, [&context, now](const Query& q, state::CacheHit& hit) {
    return context.cache.find(q.key, q.place, now, hit);
  });
  context.stats[Counter::cache_misses] += burst.live;
}

}  // namespace shunt
