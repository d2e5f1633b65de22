// Upstreams' answers: verified against what is pending, and relayed to everyone who waits.
#include <rte_mbuf.h>

#include <array>

#include "dataplane/base/octets.h"
#include "dataplane/stages/deliver.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

using state::Slot;

[[gnu::cold, gnu::noinline]] void drop(Context& context, rte_mbuf* packet, AnswerDrop reason) {
  ++context.stats.answer_drops[reason];
  rte_pktmbuf_free(packet);
}

// Where the question that an answer repeats ends, if it is the slot's, in whatever case; else 0. It needs no
// parsing for that: octets that are the same are as well-formed. `is_lower` tells whether the case is the
// same, too. A packet buffer has octets to read behind the name.
std::size_t end_of_same_question(const Slot& slot, std::span<const std::uint8_t> message, bool& is_lower) {
  const std::uint8_t* const name = message.data() + dns::kHeaderSize;
  const std::size_t length = slot.name_length;
  if (dns::kHeaderSize + length + 4 > message.size()) return 0;
  if (load_be16(name + length) != slot.type || load_be16(name + length + 2) != slot.klass) return 0;
  is_lower = equal_octets(name, slot.name.data(), length);
  if (!is_lower && !dns::equal_ignoring_case(name, slot.name.data(), length)) return 0;
  return dns::kHeaderSize + length + 4;
}

// Why an answer is dropped whose question isn't the slot's.
AnswerDrop reason_of(dns::ReplyVerdict verdict) {
  switch (verdict) {
    case dns::ReplyVerdict::kGood:
      break;
    case dns::ReplyVerdict::kShort:
      return AnswerDrop::short_header;
    case dns::ReplyVerdict::kNotResponse:
      return AnswerDrop::not_response;
    case dns::ReplyVerdict::kMalformed:
      return AnswerDrop::malformed;
  }
  return AnswerDrop::wrong_question;
}

// A message of the target that was asked, and no answer: counted for it, and the wait goes on.
[[gnu::cold, gnu::noinline]] void drop_from(Context& context, rte_mbuf* packet, const state::Try& t,
                                            AnswerDrop reason) {
  state::TargetStats::count(context.targets[t.target_id].malformed);
  drop(context, packet, reason);
}

// Of a message that is too short for one, any.
std::uint16_t id_of(const Answer& answer) {
  return load_be16(rte_pktmbuf_mtod_offset(answer.packet, const std::uint8_t*, answer.frame.payload_offset));
}

// `bucket` is the pair's; `reply` and `name` are room for what the message says.
void relay_one(Context& context, const Answer& answer, std::uint32_t bucket, dns::Reply& reply,
               dns::Name& name) {
  rte_mbuf* packet = answer.packet;
  const net::FrameView& f = answer.frame;
  std::uint8_t* wire = rte_pktmbuf_mtod_offset(packet, std::uint8_t*, f.payload_offset);
  const std::span<const std::uint8_t> message(wire, f.payload_length);
  if (message.size() < dns::kHeaderSize) return drop(context, packet, AnswerDrop::short_header);
  unsigned which = 0;
  Slot* slot = context.pending.find(bucket, f.destination_port, load_be16(wire), which);
  if (slot == nullptr) return drop(context, packet, AnswerDrop::unknown);
  const state::Try& t = slot->attempt[which];
  if (t.target.address != f.source || t.target.port != f.source_port) {
    return drop(context, packet, AnswerDrop::wrong_source);
  }
  if (t.source != f.destination) return drop(context, packet, AnswerDrop::wrong_destination);
  bool is_lower = false;
  const std::size_t end = end_of_same_question(*slot, message, is_lower);
  if (end == 0) [[unlikely]]
    return drop_from(context, packet, t, reason_of(dns::parse_reply(message, reply, name)));
  const dns::ReplyVerdict verdict = dns::parse_reply(message, end, reply);
  if (verdict != dns::ReplyVerdict::kGood) [[unlikely]]
    return drop_from(context, packet, t, reason_of(verdict));
  ++context.stats[Counter::answers_taken];
  note_answer(context, *slot, t, reply);
  if (says_failure(reply) && (ask_another(context, *slot, t) || fall_back_to_stale(context, *slot)))
      [[unlikely]]
    return rte_pktmbuf_free(packet);
  deliver(context, *slot, packet, wire, f.payload_length, reply, &t, is_lower);
}

}  // namespace

void relay(Context& context, Burst& burst) {
  const std::span<const Answer> answers(burst.answer.data(), burst.answers);
  std::array<std::uint32_t, kBurst> bucket;
  for (std::size_t i = 0; i < answers.size(); ++i)
    bucket[i] = context.pending.prefetch_pair(answers[i].frame.destination_port, id_of(answers[i]));
  std::array<const Slot*, kBurst> slots;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    unsigned which;
    slots[i] = context.pending.find(bucket[i], answers[i].frame.destination_port, id_of(answers[i]), which);
    if (slots[i] != nullptr) context.pending.prefetch_slot(*slots[i]);
  }
  for (std::size_t i = 0; i < answers.size(); ++i)
    if (slots[i] != nullptr) context.pending.prefetch_waiter(*slots[i]);
  for (std::size_t i = 0; i < answers.size(); ++i)
    relay_one(context, answers[i], bucket[i], burst.reply, burst.name);
  burst.answers = 0;
}

}  // namespace shunt
