#include "control/crossing.h"

#include <rte_mbuf.h>
#include <rte_ring.h>

#include <array>
#include <cstring>

namespace shunt::control {
namespace {

// What one call takes from a ring: enough for throughput, little enough that no ring keeps the others
// waiting.
constexpr unsigned kBatch = 64;

std::span<const std::uint8_t> data_of(const rte_mbuf* packet) {
  return {rte_pktmbuf_mtod(packet, const std::uint8_t*), packet->data_len};
}

}  // namespace

unsigned Crossing::poll_frames(rte_ring* ring) {
  std::array<void*, kBatch> packets;
  const unsigned count = rte_ring_sc_dequeue_burst(ring, packets.data(), kBatch, nullptr);
  for (unsigned i = 0; i < count; ++i) {
    auto* packet = static_cast<rte_mbuf*>(packets[i]);
    receivers_.on_frame(message_of(packet).port, data_of(packet));
    rte_pktmbuf_free(packet);
  }
  return count;
}

unsigned Crossing::poll_events(std::size_t worker) {
  std::array<void*, kBatch> packets;
  const unsigned count =
      rte_ring_sc_dequeue_burst(workers_.worker(worker).rings().events, packets.data(), kBatch, nullptr);
  for (unsigned i = 0; i < count; ++i) {
    auto* packet = static_cast<rte_mbuf*>(packets[i]);
    if (message_of(packet).kind == MessageKind::kMiss) {
      if (receivers_.on_miss(worker, packet)) continue;
    } else if (message_of(packet).kind == MessageKind::kTimeout) {
      receivers_.on_timeout(message_of(packet).target_id, data_of(packet));
    } else {
      receivers_.on_reply(message_of(packet), data_of(packet));
    }
    rte_pktmbuf_free(packet);
  }
  return count;
}

unsigned Crossing::poll_watched(std::size_t worker) {
  std::array<void*, kBatch> packets;
  const unsigned count =
      rte_ring_sc_dequeue_burst(workers_.worker(worker).rings().watched, packets.data(), kBatch, nullptr);
  for (unsigned i = 0; i < count; ++i) {
    auto* packet = static_cast<rte_mbuf*>(packets[i]);
    receivers_.on_watched(message_of(packet), data_of(packet));
    rte_pktmbuf_free(packet);
  }
  return count;
}

unsigned Crossing::poll() {
  unsigned count = 0;
  for (std::size_t i = 0; i < workers_.size(); ++i) {
    count += poll_frames(workers_.worker(i).rings().neighbours);
    count += poll_events(i);
    count += poll_frames(workers_.worker(i).rings().frames);
    count += poll_watched(i);
  }
  return count;
}

rte_mbuf* Crossing::make_packet(std::span<const std::uint8_t> data) {
  rte_mbuf* packet = rte_pktmbuf_alloc(workers_.pool());
  if (packet == nullptr) return nullptr;
  char* to = rte_pktmbuf_append(packet, static_cast<std::uint16_t>(data.size()));
  if (data.size() > UINT16_MAX || to == nullptr) {
    rte_pktmbuf_free(packet);
    return nullptr;
  }
  std::memcpy(to, data.data(), data.size());
  message_of(packet) = {};  // nothing of the buffer's last use
  return packet;
}

bool Crossing::order(std::size_t worker, rte_mbuf* packet) {
  if (rte_ring_sp_enqueue(workers_.worker(worker).rings().orders, packet) == 0) return true;
  rte_pktmbuf_free(packet);
  return false;
}

bool Crossing::send_frame(std::uint8_t port, std::span<const std::uint8_t> frame) {
  rte_mbuf* packet = make_packet(frame);
  if (packet == nullptr) return false;
  message_of(packet).kind = MessageKind::kTransmit;
  message_of(packet).port = port;
  return order(0, packet);  // one worker sends all of the kernel's frames, so that their order is kept
}

}  // namespace shunt::control
