#include <rte_ethdev.h>

#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

// An answer that the driver did not take was counted as answered: it becomes a dropped query, so that every
// query ends under one heading. Questions to upstreams stay pending and are tried again; kernel frames are
// the kernel's to repeat.
void take_back(Stats& stats, Counter counted) {
  switch (counted) {
    case Counter::forwarded:
    case Counter::retried:
      ++stats[Counter::answer_transmit_full];
      break;
    case Counter::from_mirror:
      ++stats[Counter::mirror_transmit_full];
      break;
    default:
      --stats[counted];
      ++stats.query_drops[QueryDrop::transmit_full];
  }
}

}  // namespace

void flush_port(Context& context, WorkerPort& port) {
  TransmitQueue& queue = port.transmit;
  if (context.capture != nullptr) [[unlikely]]
    capture(context, static_cast<std::uint8_t>(&port - context.ports.data()), queue.packets.data(),
            queue.count, true);
  if (context.query_log != nullptr) [[unlikely]]
    log_answers(context, queue);
  std::uint64_t octets = 0;
  for (unsigned i = 0; i < queue.count; ++i)
    octets += queue.packets[i]->data_len;
  unsigned sent = rte_eth_tx_burst(port.ethdev, port.queue, queue.packets.data(),
                                   static_cast<std::uint16_t>(queue.count));
  // A ring that was nearly full may take the rest now: one more offer, then the packet is lost.
  if (sent < queue.count) [[unlikely]] {
    sent += rte_eth_tx_burst(port.ethdev, port.queue, &queue.packets[sent],
                             static_cast<std::uint16_t>(queue.count - sent));
  }
  for (unsigned i = sent; i < queue.count; ++i) {
    octets -= queue.packets[i]->data_len;
    take_back(context.stats, queue.counted[i]);
    rte_pktmbuf_free(queue.packets[i]);
  }
  context.stats[Counter::frames_sent] += sent;
  context.stats[Counter::octets_sent] += octets;
  queue.count = 0;
}

void flush(Context& context) {
  for (WorkerPort& port : context.ports) {
    if (port.transmit.count != 0) flush_port(context, port);
  }
}

}  // namespace shunt
