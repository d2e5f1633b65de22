#include "dataplane/stages/stages.h"

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

// Finishes the answer behind the client's own question, which stays as it is, its case included.
std::size_t write_hit(Query& q, const state::CacheHit& hit) {
  const dns::Question& question = q.question;
  const bool servfail = (hit.flags & dns::kRcodeMask) == static_cast<std::uint16_t>(dns::Rcode::kServFail);
  const std::size_t opt =
      !question.edns.present ? 0 : dns::kOptSize + (servfail ? dns::kExtendedErrorSize : 0);
  const std::size_t limit = q.transport == state::Transport::kUdp ? dns::client_limit(question.edns) : q.room;
  std::uint16_t flags = answer_flags(question, hit.flags);
  std::size_t length = question.end;
  dns::Header header{question.id, flags, 1, hit.ancount, hit.nscount, hit.arcount};
  if (length + hit.body_length + opt <= std::min<std::size_t>(limit, q.room)) {
    state::copy_aged(hit, q.wire + length);
    length += hit.body_length;
  } else {
    header = {question.id, static_cast<std::uint16_t>(flags | dns::kTc), 1, 0, 0, 0};
  }
  if (opt != 0) {
    ++header.arcount;
    length += dns::write_opt(
        q.wire + length, {.udp_size = kEdnsSize,
                          .dnssec_ok = question.edns.dnssec_ok,
                          .extended_rcode = hit.extended_rcode,
                          .error = servfail ? dns::ExtendedError::kCachedError : dns::ExtendedError::kNone});
  }
  dns::store_header(q.wire, header);
  return length;
}

}  // namespace

void answer_from_cache(Context& context, Burst& burst) {
  for (unsigned n = 0; n < burst.live; ++n)
    context.cache.prefetch_bucket(burst.query[burst.alive[n]].key.hash);
  for (unsigned n = 0; n < burst.live; ++n)
    context.cache.prefetch_entry(burst.query[burst.alive[n]].key.hash);
  const std::uint32_t now = context.now.seconds();
  unsigned live = 0;
  for (unsigned n = 0; n < burst.live; ++n) {
    const std::uint8_t i = burst.alive[n];
    Query& q = burst.query[i];
    state::CacheHit hit;
    // A question with a client subnet or options unknown to us has an answer of its own.
    if (!q.question.edns.foreign_options && context.cache.find(q.key, now, hit)) {
      ++context.stats[Counter::cache_hits];
      const std::size_t length = write_hit(q, hit);
      if ((load_be16(q.wire + dns::kFlagsOffset) & dns::kTc) != 0) ++context.stats[Counter::truncated];
      send_answer(context, q, length, Counter::answered_cache);
      continue;
    }
    ++context.stats[Counter::cache_misses];
    burst.alive[live++] = i;
  }
  burst.live = live;
}

}  // namespace shunt
