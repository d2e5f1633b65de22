// Any octets as a client's query, and the answers that are made of it in place.
#include <algorithm>
#include <cstring>

#include "dataplane/base/limits.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"
#include "tests/fuzz/require.h"
#include "tests/support/dns_messages.h"
#include "tests/support/reference_reader.h"

namespace {

using namespace shunt;
using namespace shunt::dns;
using namespace shunt::testing;

void check_question(std::span<const std::uint8_t> message, const Question& q) {
  require(q.end == kHeaderSize || q.end == kHeaderSize + q.name.length + 4u);
  require(q.end <= std::max(message.size(), kHeaderSize));
  if (q.end > kHeaderSize) {
    require(equal_ignoring_case(message.data() + kHeaderSize, q.name.wire.data(), q.name.length));
    require(load_be16(message.data() + q.end - 4) == q.type);
  }
  if (q.edns.present) {
    require(q.edns.record_offset == q.end);
    require(q.edns.options_offset + std::size_t{q.edns.options_length} <= message.size());
  }
}

void check_reply(std::span<const std::uint8_t> query, const Question& q, const ReplyFields& fields,
                 std::size_t room) {
  room = std::max(room, query.size());
  Bytes octets(query.begin(), query.end());
  octets.resize(room);
  ExactBuffer buffer(octets);
  const std::size_t length = make_reply(buffer.data(), room, q, fields);
  require(length <= room);
  const auto answer = buffer.span().first(length);
  require(load_be16(answer.data()) == q.id);
  if (q.end == kHeaderSize) {
    require(length == kHeaderSize);
    return;
  }
  require(fields.stream || length <= std::max(client_limit(q.edns), std::size_t{q.end} + kOptSize));
  require(std::memcmp(answer.data() + kHeaderSize, query.data() + kHeaderSize, q.end - kHeaderSize) == 0);
  Reply reply;
  Name name;
  require(parse_reply(answer, reply, name) == ReplyVerdict::kGood);
  require(std::ranges::equal(name.octets(), q.name.octets()));
  require(reply.type == q.type && reply.klass == q.klass);
  if (!reply.truncated()) {
    require(reply.edns.present == q.edns.present);
    require(reply.rcode() == static_cast<std::uint16_t>(fields.rcode));
    require(reply.header.nscount == fields.nscount);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span message(data, size);
  static Question q;  // used again and again, as a worker does
  const QueryVerdict verdict = parse_query(message, q);
  check_question(message, q);

  const Fault fault = ReferenceReader(message).read_query().fault;
  require((verdict == QueryVerdict::kShort) == (fault == Fault::kShort));
  require((verdict == QueryVerdict::kResponse) == (fault == Fault::kDirection));
  if (verdict == QueryVerdict::kGood) require(fault == Fault::kNone);
  if (verdict == QueryVerdict::kShort || verdict == QueryVerdict::kResponse) return 0;

  Rcode rcode = Rcode::kServFail;
  if (verdict == QueryVerdict::kFormErr) rcode = Rcode::kFormErr;
  if (verdict == QueryVerdict::kNotImp) rcode = Rcode::kNotImp;
  if (verdict == QueryVerdict::kRefused) rcode = Rcode::kRefused;
  if (verdict == QueryVerdict::kBadVers) rcode = Rcode::kBadVers;
  std::uint8_t soa[kSyntheticSoaSize];
  write_synthetic_soa(soa, kHeaderSize);
  for (std::size_t room : {std::size_t{0}, size + 7, size + 60, kMaxMessage}) {
    check_reply(message, q, {.rcode = rcode, .error = ExtendedError::kBlocked}, room);
    check_reply(message, q, {.rcode = rcode, .records = soa, .nscount = 1}, room);
    check_reply(
        message, q,
        {.rcode = rcode, .error = ExtendedError::kBlocked, .stream = true, .records = soa, .nscount = 1},
        room);
  }
  return 0;
}
