// Any octets as an upstream's answer.
#include <algorithm>

#include "dataplane/dns/reply.h"
#include "tests/fuzz/require.h"
#include "tests/support/dns_messages.h"
#include "tests/support/reference_reader.h"

namespace {

using namespace shunt;
using namespace shunt::dns;
using namespace shunt::testing;

void check_verdict(ReplyVerdict verdict, Fault fault) {
  require((verdict == ReplyVerdict::kGood) == (fault == Fault::kNone));
  require((verdict == ReplyVerdict::kShort) == (fault == Fault::kShort));
  require((verdict == ReplyVerdict::kNotResponse) == (fault == Fault::kDirection));
}

void check_places(std::span<const std::uint8_t> message, const Reply& r) {
  require(kHeaderSize < r.question_end && r.question_end <= r.body_end && r.body_end <= message.size());
  const std::size_t listed = std::min<std::size_t>(r.ttl_count, kMaxTtls);
  std::size_t behind = r.question_end;
  for (std::size_t i = 0; i < listed; ++i) {
    require(r.ttl_offset[i] >= behind + 5);  // an owner, TYPE and CLASS come first
    behind = r.ttl_offset[i] + 6u;           // the TTL itself and RDLENGTH
    require(behind <= r.body_end);
    const std::uint32_t ttl = load_be32(&message[r.ttl_offset[i]]);
    require(r.min_ttl <= (ttl > 0x7fffffff ? 0 : ttl));
  }
  if (!r.edns.present) {
    require(r.opt_begin == 0 && r.opt_end == 0);
    require(r.truncated() || r.body_end == message.size());
    return;
  }
  require(r.question_end <= r.opt_begin && r.opt_begin + kOptSize + r.edns.options_length == r.opt_end);
  require(r.opt_end == message.size() ? r.body_end == r.opt_begin : r.body_end == message.size());
}

/// What goes into the cache and to other clients: the answer without its OPT.
void check_without_opt(std::span<const std::uint8_t> message, const Reply& r) {
  if (!r.edns.present || r.opt_begin != r.body_end) return;
  Bytes octets(message.begin(), message.begin() + r.body_end);
  store_be16(&octets[kArcountOffset], static_cast<std::uint16_t>(r.header.arcount - 1));
  Reply again;
  Name name;
  require(parse_reply(octets, again, name) == ReplyVerdict::kGood);
  require(!again.edns.present && again.body_end == r.body_end && again.ttl_count == r.ttl_count);
  require(again.min_ttl == r.min_ttl && again.negative_ttl == r.negative_ttl);
  require(again.has_answer_of_type == r.has_answer_of_type);
}

/// Of anything that has a whole question.
void check_cut(std::span<const std::uint8_t> message) {
  Bytes octets(message.begin(), message.end());
  const std::size_t end = cut_to_question(octets);
  require(end == 0 || (end > kHeaderSize + 4 && end <= octets.size()));
  if (end == 0) require(std::equal(octets.begin(), octets.end(), message.begin()));
  Reply reply;
  Name name;
  octets.resize(end);
  if (parse_reply(octets, reply, name) == ReplyVerdict::kGood)
    require(reply.truncated() && reply.body_end == end);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::span message(data, size);
  static Reply reply;  // used again and again, as a worker does
  static Name name;
  check_cut(message);
  const ReplyVerdict verdict = parse_reply(message, reply, name);
  const Reading reading = ReferenceReader(message).read_answer();
  check_verdict(verdict, reading.fault);
  if (verdict != ReplyVerdict::kGood) return 0;

  require(reply.question_end == reading.question_end);
  require(reply.question_end == kHeaderSize + name.length + 4u);
  require(reply.ttl_count + (reply.edns.present ? 1u : 0u) == reading.records.size());
  check_places(message, reply);
  check_without_opt(message, reply);
  Reply known;  // read by who compared the question
  require(parse_reply(message, reply.question_end, known) == ReplyVerdict::kGood);
  require(known.body_end == reply.body_end && known.ttl_count == reply.ttl_count);
  const std::uint32_t seconds = cacheable_seconds(reply, 5);
  require(!reply.truncated() || seconds == 0);
  require(reply.ttl_count == 0 ? seconds == 0 || seconds == 5 : seconds <= reply.min_ttl);
  return 0;
}
