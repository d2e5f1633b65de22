// Start and end of DPDK's Environment Abstraction Layer, and the memory that workers live in.
#pragma once

#include <rte_mbuf.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/limits.h"
#include "dataplane/base/result.h"
#include "dataplane/handoff.h"

namespace shunt {

struct EalOptions {
  std::vector<unsigned> worker_cores;  ///< lcore i + 1 runs worker i
  unsigned control_core = 0;           ///< lcore 0
  std::uint64_t memory = 0;            ///< octets, taken at start
  bool hugepages = true;
  std::vector<std::string> devices;  ///< of the ports: no PCI device but these is touched
  std::vector<std::string> extra;    ///< further EAL arguments
};

/// One per process. On the thread that becomes lcore 0.
class Eal {
 public:
  static Result<Eal> start(const EalOptions& options);
  Eal(Eal&& other) noexcept : alive_(other.alive_) { other.alive_ = false; }
  Eal(const Eal&) = delete;
  ~Eal();

 private:
  Eal() = default;
  bool alive_ = true;
};

/// How `memory` is divided. Fails where it doesn't hold what was asked for.
struct MemoryPlan {
  std::uint64_t cache_per_worker = 0;    ///< octets
  std::uint64_t pending_per_worker = 0;  ///< octets
  unsigned packets = 0;                  ///< in the pool
};
Result<MemoryPlan> plan_memory(std::uint64_t memory, std::uint64_t cache, std::uint32_t pending_slots,
                               unsigned workers, unsigned ports);

/// Octets of one packet buffer's data room: a full frame, our headroom, and an answer's growth.
inline constexpr unsigned kPacketRoom = 128 + 2048;
/// Octets of memory that a packet buffer takes in all.
inline constexpr std::uint64_t kPacketOctets = kPacketRoom + kMessageSize + sizeof(rte_mbuf) + 2 * kCacheLine;

/// The pool of packet buffers, each with kMessageSize octets of private area.
Result<rte_mempool*> make_packet_pool(unsigned packets);
/// Zeroed memory of the dataplane, aligned to a cache line; never freed before the process ends.
Result<std::span<std::byte>> take_memory(const char* what, std::uint64_t octets);

}  // namespace shunt
