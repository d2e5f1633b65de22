#include "dataplane/dns/reply.h"

#include <algorithm>

#include "dataplane/base/limits.h"

namespace shunt::dns {
namespace {

constexpr std::size_t kRecordFixed = 10;  // TYPE, CLASS, TTL and RDLENGTH
constexpr std::uint32_t kTtlSign = 0x80000000;

enum Section { kAnswer, kAuthority, kAdditional };

/// The walk over an answer's records.
struct Walk {
  std::span<const std::uint8_t> message;
  Reply& out;
  std::size_t at;  ///< offset of the next record
  std::uint32_t min_ttl = 0xffffffff;
  std::uint32_t negative_ttl = 0xffffffff;
};

/// The MINIMUM of an SOA record's RDATA (RFC 1035 section 3.3.13). False where the RDATA is not that of an
/// SOA.
bool read_soa_minimum(std::span<const std::uint8_t> message, std::size_t begin, std::size_t end,
                      std::uint32_t& out) {
  const std::span<const std::uint8_t> upto = message.first(end);
  const std::size_t rname = skip_name(upto, begin);
  const std::size_t numbers = rname == 0 ? 0 : skip_name(upto, rname);
  if (numbers == 0 || end - numbers != 20) return false;
  out = load_be32(&message[end - 4]);
  return true;
}

bool read_opt_record(Walk& w, Section section) {
  Reply& out = w.out;
  if (section != kAdditional || out.edns.present || !read_opt(w.message, w.at, out.edns)) return false;
  const std::size_t end = std::size_t{out.edns.options_offset} + out.edns.options_length;
  out.opt_begin = static_cast<std::uint16_t>(w.at);
  out.opt_end = static_cast<std::uint16_t>(end);
  w.at = end;
  return true;
}

/// As skip_name(), which most owners don't need: the question's name, and the root.
inline std::size_t skip_owner(std::span<const std::uint8_t> message, std::size_t at) {
  if (message.size() - at < 2) [[unlikely]]
    return skip_name(message, at);
  if (message[at] == 0) return at + 1;
  constexpr std::uint16_t kQuestion = 0xc000 | kHeaderSize;
  return load_be16(&message[at]) == kQuestion ? at + 2 : skip_name(message, at);
}

bool read_record(Walk& w, Section section) {
  Reply& out = w.out;
  const std::size_t fixed = skip_owner(w.message, w.at);
  if (fixed == 0 || w.message.size() - fixed < kRecordFixed) return false;
  const std::uint8_t* p = w.message.data() + fixed;
  const std::uint16_t type = load_be16(p);
  if (type == static_cast<std::uint16_t>(Type::kOpt)) return read_opt_record(w, section);

  const std::size_t rdata = fixed + kRecordFixed;
  const std::size_t rdlength = load_be16(p + 8);
  if (rdlength > w.message.size() - rdata) return false;
  const std::uint32_t sent_ttl = load_be32(p + 4);
  const std::uint32_t ttl = (sent_ttl & kTtlSign) != 0 ? 0 : sent_ttl;
  w.min_ttl = std::min(w.min_ttl, ttl);
  if (out.ttl_count < kMaxTtls) out.ttl_offset[out.ttl_count] = static_cast<std::uint16_t>(fixed + 4);
  ++out.ttl_count;

  if (section == kAnswer) {
    out.has_answer_of_type |= (type == out.type || out.type == static_cast<std::uint16_t>(Type::kAny)) &&
                              load_be16(p + 2) == out.klass;
  } else if (section == kAuthority && type == static_cast<std::uint16_t>(Type::kSoa)) {
    std::uint32_t minimum = 0;
    if (!read_soa_minimum(w.message, rdata, rdata + rdlength, minimum)) return false;
    out.has_soa = true;
    w.negative_ttl = std::min({w.negative_ttl, ttl, minimum});
  }
  w.at = rdata + rdlength;
  return true;
}

bool read_section(Walk& w, Section section, unsigned count) {
  for (unsigned i = 0; i < count; ++i) {
    if (!read_record(w, section)) return false;
  }
  return true;
}

void clear(Reply& out) {
  out.header = {};
  out.edns = {};
  out.type = out.klass = 0;
  out.question_end = out.body_end = out.opt_begin = out.opt_end = out.ttl_count = 0;
  out.min_ttl = out.negative_ttl = 0;
  out.has_soa = out.has_answer_of_type = false;
}

ReplyVerdict read_header(std::span<const std::uint8_t> message, Reply& out) {
  if (message.size() < kHeaderSize) return ReplyVerdict::kShort;
  out.header = load_header(message.data());
  if ((out.header.flags & kQr) == 0) return ReplyVerdict::kNotResponse;
  const bool malformed =
      (out.header.flags & kOpcodeMask) != 0 || out.header.qdcount != 1 || message.size() > kMaxWire;
  return malformed ? ReplyVerdict::kMalformed : ReplyVerdict::kGood;
}

/// What follows the question's name, which ends with the question at `end`, within the message.
ReplyVerdict read_records(std::span<const std::uint8_t> message, std::size_t end, Reply& out) {
  out.type = load_be16(message.data() + end - 4);
  out.klass = load_be16(message.data() + end - 2);
  out.question_end = out.body_end = static_cast<std::uint16_t>(end);
  if (out.truncated()) return ReplyVerdict::kGood;

  Walk walk{.message = message, .out = out, .at = end};
  if (!read_section(walk, kAnswer, out.header.ancount) ||
      !read_section(walk, kAuthority, out.header.nscount) ||
      !read_section(walk, kAdditional, out.header.arcount) || walk.at != message.size()) {
    return ReplyVerdict::kMalformed;
  }
  // An OPT that ends the message is not part of the body.
  const bool opt_is_last = out.edns.present && out.opt_end == message.size();
  out.body_end = opt_is_last ? out.opt_begin : static_cast<std::uint16_t>(message.size());
  if (out.ttl_count != 0) out.min_ttl = walk.min_ttl;
  if (out.has_soa) out.negative_ttl = walk.negative_ttl;
  return ReplyVerdict::kGood;
}

}  // namespace

ReplyVerdict parse_reply(std::span<const std::uint8_t> message, Reply& out, Name& name) {
  clear(out);
  if (const ReplyVerdict verdict = read_header(message, out); verdict != ReplyVerdict::kGood) return verdict;
  const std::size_t length = read_name(message.subspan(kHeaderSize), name);
  const std::size_t end = kHeaderSize + length + 4;
  if (length == 0 || end > message.size()) return ReplyVerdict::kMalformed;
  return read_records(message, end, out);
}

ReplyVerdict parse_reply(std::span<const std::uint8_t> message, std::size_t question_end, Reply& out) {
  clear(out);
  const ReplyVerdict verdict = read_header(message, out);
  return verdict == ReplyVerdict::kGood ? read_records(message, question_end, out) : verdict;
}

std::uint16_t additionals_before_opt(std::span<const std::uint8_t> message, const Reply& reply) {
  const unsigned others = unsigned{reply.header.ancount} + reply.header.nscount;
  unsigned records = 0;
  for (std::size_t at = reply.question_end; at != 0 && at < reply.opt_begin; ++records) {
    at = skip_name(message, at);
    at += 10u + load_be16(&message[at + 8]);
  }
  return static_cast<std::uint16_t>(records - others);
}

std::uint32_t cacheable_seconds(const Reply& reply, std::uint32_t failure_ttl) {
  if (reply.truncated() || reply.ttl_count > kMaxTtls) return 0;
  const std::uint32_t negative = reply.has_soa ? std::min(reply.negative_ttl, reply.min_ttl) : 0;
  switch (static_cast<Rcode>(reply.rcode())) {
    case Rcode::kNoError:
      return reply.has_answer_of_type ? reply.min_ttl : negative;
    case Rcode::kNxDomain:
      return negative;
    case Rcode::kServFail:
      return reply.ttl_count != 0 ? std::min(failure_ttl, reply.min_ttl) : failure_ttl;
    default:
      return 0;
  }
}

namespace {

/// Octets of our OPT in the answer to `q`, given that `room` is left behind the question. The extended error
/// goes first where there isn't room for it: the query's own OPT was no shorter than one without options.
std::size_t opt_size(const Question& q, ExtendedError error, std::size_t room) {
  if (!q.edns.present) return 0;
  if (error != ExtendedError::kNone && room >= kOptSize + kExtendedErrorSize)
    return kOptSize + kExtendedErrorSize;
  return room >= kOptSize ? kOptSize : 0;
}

std::uint16_t reply_flags(const Question& q, const ReplyFields& fields, std::uint16_t rcode) {
  const unsigned low = rcode & kRcodeMask;
  if ((q.flags & kOpcodeMask) != 0) return static_cast<std::uint16_t>(kQr | (q.flags & kOpcodeMask) | low);
  const unsigned kept = q.flags & (kRd | kCd);
  return static_cast<std::uint16_t>(kQr | kRa | kept | (fields.authoritative ? kAa : 0u) | low);
}

}  // namespace

std::size_t cut_to_question(std::span<std::uint8_t> message) {
  if (message.size() < kHeaderSize) return 0;
  const Header header = load_header(message.data());
  const std::size_t name_end = header.qdcount == 1 ? skip_name(message, kHeaderSize) : 0;
  if (name_end == 0 || message.size() - name_end < 4) return 0;
  store_header(message.data(), {header.id, static_cast<std::uint16_t>(header.flags | kTc), 1, 0, 0, 0});
  return name_end + 4;
}

std::size_t make_reply(std::uint8_t* wire, std::size_t room, const Question& q, const ReplyFields& fields) {
  const bool has_question = q.end > kHeaderSize;
  const std::size_t limit = fields.stream ? room : std::min(room, client_limit(q.edns));
  const std::size_t opt = opt_size(q, fields.error, std::max(limit, std::size_t{q.end}) - q.end);

  auto rcode = static_cast<std::uint16_t>(fields.rcode);
  // Without OPT there is no place for the upper bits, and the lower ones alone would lie.
  if (rcode > kRcodeMask && opt == 0) rcode = static_cast<std::uint16_t>(Rcode::kServFail);

  Header header{.id = q.id,
                .flags = reply_flags(q, fields, rcode),
                .qdcount = has_question ? std::uint16_t{1} : std::uint16_t{0},
                .ancount = fields.ancount,
                .nscount = fields.nscount,
                .arcount = opt != 0 ? std::uint16_t{1} : std::uint16_t{0}};
  std::size_t end = q.end;
  const bool fits = end + fields.records.size() + opt <= limit;
  if (!has_question || fields.records.empty() || !fits) {
    if (has_question && !fields.records.empty()) header.flags |= kTc;
    header.ancount = header.nscount = 0;
  } else {
    std::memcpy(wire + end, fields.records.data(), fields.records.size());
    end += fields.records.size();
  }
  store_header(wire, header);
  if (opt == 0) return end;
  return end + write_opt(wire + end, {.udp_size = kEdnsSize,
                                      .dnssec_ok = q.edns.dnssec_ok,
                                      .extended_rcode = static_cast<std::uint8_t>(rcode >> 4),
                                      .error = opt > kOptSize ? fields.error : ExtendedError::kNone});
}

void write_synthetic_soa(std::uint8_t* to, std::uint16_t owner_offset) {
  // Primary server and mailbox are the root: there is nobody to ask (as RFC 6303 zones of peers have it).
  store_be16(to, static_cast<std::uint16_t>(0xc000 | owner_offset));
  store_be16(to + 2, static_cast<std::uint16_t>(Type::kSoa));
  store_be16(to + 4, kClassIn);
  store_be32(to + 6, kBlockedTtl);
  store_be16(to + 10, kSyntheticSoaSize - 12);
  to[12] = to[13] = 0;        // MNAME, RNAME
  store_be32(to + 14, 1);     // SERIAL
  store_be32(to + 18, 3600);  // REFRESH, RETRY, EXPIRE: for secondaries, which there are none of
  store_be32(to + 22, 1200);
  store_be32(to + 26, 604800);
  store_be32(to + 30, kBlockedTtl);  // MINIMUM: how long the denial may be cached
}

}  // namespace shunt::dns
