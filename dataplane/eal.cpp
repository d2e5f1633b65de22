#include "dataplane/eal.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_mbuf_pool_ops.h>

#include <algorithm>
#include <cstring>

#include "dataplane/base/limits.h"
#include "dataplane/handoff.h"
#include "dataplane/state/pending.h"

namespace shunt {
namespace {

constexpr std::uint64_t kMebibyte = 1 << 20;
constexpr std::uint64_t kOwnMemory = 24 * kMebibyte;  // rings, queues, and what drivers take
constexpr unsigned kPoolCache = 256;
constexpr unsigned kPacketsPerQueue =
    4096;  // receive and transmit rings of a port's queue, and what is on its way
constexpr unsigned kMostPackets = 1 << 17;

bool is_pci(const std::string& device) {
  return !device.starts_with("net_");
}

std::vector<std::string> arguments(const EalOptions& options) {
  std::string lcores = "0@" + std::to_string(options.control_core);
  for (std::size_t i = 0; i < options.worker_cores.size(); ++i) {
    lcores += "," + std::to_string(i + 1) + "@" + std::to_string(options.worker_cores[i]);
  }
  std::vector<std::string> args{"shuntd",
                                "--lcores",
                                lcores,
                                "--main-lcore",
                                "0",
                                "-m",
                                std::to_string((options.memory + kMebibyte - 1) / kMebibyte),
                                "--no-telemetry"};
  bool pci = false;
  for (const std::string& device : options.devices) {
    if (!is_pci(device)) continue;
    pci = true;
    args.insert(args.end(), {"--allow", device});
  }
  if (!pci) args.emplace_back("--no-pci");
  // Nothing is shared with other processes, and nothing stays behind after a kill.
  if (options.hugepages) {
    args.insert(args.end(), {"--in-memory"});
  } else {
    args.insert(args.end(), {"--no-huge", "--no-shconf"});
  }
  if (std::find(options.extra.begin(), options.extra.end(), "--log-level") == options.extra.end()) {
    args.insert(args.end(), {"--log-level", "lib.*:warning", "--log-level", "pmd.*:warning"});
  }
  args.insert(args.end(), options.extra.begin(), options.extra.end());
  return args;
}

}  // namespace

Result<Eal> Eal::start(const EalOptions& options) {
  std::vector<std::string> args = arguments(options);
  std::vector<char*> argv;
  for (std::string& a : args)
    argv.push_back(a.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(args.size()), argv.data()) < 0) {
    std::string why = std::string("DPDK does not start: ") + rte_strerror(rte_errno);
    if (options.hugepages) {
      why +=
          ". Are " + std::to_string((options.memory + 2 * kMebibyte - 1) / (2 * kMebibyte)) +
          " hugepages of 2 MiB free, and hugetlbfs mounted? Otherwise set hugepages = false in [dataplane]";
    }
    return Failure(why);
  }
  return Eal();
}

Eal::~Eal() {
  if (alive_) rte_eal_cleanup();
}

Result<MemoryPlan> plan_memory(std::uint64_t memory, std::uint64_t cache, std::uint32_t pending_slots,
                               unsigned workers, unsigned ports) {
  MemoryPlan plan;
  plan.cache_per_worker = cache / workers / kCacheLine * kCacheLine;
  plan.pending_per_worker = state::Pending::memory_octets(pending_slots);
  const std::uint64_t fixed = (plan.cache_per_worker + plan.pending_per_worker) * workers + kOwnMemory;
  const std::uint64_t least = std::uint64_t{kPacketsPerQueue} * workers * ports + kPacketsPerQueue;
  if (fixed + least * kPacketOctets > memory) {
    return Failure("[dataplane] memory = " + std::to_string(memory / kMebibyte) +
                   " MiB does not hold the cache, " + std::to_string(pending_slots) +
                   " pending queries a worker and packet buffers: at least " +
                   std::to_string((fixed + least * kPacketOctets) / kMebibyte + 1) + " MiB are needed");
  }
  plan.packets = static_cast<unsigned>(std::min<std::uint64_t>((memory - fixed) / kPacketOctets,
                                                               std::max<std::uint64_t>(kMostPackets, least)));
  return plan;
}

Result<rte_mempool*> make_packet_pool(unsigned packets) {
  // What rte_pktmbuf_pool_create() does, which takes no flags. Without huge pages it lets no buffer cross a
  // page: each would begin one, and all of them would fight for the same few sets of the first-level cache.
  const unsigned flags = rte_eal_has_hugepages() != 0 ? 0 : RTE_MEMPOOL_F_NO_IOVA_CONTIG;
  rte_mempool* const pool =
      rte_mempool_create_empty("packets", packets, sizeof(rte_mbuf) + kMessageSize + kPacketRoom, kPoolCache,
                               sizeof(rte_pktmbuf_pool_private), SOCKET_ID_ANY, flags);
  const auto failure = [pool](int error) {
    rte_mempool_free(pool);
    return Failure(std::string("cannot make the pool of packet buffers: ") + rte_strerror(error));
  };
  if (pool == nullptr) return failure(rte_errno);
  if (const int e = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), nullptr); e != 0)
    return failure(-e);
  rte_pktmbuf_pool_private layout{.mbuf_data_room_size = kPacketRoom, .mbuf_priv_size = kMessageSize};
  rte_pktmbuf_pool_init(pool, &layout);
  if (const int made = rte_mempool_populate_default(pool); made < 0) return failure(-made);
  rte_mempool_obj_iter(pool, rte_pktmbuf_init, nullptr);
  return pool;
}

Result<std::span<std::byte>> take_memory(const char* what, std::uint64_t octets) {
  if (octets == 0) return std::span<std::byte>{};
  void* at = rte_zmalloc(what, octets, kCacheLine);
  if (at == nullptr) {
    return Failure("no memory for " + std::string(what) + " (" + std::to_string(octets / kMebibyte) +
                   " MiB in one piece)");
  }
  return std::span<std::byte>(static_cast<std::byte*>(at), octets);
}

}  // namespace shunt
