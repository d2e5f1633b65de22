#include "dataplane/net/checksum.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

using dns::ExtendedError;
using dns::QueryVerdict;
using dns::Rcode;

// True where the query goes on.
bool admit(Context& context, Query& q, QueryVerdict verdict) {
  switch (verdict) {
    case QueryVerdict::kGood:
      return true;
    case QueryVerdict::kShort:
      drop_query(context, q.packet, QueryDrop::short_header);
      return false;
    case QueryVerdict::kResponse:
      drop_query(context, q.packet, QueryDrop::response);
      return false;
    case QueryVerdict::kFormErr:
      send_error(context, q, Rcode::kFormErr, ExtendedError::kNone);
      return false;
    case QueryVerdict::kNotImp:
      send_error(context, q, Rcode::kNotImp, ExtendedError::kNone);
      return false;
    case QueryVerdict::kBadVers:
      send_error(context, q, Rcode::kBadVers, ExtendedError::kNone);
      return false;
    case QueryVerdict::kRefused:
      send_error(context, q, Rcode::kRefused, ExtendedError::kNotSupported);
      return false;
  }
  return false;
}

// The message has a whole header.
net::Sum replaced_sum(const Query& q) {
  const net::Sum header = dns_header_sum(q.wire);
  const std::size_t end = q.question.end;
  if (q.length <= end) return header;
  return header + net::at_offset(net::add_octets(0, q.wire + end, q.length - end), end);
}

// True where the client is in a network, whose rules then apply; an endpoint may name one for all.
bool find_network(Context& context, Query& q) {
  const state::Snapshot& snapshot = *context.snapshot;
  q.network = snapshot.endpoints[q.endpoint].network;
  if (q.network == net::PrefixTable::kNone) q.network = snapshot.clients.find(q.frame.source);
  if (q.network != net::PrefixTable::kNone) [[likely]]
    return true;
  send_error(context, q, Rcode::kRefused, ExtendedError::kProhibited);
  return false;
}

void make_key(const Context& context, Query& q) {
  const dns::Name& name = q.question.name;
  q.key.name = &name;
  q.key.type = q.question.type;
  q.key.flags = state::cache_flags(q.question);
  q.key.routing = context.snapshot->networks[q.network].routing;
  q.key.hash = state::cache_hash(dns::hash_name(context.hash_key, name.wire.data(), name.length), q.key.type,
                                 q.key.flags);
}

}  // namespace

void parse(Context& context, Burst& burst) {
  unsigned live = 0;
  for (unsigned n = 0; n < burst.live; ++n) {
    const std::uint8_t i = burst.alive[n];
    Query& q = burst.query[i];
    const QueryVerdict verdict = dns::parse_query({q.wire, q.length}, q.question);
    if (verdict != QueryVerdict::kShort) q.replaced_sum = replaced_sum(q);
    if (!admit(context, q, verdict) || !find_network(context, q)) continue;
    make_key(context, q);
    context.cache.prefetch_bucket(q.key.hash);
    burst.alive[live++] = i;
  }
  burst.live = live;
}

}  // namespace shunt
