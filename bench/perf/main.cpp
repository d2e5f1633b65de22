// shuntperf: plays DNS clients, the upstream servers, or both, over any DPDK port.
#include <rte_eal.h>
#include <rte_errno.h>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/perf/player.h"
#include "dataplane/base/random.h"
#include "dataplane/eal.h"
#include "dataplane/port.h"

namespace shunt::perf {
namespace {

constexpr int kFailed = 1, kUsage = 2;
constexpr std::uint64_t kMebibyte = 1 << 20;
// What the pool may take of the memory; drivers and queues need the rest.
constexpr std::uint64_t kPoolTenths = 7;
constexpr std::uint64_t kMostPackets = 1 << 16;

volatile int stopped = 0;

void stop(int) {
  stopped = stopped + 1;
}

Result<void> start_eal(const Options& o) {
  std::vector<std::string> args{
      "shuntperf",     "--lcores", "0@" + std::to_string(o.core), "-m", std::to_string(o.memory_mb),
      "--no-telemetry"};
  if (o.device.starts_with("net_")) {
    args.emplace_back("--no-pci");
  } else {
    args.insert(args.end(), {"--allow", o.device});
  }
  if (o.hugepages) {
    args.emplace_back("--in-memory");
  } else {
    args.insert(args.end(), {"--no-huge", "--no-shconf"});
  }
  args.insert(args.end(), {"--log-level", "lib.*:warning", "--log-level", "pmd.*:warning"});
  args.insert(args.end(), o.eal.begin(), o.eal.end());
  std::vector<char*> argv;
  for (std::string& a : args)
    argv.push_back(a.data());
  argv.push_back(nullptr);
  if (rte_eal_init(static_cast<int>(args.size()), argv.data()) >= 0) return {};
  std::string why = std::string("DPDK does not start: ") + rte_strerror(rte_errno);
  if (o.hugepages) {
    why += "; are " + std::to_string(o.memory_mb / 2) +
           " hugepages of 2 MiB free, and hugetlbfs mounted? Or give --no-hugepages";
  }
  return Failure(why);
}

// Stays on the link, without polling it any more, so that the other side's link does not go down.
void linger(const Options& o) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(o.linger);
  while (stopped == 0 && std::chrono::steady_clock::now() < end)
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

Result<Report> play(const Options& o, const Questions* questions) {
  const auto packets = static_cast<unsigned>(
      std::min<std::uint64_t>(o.memory_mb * kMebibyte * kPoolTenths / 10 / kPacketOctets, kMostPackets));
  auto pool = make_packet_pool(packets);
  if (!pool) return Failure(pool.error());
  auto port = Port::open({.device = o.device, .workers = o.queues, .pool = *pool});
  if (!port) return Failure(port.error());
  Player player(o, port->ethdev(), port->mac(), *pool, questions);
  auto report = player.play(stopped);
  if (report) {
    std::fputs((o.json ? to_json(*report, o) : to_table(*report, o)).c_str(), stdout);
    std::fflush(stdout);
    linger(o);
  }
  return report;
}

int run(const Options& o) {
  std::optional<Questions> questions;
  if (o.has_clients()) {
    // Fresh names are drawn by the kernel, not from the seed: another run must not ask for them again.
    std::uint64_t fresh_key;
    std::memcpy(&fresh_key, Random::system_seed().data(), sizeof fresh_key);
    auto made = Questions::make(o.names, o.seed, fresh_key);
    if (!made) {
      std::fprintf(stderr, "shuntperf: %s\n", made.error().c_str());
      return kUsage;
    }
    questions = std::move(*made);
  }
  struct sigaction action {};
  action.sa_handler = stop;
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  auto started = start_eal(o);
  auto report =
      started ? play(o, questions ? &*questions : nullptr) : Result<Report>(Failure(started.error()));
  if (started) rte_eal_cleanup();
  if (!report) {
    std::fprintf(stderr, "shuntperf: %s\n", report.error().c_str());
    return kFailed;
  }
  if (o.has_clients() && report->counters.sent > 0 && report->counters.answered == 0) {
    std::fprintf(stderr, "shuntperf: not a single answer came\n");
    return kFailed;
  }
  return 0;
}

}  // namespace
}  // namespace shunt::perf

int main(int argc, char** argv) {
  shunt::perf::Options options;
  int exit_code = 0;
  if (!shunt::perf::parse_options(argc, argv, options, exit_code)) return exit_code;
  return shunt::perf::run(options);
}
