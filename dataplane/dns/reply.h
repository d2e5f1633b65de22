// Reading an upstream's answer, and making answers of our own.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/base/limits.h"
#include "dataplane/dns/edns.h"
#include "dataplane/dns/name.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/wire.h"

namespace shunt::dns {

/// TTLs that a stored answer may have; an answer with more records is relayed, but not cached.
inline constexpr std::size_t kMaxTtls = 128;

enum class ReplyVerdict : std::uint8_t { kGood, kShort, kNotResponse, kMalformed };

/// An upstream's answer, as far as relaying and caching need to know it. Offsets count from the message's
/// first octet.
struct Reply {
  Header header{};
  Edns edns;
  std::uint16_t type = 0, klass = 0;  ///< of its question
  std::uint16_t question_end = 0;     ///< offset behind the question
  std::uint16_t body_end = 0;         ///< offset behind the last record other than OPT
  /// The OPT record's octets, [opt_begin, opt_end); both 0 where there is none. Mostly it is the last record:
  /// then opt_begin == body_end. Otherwise opt_begin < body_end, and the body without OPT is [question_end,
  /// opt_begin) and [opt_end, body_end). Taking the OPT out from between them moves the second part, and so
  /// breaks the compression pointers that lead into it.
  std::uint16_t opt_begin = 0, opt_end = 0;
  std::uint16_t ttl_count = 0;  ///< TTLs found; above kMaxTtls only the first are listed
  /// Of each record's TTL but OPT's; left as it was behind ttl_count.
  std::array<std::uint16_t, kMaxTtls> ttl_offset;
  /// Smallest of all those TTLs, seconds; 2^31 and above count as 0 (RFC 2181 section 8); 0 where there are
  /// none.
  std::uint32_t min_ttl = 0;
  /// TTL of a negative answer (RFC 2308 section 5): the lesser of the SOA's TTL and its MINIMUM; valid where
  /// `has_soa`.
  std::uint32_t negative_ttl = 0;
  bool has_soa = false;  ///< an SOA in the authority section
  /// A record of the asked type, class and any owner in the answer section (any type, for ANY).
  bool has_answer_of_type = false;

  std::uint16_t rcode() const {
    return static_cast<std::uint16_t>((header.flags & kRcodeMask) | (edns.extended_rcode << 4));
  }
  bool truncated() const { return (header.flags & kTc) != 0; }
};

/// Parses an answer whole: every name and record must lie within `message`; section counts must be met; at
/// most one OPT, in the additional section (RFC 6891 section 6.1.1); trailing octets are malformed.
/// kMalformed also for QDCOUNT other than 1, a compressed question name, an opcode other than QUERY, more
/// than kMaxWire octets. `name` receives the question's name. RDATA is opaque but for OPT's and for an SOA's
/// in the authority section, which must be whole. For kGood all of `out` is valid; otherwise only the header
/// is, where there is one. An answer with TC set may break off anywhere behind its question: its records are
/// not read then (header counts and records are void; body_end = question_end).
ReplyVerdict parse_reply(std::span<const std::uint8_t> message, Reply& out, Name& name);
/// The same for an answer whose question's octets the caller has found to be those of a question that it
/// asked, in whatever case: a name, type and class that end at `question_end`, within `message`.
ReplyVerdict parse_reply(std::span<const std::uint8_t> message, std::size_t question_end, Reply& out);

/// Makes a message that breaks off somewhere, in place, a truncated answer with nothing but its question: TC
/// set, no records. Returns its new length; 0, with nothing changed, where no question is whole.
std::size_t cut_to_question(std::span<std::uint8_t> message);

/// Additional records that stand in front of the OPT record, which there is: where it is taken out, what
/// follows is cut off, so that no name's compression pointer can lose its goal. Upstreams put it last nearly
/// always.
std::uint16_t additionals_before_opt(std::span<const std::uint8_t> message, const Reply& reply);

/// An answer that says that there is nothing: no such name, or no records of the type (RFC 2308 section 2).
inline bool is_negative(const Reply& reply) {
  const std::uint16_t rcode = reply.rcode();
  return rcode == static_cast<std::uint16_t>(Rcode::kNxDomain) ||
         (rcode == static_cast<std::uint16_t>(Rcode::kNoError) && !reply.has_answer_of_type);
}

/// How long an answer may be cached (RFC 2308, RFC 2181), before the upstream's own bounds: 0 for never.
/// Never longer than its smallest TTL. `failure_ttl` is for SERVFAIL (RFC 9520). Truncated answers, answers
/// with more than kMaxTtls TTLs and rcodes other than NOERROR, NXDOMAIN, SERVFAIL: never; negative ones
/// without SOA: never.
std::uint32_t cacheable_seconds(const Reply& reply, std::uint32_t failure_ttl);

/// What an error or a rule's answer is made of.
struct ReplyFields {
  Rcode rcode = Rcode::kNoError;
  ExtendedError error = ExtendedError::kNone;
  bool authoritative = false;
  bool stream = false;  ///< the client asked over TCP, TLS or HTTPS: only `room` limits the answer
  /// Answer records in wire format, ready to copy, with their counts; owner names point at the question
  /// (0xc00c) or are whole.
  std::span<const std::uint8_t> records;
  std::uint16_t ancount = 0;
  std::uint16_t nscount = 0;
};

/// Turns the query at `wire` into its answer, in place: id, RD, CD, question kept with their exact case
/// (where there was one: q.end > kHeaderSize); QR and RA set; AA, AD, Z and everything behind the question
/// replaced. An OPT of ours follows where the query had one; the extended error goes into it, and is left out
/// where it doesn't fit. `room` octets are writable at `wire`, as many as the query had at least. Cuts to
/// min(client's size, room): an answer that doesn't fit loses all records and gets TC. Where there was no
/// question the answer is the header alone. An RCODE above 15 becomes SERVFAIL where the query had no OPT.
/// Returns the new length. An opcode other than QUERY is mirrored, with its other flags clean (RFC 8906
/// section 3.1.4).
std::size_t make_reply(std::uint8_t* wire, std::size_t room, const Question& q, const ReplyFields& fields);

/// The client's limit for an answer over UDP: 512 without EDNS, else what it advertised, within
/// [512, kEdnsSize].
inline std::size_t client_limit(const Edns& edns) {
  return edns.present ? std::clamp(edns.udp_size, kPlainSize, kEdnsSize) : kPlainSize;
}

/// An SOA record for a synthesized negative answer, owner at `owner_offset` of the message (a pointer); TTL
/// and MINIMUM are kBlockedTtl. `to` has kSyntheticSoaSize octets.
inline constexpr std::size_t kSyntheticSoaSize = 34;
void write_synthetic_soa(std::uint8_t* to, std::uint16_t owner_offset);

}  // namespace shunt::dns
