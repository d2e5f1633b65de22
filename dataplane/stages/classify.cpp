#include <rte_mbuf.h>

#include "dataplane/dns/reply.h"
#include "dataplane/stages/stages.h"

namespace shunt {
namespace {

net::ChecksumsKnown known_checksums(const rte_mbuf& packet) {
  return {(packet.ol_flags & RTE_MBUF_F_RX_IP_CKSUM_MASK) == RTE_MBUF_F_RX_IP_CKSUM_GOOD,
          (packet.ol_flags & RTE_MBUF_F_RX_L4_CKSUM_MASK) == RTE_MBUF_F_RX_L4_CKSUM_GOOD};
}

std::span<const std::uint8_t> octets_of(const rte_mbuf* packet) {
  return {rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len};
}

// Whether a listener of the control plane may be at that port of ours.
bool is_stream_port(const net::LocalAddress& to, std::uint16_t port) {
  if (port == kDnsPort) return to.endpoint != net::LocalAddress::kNoEndpoint;
  return to.encrypted && (port == kDnsOverTlsPort || port == kDnsOverHttpsPort);
}

[[gnu::cold, gnu::noinline]] void drop(Context& context, rte_mbuf* packet, FrameDrop reason) {
  ++context.stats.frame_drops[reason];
  rte_pktmbuf_free(packet);
}

// What is in the first fragment of an answer, as a truncated answer (RFC 9715 section 3.2); false where not
// even the question is whole.
bool cut_fragment(rte_mbuf* packet, net::FrameView& view) {
  auto* const wire = rte_pktmbuf_mtod_offset(packet, std::uint8_t*, view.payload_offset);
  const std::size_t length = dns::cut_to_question({wire, view.payload_length});
  view.payload_length = static_cast<std::uint16_t>(length);
  return length != 0;
}

// Sorts the frames that one port received.
class Sorter {
 public:
  Sorter(Context& context, std::uint8_t port, Burst& burst)
      : context_(context),
        burst_(burst),
        local_(context.snapshot->local[port]),
        rules_(context.ports[port].rules),
        port_(port) {}

  [[gnu::always_inline]] void take(rte_mbuf* packet) {
    if (packet->nb_segs != 1) [[unlikely]]
      return drop(context_, packet, FrameDrop::segmented);
    // Most frames are queries: the view is made where a query has it.
    net::FrameView& view = burst_.query[burst_.queries].frame;
    if (net::parse_plain_frame(octets_of(packet), rules_, known_checksums(*packet), view)) [[likely]]
      return take_datagram(packet, view);
    take_other(packet, view);
  }

 private:
  // What isn't plain: UDP over IPv6 among it.
  [[gnu::noinline]] void take_other(rte_mbuf* packet, net::FrameView& view) {
    FrameDrop reason;
    switch (net::parse_frame(octets_of(packet), rules_, known_checksums(*packet), view, reason)) {
      case net::FrameKind::kUdp:
        return take_datagram(packet, view);
      case net::FrameKind::kUdpFragment:
        return take_fragment(packet, view);
      case net::FrameKind::kNeighbour:
        return punt(context_, port_, packet, true);
      case net::FrameKind::kTcp:
        return take_segment(packet, view);
      case net::FrameKind::kKernel:
        return take_kernel_frame(packet, view);
      case net::FrameKind::kDrop:
        return drop(context_, packet, reason);
    }
  }

  [[gnu::always_inline]] void take_datagram(rte_mbuf* packet, const net::FrameView& view) {
    // Most datagrams of a burst are to one address.
    if (last_ == nullptr || last_->address != view.destination) [[unlikely]] {
      if (!find_destination(view.destination)) return drop(context_, packet, FrameDrop::ip_destination);
    }
    if (local_.find(view.source) != nullptr) return drop(context_, packet, FrameDrop::ip_source);
    if (view.destination_port != kDnsPort) return take_answer(packet, *last_, view);
    if (last_allow_ == nullptr) return drop(context_, packet, FrameDrop::udp_port);
    take_query(packet, view);
  }

  // True where it is ours: then it is the last one, too, with the allow list of the endpoint there, if any.
  bool find_destination(const IpAddress& address) {
    last_ = local_.find(address);
    if (last_ == nullptr) return false;
    last_allow_ = last_->endpoint == net::LocalAddress::kNoEndpoint
                      ? nullptr
                      : &context_.snapshot->endpoints[last_->endpoint].allow;
    return true;
  }

  // A datagram to the last endpoint's port 53, from a client that its allow list admits.
  [[gnu::always_inline]] void take_query(rte_mbuf* packet, const net::FrameView& view) {
    if (!last_allow_->contains(view.source)) return drop(context_, packet, FrameDrop::not_allowed);
    if (context_.view->draining) [[unlikely]]
      return drop(context_, packet, FrameDrop::stopping);
    Query& q = burst_.query[burst_.queries];  // its frame is `view`
    q.packet = packet;
    q.wire = rte_pktmbuf_mtod_offset(packet, std::uint8_t*, view.payload_offset);
    q.length = view.payload_length;
    q.room = static_cast<std::uint16_t>(packet->buf_len - packet->data_off - view.payload_offset);
    q.port = port_;
    q.transport = state::Transport::kUdp;
    q.endpoint = last_->endpoint;
    burst_.alive[burst_.queries] = static_cast<std::uint8_t>(burst_.queries);
    ++burst_.queries;
  }

  // A datagram to a source port of ours: this worker's, or another's.
  void take_answer(rte_mbuf* packet, const net::LocalAddress& to, const net::FrameView& view) {
    const std::uint8_t owner = context_.owners.owner(view.destination_port);
    if (!to.outbound || owner == state::PortOwners::kNobody) {
      return drop(context_, packet, FrameDrop::udp_port);
    }
    if (owner == context_.worker) {
      burst_.answer[burst_.answers++] = {packet, view};
      ++context_.stats[Counter::answers];
      return;
    }
    message_of(packet).port = port_;
    if (rte_ring_mp_enqueue(context_.handovers[owner], packet) != 0) {
      return drop(context_, packet, FrameDrop::handover_full);
    }
    ++context_.stats[Counter::handed_over];
  }

  // The rest of it never gets here. Where it begins an answer, that counts as truncated: the relay checks the
  // rest as ever. All else that comes in fragments is dropped.
  void take_fragment(rte_mbuf* packet, net::FrameView& view) {
    const bool is_answer = find_destination(view.destination) && last_->outbound &&
                           context_.owners.owner(view.destination_port) != state::PortOwners::kNobody;
    if (!is_answer || !cut_fragment(packet, view)) return drop(context_, packet, FrameDrop::ip_fragment);
    if (local_.find(view.source) != nullptr) return drop(context_, packet, FrameDrop::ip_source);
    ++context_.stats[Counter::answers_fragmented];
    take_answer(packet, *last_, view);
  }

  // TCP reaches the kernel where a listener or a connection of the control plane can be its goal, and only
  // from clients that the endpoint admits.
  void take_segment(rte_mbuf* packet, const net::FrameView& view) {
    const net::LocalAddress* to = local_.find(view.destination);
    if (to == nullptr) return drop(context_, packet, FrameDrop::ip_destination);
    if (is_stream_port(*to, view.destination_port)) {
      if (!context_.snapshot->endpoints[to->endpoint].allow.contains(view.source)) {
        return drop(context_, packet, FrameDrop::not_allowed);
      }
      return punt(context_, port_, packet, false);
    }
    if (!to->outbound || view.destination_port < state::PortOwners::kFirst) {
      return drop(context_, packet, FrameDrop::tcp_port);
    }
    punt(context_, port_, packet, false);
  }

  void take_kernel_frame(rte_mbuf* packet, const net::FrameView& view) {
    if (!view.broadcast && local_.find(view.destination) == nullptr) {
      return drop(context_, packet, FrameDrop::ip_destination);
    }
    punt(context_, port_, packet, false);
  }

  Context& context_;
  Burst& burst_;
  const net::LocalAddresses& local_;
  const net::FrameRules& rules_;
  const net::LocalAddress* last_ = nullptr;       ///< where the datagram before went
  const net::PrefixTable* last_allow_ = nullptr;  ///< whom the endpoint there admits; null: there is none
  const std::uint8_t port_;
};

}  // namespace

void classify(Context& context, std::uint8_t port, rte_mbuf* const* packets, unsigned count, Burst& burst) {
  constexpr unsigned kAhead = 4;
  for (unsigned i = 0; i < kAhead && i < count; ++i)
    rte_prefetch0(rte_pktmbuf_mtod(packets[i], void*));
  std::uint64_t octets = 0;
  Sorter sorter(context, port, burst);
  for (unsigned i = 0; i < count; ++i) {
    if (i + kAhead < count) rte_prefetch0(rte_pktmbuf_mtod(packets[i + kAhead], void*));
    octets += packets[i]->pkt_len;
    sorter.take(packets[i]);
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
  const net::FrameKind kind = net::parse_frame(frame, rules, {true, true}, view, reason);
  if (kind != net::FrameKind::kUdp && !(kind == net::FrameKind::kUdpFragment && cut_fragment(packet, view))) {
    ++context.stats.answer_drops[AnswerDrop::malformed];
    rte_pktmbuf_free(packet);
    return;
  }
  burst.answer[burst.answers++] = {packet, view};
}

}  // namespace shunt
