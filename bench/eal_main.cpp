// main() of the benchmarks that measure DPDK's structures: starts EAL on core 0, then runs them.
//
// Huge pages are taken where enough are free: our own tables lie on them too. Without, DPDK's are at a
// disadvantage, and the first line of the output says so.
#include <benchmark/benchmark.h>
#include <rte_eal.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

namespace {

constexpr unsigned kPages = 768;  // of 2 MiB: the greatest of DPDK's tables, twice

bool huge_pages_free() {
  std::ifstream file("/sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages");
  unsigned free_pages = 0;
  return (file >> free_pages) && free_pages >= kPages;
}

void start_eal() {
  std::vector<std::string> args{
      "bench",       "--lcores",      "0@0", "--no-pci", "--no-telemetry", "--force-max-simd-bitwidth", "512",
      "--log-level", "lib.*:warning", "-m",  "1024"};
  if (huge_pages_free()) {
    args.emplace_back("--in-memory");
  } else {
    std::fputs("no huge pages: DPDK's tables lie on ordinary ones\n", stderr);
    args.insert(args.end(), {"--no-huge", "--no-shconf"});
  }
  std::vector<char*> argv;
  for (std::string& a : args)
    argv.push_back(a.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0) {
    std::fputs("EAL does not start\n", stderr);
    std::exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  start_eal();
  benchmark::RunSpecifiedBenchmarks();
  rte_eal_cleanup();
  return 0;
}
