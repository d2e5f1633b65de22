// What a worker saw of one target: its questions there, and how they ended. The worker alone writes, anyone
// reads; relaxed, so a reader may see one figure ahead of another.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>

#include "dataplane/base/histogram.h"
#include "dataplane/base/limits.h"

namespace shunt::state {

/// Names whose questions a target failed, as far as 64 bits tell them apart: a set bit for each hash. It
/// starts anew with every span of kSpanSeconds, so that nobody but the worker has to write it.
class FailedNames {
 public:
  static constexpr std::uint32_t kSpanSeconds = 8;

  void add(std::uint64_t name_hash, std::uint32_t now_seconds) {
    const std::uint32_t span = now_seconds / kSpanSeconds;
    std::uint64_t bits = bits_.load(std::memory_order_relaxed);
    if (span_.load(std::memory_order_relaxed) != span) {
      span_.store(span, std::memory_order_relaxed);
      bits = 0;
    }
    bits_.store(bits | std::uint64_t{1} << (name_hash >> 58), std::memory_order_relaxed);
  }
  /// One bit for each of 64 classes of names, of the span that the last failure fell into.
  std::uint64_t bits() const { return bits_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> bits_{0};
  std::atomic<std::uint32_t> span_{0};
};

struct alignas(kCacheLine) TargetStats {
  using Count = std::atomic<std::uint64_t>;

  // What every question touches, in one line.
  Count sent{0};
  Count answered{0};   ///< by whatever RCODE
  Count timeouts{0};   ///< tries whose time ran out; an answer may still come
  Count servfails{0};  ///< answers with that RCODE
  Count refused{0};    ///< likewise
  Count malformed{0};  ///< answers that could not be parsed, or were to another question; the wait went on
  Count latency_us_sum{0};
  std::atomic<std::uint32_t> in_flight{0};  ///< gauge: tries that neither an answer nor a timeout ended
  std::uint32_t timeout_told_s = 0;         ///< when the control plane was told last; the worker's own
  std::array<Count, kDurationBounds.size() + 1> latency{};  ///< buckets of Durations
  FailedNames failed_names;                                 ///< of SERVFAIL and REFUSED
  Count led_back{0};  ///< tag of the last loop probe to the target that came back here (state/target_loops.h)

  template <typename T>
  static void add(std::atomic<T>& to, T n) {
    to.store(to.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  template <typename T>
  static void count(std::atomic<T>& to) {
    add(to, T{1});
  }
  void note_sent() {
    count(sent);
    count(in_flight);
  }
  /// An answer came `us` after its question.
  void note_answer(std::uint64_t us) {
    count(answered);
    add(latency_us_sum, us);
    count(latency[Durations::bucket_of(us)]);
  }
  /// A try that was in flight isn't any more.
  void note_end() {
    in_flight.store(in_flight.load(std::memory_order_relaxed) - 1, std::memory_order_relaxed);
  }
};

}  // namespace shunt::state
