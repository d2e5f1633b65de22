#include "dataplane/net/checksum.h"
#include "dataplane/stages/stages.h"
#include "dataplane/stages/sums.h"

namespace shunt {
namespace {

using dns::ExtendedError;
using dns::QueryVerdict;
using dns::Rcode;

// Ends the way of a query that isn't good.
[[gnu::cold, gnu::noinline]] void reject(Context& context, Query& q, QueryVerdict verdict) {
  switch (verdict) {
    case QueryVerdict::kGood:
      break;
    case QueryVerdict::kShort:
      return drop_query(context, q, QueryDrop::short_header);
    case QueryVerdict::kResponse:
      return drop_query(context, q, QueryDrop::response);
    case QueryVerdict::kFormErr:
      return send_error(context, q, Rcode::kFormErr, ExtendedError::kNone);
    case QueryVerdict::kNotImp:
      return send_error(context, q, Rcode::kNotImp, ExtendedError::kNone);
    case QueryVerdict::kBadVers:
      return send_error(context, q, Rcode::kBadVers, ExtendedError::kNone);
    case QueryVerdict::kRefused:
      return send_error(context, q, Rcode::kRefused, ExtendedError::kNotSupported);
  }
}

// The message has a whole header.
net::Sum replaced_sum(const Query& q) {
  const net::Sum header = dns_header_sum(q.wire);
  const std::size_t end = q.question.end;
  if (q.length <= end) [[likely]]
    return header;
  return header + net::at_offset(net::add_octets(0, q.wire + end, q.length - end), end);
}

// The client's network, whose rules apply; an endpoint may name one for all. kNone where it is in none.
std::uint32_t find_network(const state::Snapshot& snapshot, const Query& q) {
  const std::uint32_t of_endpoint = snapshot.endpoints[q.endpoint].network;
  return of_endpoint != net::PrefixTable::kNone ? of_endpoint : snapshot.clients.find(q.frame.source);
}

void make_key(const Context& context, Query& q) {
  const dns::Name& name = q.question.name;
  q.key.name = name.wire.data();
  q.key.name_length = name.length;
  q.key.type = q.question.type;
  q.key.flags = state::cache_flags(q.question);
  q.key.routing = context.routing_of(q.network);
  q.sampled = false;
  q.key.hash = state::cache_hash(dns::hash_name(context.hash_key, name.wire.data(), name.length), q.key.type,
                                 q.key.flags);
}

// Reads the live queries' questions; those that are good stay alive.
void read_questions(Context& context, Burst& burst) {
  unsigned live = 0;
  for (unsigned n = 0; n < burst.live; ++n) {
    const std::uint8_t i = burst.alive[n];
    Query& q = burst.query[i];
    const QueryVerdict verdict = dns::parse_query({q.wire, q.length}, q.question);
    if (verdict != QueryVerdict::kShort) q.replaced_sum = replaced_sum(q);
    if (verdict != QueryVerdict::kGood) [[unlikely]] {
      reject(context, q, verdict);
      continue;
    }
    burst.alive[live++] = i;
  }
  burst.live = live;
}

// Finds the clients' networks and makes the keys; asks for the buckets where they may be cached.
void prepare_lookups(Context& context, Burst& burst) {
  unsigned live = 0;
  for (unsigned n = 0; n < burst.live; ++n) {
    const std::uint8_t i = burst.alive[n];
    Query& q = burst.query[i];
    // What the control plane asks for a client has the client's network already.
    if (q.transport != state::Transport::kAlias) [[likely]]
      q.network = find_network(*context.snapshot, q);
    if (q.network == net::PrefixTable::kNone) [[unlikely]] {
      send_error(context, q, Rcode::kRefused, ExtendedError::kProhibited);
      continue;
    }
    make_key(context, q);
    context.cache.prefetch_bucket(q.key.hash);
    burst.alive[live++] = i;
  }
  burst.live = live;
}

}  // namespace

// In two loops: reading a name is one long chain of loads, hashing it one of multiplications, and the
// processor overlaps only what is close together.
void parse(Context& context, Burst& burst) {
  read_questions(context, burst);
  prepare_lookups(context, burst);
}

}  // namespace shunt
