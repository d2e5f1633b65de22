// The Internet checksum over usual lengths, and the validation of whole frames, of which it is the greater
// part. Lengths and places vary from call to call, as in traffic, so that the branch predictor learns nothing
// it wouldn't there.
//
// Beside ours (words of 64 bits with their carries; from 256 octets on AVX2, where there is): rte_raw_cksum,
// AVX2 and AVX-512 at all lengths. Up to 200 octets, where queries and most answers are, words are as fast as
// anything; above 300 octets the wide ones take half the time. AVX-512 gains nothing on AVX2.
#include <benchmark/benchmark.h>
#include <rte_ip.h>

#include <random>
#include <vector>

#include "bench/alternatives/checksums.h"
#include "bench/support.h"
#include "dataplane/base/bytes.h"
#include "dataplane/net/checksum.h"
#include "dataplane/net/frame.h"
#include "dataplane/net/headers.h"

namespace {

using namespace shunt;
using namespace shunt::bench;
using namespace shunt::net;
using Octets = std::vector<std::uint8_t>;

constexpr unsigned kJobs = 1024;
constexpr unsigned kFrames = 256;

struct Job {
  std::size_t at, length;
};

using Add = Sum (*)(const std::uint8_t* data, std::size_t length);

Sum ours(const std::uint8_t* data, std::size_t length) {
  return add_octets(0, data, length);
}
Sum rte(const std::uint8_t* data, std::size_t length) {
  return rte_raw_cksum(data, length);
}

// Lengths from range(0), spread over range(1). kCan: whether this processor has what it needs.
template <Add kAdd, bool (*kCan)()>
void BM_AddOctets(benchmark::State& state) {
  if (!kCan()) {
    state.SkipWithError("this processor can't");
    return;
  }
  std::mt19937 random(1);
  Octets octets(1 << 16);
  for (std::uint8_t& octet : octets)
    octet = static_cast<std::uint8_t>(random());
  for (std::size_t length = 0; length < 1500; ++length)
    require(fold(kAdd(&octets[length], length)) == fold(ours(&octets[length], length)), "checksum");
  std::vector<Job> jobs(kJobs);
  const auto least = static_cast<std::size_t>(state.range(0)),
             spread = static_cast<std::size_t>(state.range(1));
  for (Job& job : jobs)
    job = {random() % (octets.size() - 2048), least + random() % (spread + 1)};
  std::size_t i = 0, bytes = 0;
  for (auto _ : state) {
    const Job& job = jobs[i++ % kJobs];
    benchmark::DoNotOptimize(fold(kAdd(&octets[job.at], job.length)));
    bytes += job.length;
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(bytes));
}
bool always() {
  return true;
}
bool has_avx2() {
  return __builtin_cpu_supports("avx2") != 0;
}
bool has_avx512() {
  return __builtin_cpu_supports("avx512bw") != 0 && __builtin_cpu_supports("avx512vl") != 0 &&
         __builtin_cpu_supports("bmi2") != 0;
}
// UDP header and message: queries, answers of one record, of several, the longest.
void datagrams(benchmark::internal::Benchmark* b) {
  b->Args({48, 0})->Args({35, 40})->Args({64, 32})->Args({100, 60})->Args({300, 300})->Args({1232, 0});
}
BENCHMARK(BM_AddOctets<ours, always>)->Apply(datagrams);
BENCHMARK(BM_AddOctets<rte, always>)->Apply(datagrams);
BENCHMARK(BM_AddOctets<sum_words, always>)->Apply(datagrams);
BENCHMARK(BM_AddOctets<sum_avx2, has_avx2>)->Apply(datagrams);
BENCHMARK(BM_AddOctets<sum_avx512, has_avx512>)->Apply(datagrams);
BENCHMARK(BM_AddOctets<sum_masked256, has_avx512>)->Apply(datagrams);

Octets frame(bool v4, std::size_t payload) {
  const std::size_t header = v4 ? kIpv4Size : kIpv6Size;
  Octets f(kEthernetSize + header + kUdpSize + payload, 0x5a);
  f[0] = f[6] = 0x02;
  store_be16(&f[12], v4 ? kEtherIpv4 : kEtherIpv6);
  std::uint8_t* const ip = &f[kEthernetSize];
  std::uint8_t* const udp = ip + header;
  const auto datagram = static_cast<std::uint16_t>(kUdpSize + payload);
  if (v4) {
    const auto total = static_cast<std::uint16_t>(header + datagram);
    const Octets head = {0x45,
                         0,
                         static_cast<std::uint8_t>(total >> 8),
                         static_cast<std::uint8_t>(total),
                         0,
                         1,
                         0x40,
                         0,
                         64,
                         17,
                         0,
                         0};
    std::copy(head.begin(), head.end(), ip);
    const std::uint16_t checksum = finish(add_octets(0, ip, header));
    std::memcpy(ip + 10, &checksum, 2);
  } else {
    const Octets head = {
        0x60, 0, 0, 0, static_cast<std::uint8_t>(datagram >> 8), static_cast<std::uint8_t>(datagram), 17, 64};
    std::copy(head.begin(), head.end(), ip);
  }
  store_be16(udp + 4, datagram);
  store_be16(udp + 6, 0);
  const Sum sum = v4 ? add_octets(0, ip + 12, 8) : add_octets(0, ip + 8, 32);
  const std::uint16_t checksum =
      finish_udp(add_octets(sum + word(kProtocolUdp) + word(datagram), udp, datagram));
  std::memcpy(udp + 6, &checksum, 2);
  return f;
}

// range(0): 4 or 6; range(1): 1 where the port vouches for checksums. Payloads of 30 to 70 octets: queries.
void BM_ParseFrame(benchmark::State& state) {
  std::mt19937 random(1);
  std::vector<Octets> frames;
  for (unsigned i = 0; i < 256; ++i)
    frames.push_back(frame(state.range(0) == 4, 30 + random() % 41));
  const FrameRules rules{{{0x02, 0x5a, 0x5a, 0x5a, 0x5a, 0x5a}}, 0};
  for (Octets& f : frames)
    f[11] = 0x5b;
  const bool vouched = state.range(1) != 0;
  std::size_t i = 0, taken = 0;
  FrameView view;
  FrameDrop reason{};
  for (auto _ : state) {
    taken += parse_frame(frames[i++ % kFrames], rules, {vouched, vouched}, view, reason) == FrameKind::kUdp
                 ? 1u
                 : 0u;
    benchmark::DoNotOptimize(view);
  }
  if (taken != static_cast<std::size_t>(state.iterations())) state.SkipWithError("a frame was dropped");
}
BENCHMARK(BM_ParseFrame)->ArgsProduct({{4, 6}, {0, 1}});

}  // namespace
