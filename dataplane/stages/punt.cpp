#include "dataplane/stages/stages.h"

namespace shunt {

void punt(Context& context, std::uint8_t port, rte_mbuf* packet, bool neighbour) {
  if (!context.ports[port].has_mirror) {
    ++context.stats.frame_drops[FrameDrop::no_mirror];
    rte_pktmbuf_free(packet);
    return;
  }
  Message& message = message_of(packet);
  message.kind = MessageKind::kFrame;
  message.port = port;
  // Neighbours have a ring of their own, so that a flood of TCP can't keep ARP waiting.
  if (rte_ring_sp_enqueue(neighbour ? context.rings.neighbours : context.rings.frames, packet) != 0) {
    ++context.stats.frame_drops[FrameDrop::mirror_full];
    rte_pktmbuf_free(packet);
    return;
  }
  ++context.stats[Counter::to_mirror];
}

}  // namespace shunt
