#include <rte_mbuf.h>

#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

net::ChecksumsKnown known_checksums(const rte_mbuf& packet) {
  return {(packet.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
          (packet.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD};
}

void drop(Context& context, rte_mbuf* packet, FrameDrop reason) {
  ++context.stats.frame_drops[reason];
  rte_pktmbuf_free(packet);
}

// A datagram to one of our endpoints' port 53, from a client that its allow list admits.
void take_query(Context& context, std::uint8_t port, std::uint16_t endpoint, rte_mbuf* packet,
                const net::FrameView& view, Burst& burst) {
  if (!context.snapshot->endpoints[endpoint].allow.contains(view.source)) {
    return drop(context, packet, FrameDrop::not_allowed);
  }
  if (context.view->draining) [[unlikely]]
    return drop(context, packet, FrameDrop::stopping);
  Query& q = burst.query[burst.queries];  // its frame is `view`
  q.packet = packet;
  q.wire = rte_pktmbuf_mtod_offset(packet, std::uint8_t*, view.payload_offset);
  q.length = view.payload_length;
  q.room = static_cast<std::uint16_t>(packet->buf_len - packet->data_off - view.payload_offset);
  q.port = port;
  q.transport = state::Transport::kUdp;
  q.endpoint = endpoint;
  burst.alive[burst.queries] = static_cast<std::uint8_t>(burst.queries);
  ++burst.queries;
}

// A datagram to a source port of ours: this worker's, or another's.
void take_answer_frame(Context& context, std::uint8_t owner, rte_mbuf* packet, std::uint8_t port,
                       const net::FrameView& view, Burst& burst) {
  if (owner == context.worker) {
    burst.answer[burst.answers++] = {packet, view};
    ++context.stats[Counter::answers];
    return;
  }
  message_of(packet).port = port;
  if (rte_ring_mp_enqueue(context.handovers[owner], packet) != 0) {
    return drop(context, packet, FrameDrop::handover_full);
  }
  ++context.stats[Counter::handed_over];
}

void take_datagram(Context& context, std::uint8_t port, rte_mbuf* packet, const net::FrameView& view,
                   Burst& burst) {
  const net::LocalAddresses& local = context.snapshot->local[port];
  const net::LocalAddress* to = local.find(view.destination);
  if (to == nullptr) return drop(context, packet, FrameDrop::ip_destination);
  if (local.find(view.source) != nullptr) return drop(context, packet, FrameDrop::ip_source);
  if (view.destination_port == kDnsPort) {
    if (to->endpoint == net::LocalAddress::kNoEndpoint) return drop(context, packet, FrameDrop::udp_port);
    return take_query(context, port, to->endpoint, packet, view, burst);
  }
  const std::uint8_t owner = context.owners.owner(view.destination_port);
  if (!to->outbound || owner == state::PortOwners::kNobody) return drop(context, packet, FrameDrop::udp_port);
  take_answer_frame(context, owner, packet, port, view, burst);
}

// TCP reaches the kernel where a listener or a connection of the control plane can be its goal, and only from
// clients that the endpoint admits.
void take_segment(Context& context, std::uint8_t port, rte_mbuf* packet, const net::FrameView& view) {
  const net::LocalAddress* to = context.snapshot->local[port].find(view.destination);
  if (to == nullptr) return drop(context, packet, FrameDrop::ip_destination);
  if (view.destination_port == kDnsPort && to->endpoint != net::LocalAddress::kNoEndpoint) {
    if (!context.snapshot->endpoints[to->endpoint].allow.contains(view.source)) {
      return drop(context, packet, FrameDrop::not_allowed);
    }
    return punt(context, port, packet, false);
  }
  if (!to->outbound || view.destination_port < state::PortOwners::kFirst) {
    return drop(context, packet, FrameDrop::tcp_port);
  }
  punt(context, port, packet, false);
}

void take_kernel_frame(Context& context, std::uint8_t port, rte_mbuf* packet, const net::FrameView& view) {
  if (!view.broadcast && context.snapshot->local[port].find(view.destination) == nullptr) {
    return drop(context, packet, FrameDrop::ip_destination);
  }
  punt(context, port, packet, false);
}

void classify_one(Context& context, std::uint8_t port, rte_mbuf* packet, Burst& burst) {
  if (packet->nb_segs != 1) [[unlikely]]
    return drop(context, packet, FrameDrop::segmented);
  // Most frames are queries: the view is made where a query has it.
  net::FrameView& view = burst.query[burst.queries].frame;
  FrameDrop reason;
  const std::span<const std::uint8_t> frame(rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
  switch (net::parse_frame(frame, context.ports[port].rules, known_checksums(*packet), view, reason)) {
    case net::FrameKind::kUdp:
      return take_datagram(context, port, packet, view, burst);
    case net::FrameKind::kNeighbour:
      return punt(context, port, packet, true);
    case net::FrameKind::kTcp:
      return take_segment(context, port, packet, view);
    case net::FrameKind::kKernel:
      return take_kernel_frame(context, port, packet, view);
    case net::FrameKind::kDrop:
      return drop(context, packet, reason);
  }
}

}  // namespace

void classify(Context& context, std::uint8_t port, rte_mbuf* const* packets, unsigned count, Burst& burst) {
  constexpr unsigned kAhead = 4;
  for (unsigned i = 0; i < kAhead && i < count; ++i)
    rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  std::uint64_t octets = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (i + kAhead < count) rte_prefetch0(rte_pktmbuf_mtod(packets[i + kAhead], void*));
    octets += packets[i]->pkt_len;
    classify_one(context, port, packets[i], burst);
  }
  context.stats[Counter::frames_received] += count;
  context.stats[Counter::octets_received] += octets;
  context.stats[Counter::queries_udp] += burst.queries;
  burst.live = burst.queries;
}

void classify_handover(Context& context, rte_mbuf* packet, Burst& burst) {
  // The worker that received it has validated it; only the view has to be made again.
  net::FrameView view;
  FrameDrop reason;
  const std::span<const std::uint8_t> frame(rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len);
  const net::FrameRules& rules = context.ports[message_of(packet).port].rules;
  ++context.stats[Counter::taken_over];
  if (net::parse_frame(frame, rules, {true, true}, view, reason) != net::FrameKind::kUdp) {
    ++context.stats.answer_drops[AnswerDrop::malformed];
    rte_pktmbuf_free(packet);
    return;
  }
  burst.answer[burst.answers++] = {packet, view};
}

}  // namespace shunt
