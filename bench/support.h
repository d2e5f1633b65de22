// What several benchmarks need: a check that ends the run, the time stamp counter, memory on huge pages,
// and what a heap holds.
#pragma once

#include <benchmark/benchmark.h>
#include <malloc.h>
#include <sys/mman.h>
#include <x86intrin.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <span>

namespace shunt::bench {

/// Ends the run: a figure for a structure that answers wrongly is worth nothing.
inline void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "wrong result: %s\n", what);
  std::abort();
}

/// The time of one of the things that each iteration does so many of.
inline benchmark::Counter time_each(const benchmark::State& state, double things) {
  return {static_cast<double>(state.iterations()) * things,
          benchmark::Counter::kIsRate | benchmark::Counter::kInvert};
}

/// Ticks of the time stamp counter in a nanosecond.
inline double ticks_per_ns() {
  static const double ticks = [] {
    using Clock = std::chrono::steady_clock;
    const auto start = Clock::now();
    const std::uint64_t first = __rdtsc();
    while (Clock::now() - start < std::chrono::milliseconds(20)) {
    }
    const std::uint64_t last = __rdtsc();
    return static_cast<double>(last - first) /
           std::chrono::duration<double, std::nano>(Clock::now() - start).count();
  }();
  return ticks;
}

/// What malloc has given out.
inline double heap_octets() {
  const auto info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
}

/// Zeroed memory, on huge pages where the kernel gives them.
class HugeMemory {
 public:
  explicit HugeMemory(std::size_t octets)
      : octets_((octets + kPage - 1) / kPage * kPage),
        start_(mmap(nullptr, octets_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {
    require(start_ != MAP_FAILED, "no memory");
    madvise(aligned(), octets_, MADV_HUGEPAGE);
  }
  ~HugeMemory() { munmap(start_, octets_ + kPage); }
  HugeMemory(const HugeMemory&) = delete;
  HugeMemory& operator=(const HugeMemory&) = delete;
  std::span<std::byte> octets() const { return {aligned(), octets_}; }

 private:
  static constexpr std::size_t kPage = std::size_t{2} << 20;
  std::byte* aligned() const {
    return static_cast<std::byte*>(start_) + (kPage - reinterpret_cast<std::uintptr_t>(start_) % kPage);
  }
  std::size_t octets_;
  void* start_;
};

}  // namespace shunt::bench
