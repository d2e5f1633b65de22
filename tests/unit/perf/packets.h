// Packets without DPDK's memory: buffers of the ordinary heap. And frames taken apart the slow, obvious way.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace shunt::perf {

/// A burst of packets.
class Packets {
 public:
  explicit Packets(unsigned count) {
    for (unsigned i = 0; i < count; ++i) {
      rte_mbuf& m = *mbufs_.emplace_back(std::make_unique<rte_mbuf>());
      m.buf_addr = buffers_.emplace_back(std::make_unique<Buffer>())->data();
      m.buf_len = kBufferSize;
      m.data_off = RTE_PKTMBUF_HEADROOM;
      m.nb_segs = 1;
      pointers_.push_back(&m);
    }
  }
  rte_mbuf** data() { return pointers_.data(); }
  rte_mbuf* operator[](std::size_t i) { return pointers_[i]; }
  unsigned size() const { return static_cast<unsigned>(pointers_.size()); }
  std::uint8_t* octets(std::size_t i) { return rte_pktmbuf_mtod(pointers_[i], std::uint8_t*); }
  std::span<std::uint8_t> frame(std::size_t i) { return {octets(i), pointers_[i]->data_len}; }
  void put(std::size_t i, const std::vector<std::uint8_t>& frame) {
    std::memcpy(octets(i), frame.data(), frame.size());
    pointers_[i]->data_len = static_cast<std::uint16_t>(frame.size());
    pointers_[i]->pkt_len = pointers_[i]->data_len;
  }

 private:
  static constexpr std::uint16_t kBufferSize = 2048;
  using Buffer = std::array<std::uint8_t, kBufferSize>;
  std::vector<std::unique_ptr<rte_mbuf>> mbufs_;
  std::vector<std::unique_ptr<Buffer>> buffers_;
  std::vector<rte_mbuf*> pointers_;
};

/// A frame with DNS over UDP, taken apart.
struct Dissected {
  bool v4 = false;
  std::string source, destination;  ///< octets
  std::uint16_t source_port = 0, destination_port = 0;
  bool sound = false;  ///< lengths fit exactly, and both checksums are right
  std::uint16_t id = 0, flags = 0;
  std::array<std::uint16_t, 4> counts{};
  std::string name;  ///< presentation, as on the wire, without the last dot
  std::uint16_t type = 0;
  std::string rest;  ///< octets behind the question
};
Dissected dissect(std::span<const std::uint8_t> frame);

/// Writes the UDP checksum anew.
void fix_checksum(std::span<std::uint8_t> frame);

}  // namespace shunt::perf
