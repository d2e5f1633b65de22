// A port without a link: DPDK's net_null, whose receive side a callback fills with queries drawn beforehand,
// and with answers to the questions that were sent; its transmit side drops.
#pragma once

#include <rte_mbuf.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/worker.h"

namespace shunt {

inline constexpr MacAddress kPortMac{{2, 0, 0, 0, 0, 1}};

/// Ends the program with `what` where something fails that it can't do without.
void require(bool holds, const char* what);

/// A query in a frame of its own, in whole cache lines.
struct alignas(kCacheLine) Frame {
  static constexpr std::size_t kOctets = 124;
  std::uint32_t length = 0;
  std::array<std::uint8_t, kOctets> octets{};
};

/// A query of type A for `name`, from one of the clients in 10.1.0.0/16, to 10.0.0.1.
Frame make_frame(const std::string& name, std::uint32_t client);

/// The queries of one port: each receive burst copies the next ones into the packets that net_null allocated.
/// What is asked of an upstream is answered in the next burst, which is half answers then.
class SyntheticPort {
 public:
  static constexpr std::size_t kFrames = 1 << 17;

  /// Opens net_null`number`, with one queue. A port for each worker: net_null counts with locked additions,
  /// and two queues of one port would do so in one cache line. Stays where it is from then on.
  SyntheticPort(unsigned number, rte_mempool* pool);
  SyntheticPort(const SyntheticPort&) = delete;

  std::uint16_t ethdev() const { return ethdev_; }
  /// From now on these are asked, round and round; there are kFrames of them.
  void ask(std::vector<Frame> frames);

 private:
  static std::uint16_t on_receive(std::uint16_t port, std::uint16_t queue, rte_mbuf** packets,
                                  std::uint16_t count, std::uint16_t room, void* self);
  static std::uint16_t on_transmit(std::uint16_t port, std::uint16_t queue, rte_mbuf** packets,
                                   std::uint16_t count, void* self);
  void fill(rte_mbuf** packets, unsigned count);
  void keep_questions(rte_mbuf** packets, unsigned count);

  std::uint16_t ethdev_ = 0;
  std::vector<Frame> frames_;
  std::size_t at_ = 0;
  std::array<Frame, Worker::kReceiveBurst> answers_;
  unsigned answer_count_ = 0;
};

}  // namespace shunt
