// Reading a client's query: header, exactly one question, at most one OPT, nothing else.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/dns/edns.h"
#include "dataplane/dns/name.h"
#include "dataplane/dns/wire.h"

namespace shunt::dns {

/// What is to be done with a message that claims to be a query. Anything but kGood ends its way.
enum class QueryVerdict : std::uint8_t {
  kGood,
  kShort,     ///< no whole header: drop
  kResponse,  ///< QR set: drop, never answered, so that two servers can't be set on each other
  kFormErr,   ///< see parse_query
  /// Opcode other than QUERY (RFC 8906), or a query type for another protocol (TKEY, TSIG, MAILA, MAILB).
  kNotImp,
  kBadVers,  ///< EDNS version above 0
  kRefused,  ///< zone transfer, or class other than IN
};

struct Question {
  std::uint16_t id = 0;
  std::uint16_t flags = 0;  ///< as received, host order
  std::uint16_t type = 0;
  std::uint16_t klass = 0;
  std::uint16_t end = 0;  ///< offset behind the question: kHeaderSize where there is none that could be read
  Edns edns;
  Name name;

  bool recursion_desired() const { return (flags & kRd) != 0; }
  bool checking_disabled() const { return (flags & kCd) != 0; }
};

/// Parses `message` (RFC 1035 section 4.1; RFC 6891). Never reads past it; `out` is whole for kGood only, but
/// id, flags and (where the question could be read) end, type, klass, name and edns are set for errors too,
/// so that an error answer can be made in place: `edns` where a single OPT was well-formed, and nothing else
/// of what lies behind the question. Where the question wasn't read, `name` is the root, `type` and `klass`
/// are 0, and `end` is kHeaderSize.
///
/// FORMERR: QDCOUNT other than 1, ANCOUNT or NSCOUNT other than 0, ARCOUNT above 1 or a record other than OPT
/// there, a malformed OPT, a name that is compressed or over-long, trailing octets, more than kMaxWire
/// octets. A query whose version, class or type earns BADVERS, REFUSED or NOTIMP (in that order) gets those
/// only where the rest is well-formed; an opcode other than QUERY is NOTIMP whatever follows, its question is
/// not read.
QueryVerdict parse_query(std::span<const std::uint8_t> message, Question& out);

}  // namespace shunt::dns
