// Queries that have ended, for the log.
#include <rte_mbuf.h>

#include <utility>

#include "dataplane/net/datagram.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

using state::LoggedQuery;
using state::QueryEnd;

/// The next record's place, with what all have in common; null, and counted, where there is no room.
LoggedQuery* begin(Context& context, std::uint64_t asked_us) {
  LoggedQuery* const record = context.query_log->rings[context.worker]->next();
  if (record == nullptr) {
    ++context.stats[Counter::queries_unlogged];
    return nullptr;
  }
  record->asked_us = asked_us != 0 ? asked_us : context.now.us;
  record->ended_us = context.now.us;
  record->generation = context.snapshot->generation;
  return record;
}

void publish(Context& context) {
  context.query_log->rings[context.worker]->publish();
}

void log_answer(Context& context, rte_mbuf* packet, QueryEnd end) {
  const std::uint64_t asked_us = std::exchange(message_of(packet).asked_us, 0);
  net::Datagram datagram;
  if (!net::find_datagram({rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len}, datagram))
    return;
  LoggedQuery* const record = begin(context, asked_us);
  if (record == nullptr) return;
  record->client = {datagram.destination, datagram.destination_port};
  record->server = {datagram.source, datagram.source_port};
  record->end = end;
  record->stream = false;
  record->set_message(datagram.payload);
  publish(context);
}

}  // namespace

void log_answers(Context& context, const TransmitQueue& queue) {
  for (unsigned i = 0; i < queue.count; ++i) {
    if (const auto end = state::end_of(queue.counted[i])) log_answer(context, queue.packets[i], *end);
  }
}

void log_drop(Context& context, const Query& query, QueryDrop reason) {
  LoggedQuery* const record = begin(context, 0);
  if (record == nullptr) return;
  record->stream = query.transport == state::Transport::kStream;
  record->client = {query.frame.source, query.frame.source_port};
  record->server = {query.frame.destination, kDnsPort};
  if (record->stream) {
    record->server.address = message_of(query.packet).local;
    record->ticket = query.ticket;
  }
  record->end = QueryEnd::kDropped;
  record->drop = reason;
  record->set_message({query.wire, query.length});
  publish(context);
}

}  // namespace shunt
