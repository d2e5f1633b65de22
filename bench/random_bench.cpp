// One draw of 32 bits, as an id and a source port take it.
//
// Beside ours (AES-256 in counter mode, 4 KiB made at once): asking the kernel for each draw, or for 4 KiB at
// once, std::random_device, and, for scale, rte_rand and std::mt19937, whose draws can be foretold from
// earlier ones. With AES instructions ours is faster than even those.
#include <benchmark/benchmark.h>
#include <rte_random.h>
#include <sys/random.h>

#include <array>
#include <bit>
#include <random>

#include "bench/support.h"
#include "dataplane/base/random.h"

namespace {

using namespace shunt;
using namespace shunt::bench;

class Ours {
 public:
  std::uint32_t operator()() { return random_.next32(); }

 private:
  Random random_{Random::Seed{1}};
};

class RteRand {
 public:
  RteRand() { rte_srand(1); }
  std::uint32_t operator()() { return static_cast<std::uint32_t>(rte_rand()); }
};

class Mersenne {
 public:
  std::uint32_t operator()() { return static_cast<std::uint32_t>(random_()); }

 private:
  std::mt19937 random_{1};
};

template <std::size_t kWords>
class Kernel {
 public:
  std::uint32_t operator()() {
    if (used_ == kWords) {
      require(getrandom(words_.data(), sizeof words_, 0) == static_cast<ssize_t>(sizeof words_), "getrandom");
      used_ = 0;
    }
    return words_[used_++];
  }

 private:
  std::array<std::uint32_t, kWords> words_;
  std::size_t used_ = kWords;
};

class Device {
 public:
  std::uint32_t operator()() { return device_(); }

 private:
  std::random_device device_;
};

template <typename Generator>
void draw(benchmark::State& state) {
  auto generator = std::make_unique<Generator>();
  // Half of all bits are set, within ten standard deviations.
  std::uint64_t set = 0;
  static constexpr unsigned kDraws = 10'000;
  for (unsigned i = 0; i < kDraws; ++i)
    set += static_cast<unsigned>(std::popcount((*generator)()));
  require(set > kDraws * 16 - 2830 && set < kDraws * 16 + 2830, "random bits lean to one side");
  for (auto _ : state)
    benchmark::DoNotOptimize((*generator)());
}
BENCHMARK(draw<Ours>);
BENCHMARK(draw<RteRand>);
BENCHMARK(draw<Mersenne>);
BENCHMARK(draw<Kernel<1>>);
BENCHMARK(draw<Kernel<1024>>);
BENCHMARK(draw<Device>);

}  // namespace
