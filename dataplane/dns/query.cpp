#include "dataplane/dns/query.h"

namespace shunt::dns {
namespace {

/// QDCOUNT, ANCOUNT, NSCOUNT and ARCOUNT as they stand in the header, loaded as one word.
constexpr std::uint64_t kQuestions = 0xffff;
constexpr std::uint64_t kOneQuestion = std::uint64_t{1} << 8;
constexpr std::uint64_t kQuestionAndOpt = std::uint64_t{1} << 56 | kOneQuestion;

void clear_question(Question& out) {
  out.type = out.klass = 0;
  out.end = kHeaderSize;
  out.name.length = 1;
  out.name.labels = 0;
  out.name.offset[0] = 0;
  out.name.wire[0] = 0;
}

/// Whether a well-formed question is for this server at all.
QueryVerdict judge(const Question& q) {
  if (q.klass != kClassIn) [[unlikely]]
    return QueryVerdict::kRefused;
  if (q.type < static_cast<std::uint16_t>(Type::kTkey)) [[likely]]
    return QueryVerdict::kGood;  // asked first: below are the types that clients want
  switch (static_cast<Type>(q.type)) {
    case Type::kTkey:
    case Type::kTsig:
    case Type::kMailb:
    case Type::kMaila:
      return QueryVerdict::kNotImp;
    case Type::kIxfr:
    case Type::kAxfr:
      return QueryVerdict::kRefused;
    default:
      return QueryVerdict::kGood;
  }
}

}  // namespace

QueryVerdict parse_query(std::span<const std::uint8_t> message, Question& out) {
  const std::uint8_t* wire = message.data();
  out.edns = {};
  if (message.size() < kHeaderSize) [[unlikely]] {
    out.id = out.flags = 0;
    clear_question(out);
    return QueryVerdict::kShort;
  }
  out.id = load_be16(wire + kIdOffset);
  out.flags = load_be16(wire + kFlagsOffset);
  const std::uint64_t counts = load_le64(wire + kQdcountOffset);
  const bool query = (out.flags & (kQr | kOpcodeMask)) == 0;
  if (!query || (counts & kQuestions) != kOneQuestion || message.size() > kMaxWire) [[unlikely]] {
    clear_question(out);
    if ((out.flags & kQr) != 0) return QueryVerdict::kResponse;
    return (out.flags & kOpcodeMask) != 0 ? QueryVerdict::kNotImp : QueryVerdict::kFormErr;
  }

  const std::size_t length = read_name(message.subspan(kHeaderSize), out.name);
  const std::size_t end = kHeaderSize + length + 4;
  if (length == 0 || end > message.size()) [[unlikely]] {
    clear_question(out);
    return QueryVerdict::kFormErr;
  }
  out.type = load_be16(wire + end - 4);
  out.klass = load_be16(wire + end - 2);
  out.end = static_cast<std::uint16_t>(end);

  if (counts == kQuestionAndOpt) {
    if (!read_opt(message, end, out.edns)) [[unlikely]]
      return QueryVerdict::kFormErr;
    const std::size_t behind = std::size_t{out.edns.options_offset} + out.edns.options_length;
    if (behind != message.size()) [[unlikely]]
      return QueryVerdict::kFormErr;
    if (out.edns.version != 0) [[unlikely]]
      return QueryVerdict::kBadVers;
  } else if (counts != kOneQuestion || end != message.size()) [[unlikely]] {
    return QueryVerdict::kFormErr;
  }
  return judge(out);
}

}  // namespace shunt::dns
