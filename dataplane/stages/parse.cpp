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

}  // namespace

void parse(Context& context, Burst& burst) {
  unsigned live = 0;
  for (unsigned n = 0; n < burst.live; ++n) {
    const std::uint8_t i = burst.alive[n];
    Query& q = burst.query[i];
    if (!admit(context, q, dns::parse_query({q.wire, q.length}, q.question))) continue;
    dns::hash_suffixes(context.hash_key, q.question.name, &burst.hashes.at[0][i], kBurst);
    burst.alive[live++] = i;
  }
  burst.live = live;
}

}  // namespace shunt
