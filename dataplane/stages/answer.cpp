// Answers of our own making, and those that go through the control plane.
#include "dataplane/net/checksum.h"
#include "dataplane/stages/reflect.h"
#include "dataplane/stages/stages.h"

namespace shunt {
void send_to_control(Context& context, rte_mbuf* packet, std::uint8_t* wire, std::size_t length,
                     const Asker& asker, Counter counted, const state::Try* truncated_by) {
  const bool counts = is_query(asker.transport);
  packet->data_off = static_cast<std::uint16_t>(wire - static_cast<std::uint8_t*>(packet->buf_addr));
  set_length(packet, length);
  Message& message = message_of(packet);
  message.kind = MessageKind::kReply;
  message.ticket = asker.ticket;
  message.routing = asker.routing;
  message.counted = counted;
  message.zone = counted == Counter::answered_zone;
  message.truncated_by = truncated_by != nullptr ? truncated_by->target : SocketAddress{};
  message.target_id = truncated_by != nullptr ? truncated_by->target_id : 0;
  if (rte_ring_sp_enqueue(context.rings.events, packet) == 0) {
    if (counts) ++context.stats[counted];
    return;
  }
  if (counts) ++context.stats.query_drops[QueryDrop::control_full];
  rte_pktmbuf_free(packet);
}

void count_error(Stats& stats, dns::Rcode rcode) {
  switch (rcode) {
    case dns::Rcode::kFormErr:
      ++stats[Counter::errors_formerr];
      break;
    case dns::Rcode::kNotImp:
      ++stats[Counter::errors_notimp];
      break;
    case dns::Rcode::kRefused:
      ++stats[Counter::errors_refused];
      break;
    case dns::Rcode::kBadVers:
      ++stats[Counter::errors_badvers];
      break;
    default:
      ++stats[Counter::errors_servfail];
  }
}

void send_reply(Context& context, Query& query, const dns::ReplyFields& fields, Counter counted) {
  dns::ReplyFields f = fields;
  f.stream = query.transport != state::Transport::kUdp;
  const std::size_t length = dns::make_reply(query.wire, query.room, query.question, f);
  const std::size_t end = query.question.end;
  send_answer(context, query, length, net::add_octets(0, query.wire + end, length - end), counted);
}

void drop_query(Context& context, Query& query, QueryDrop reason) {
  if (query.transport == state::Transport::kAlias) {
    return send_to_control(context, query.packet, query.wire, 0, {query.ticket, query.transport, 0},
                           Counter::answered_error, nullptr);
  }
  if (context.query_log != nullptr) [[unlikely]]
    log_drop(context, query, reason);
  ++context.stats.query_drops[reason];
  rte_pktmbuf_free(query.packet);
}

void send_error(Context& context, Query& query, dns::Rcode rcode, dns::ExtendedError error) {
  if (is_query(query.transport)) count_error(context.stats, rcode);
  send_reply(context, query, {.rcode = rcode, .error = error}, Counter::answered_error);
}

}  // namespace shunt
