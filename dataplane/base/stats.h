// A worker's counters. The worker alone writes them, in plain stores; the control plane reads the copy that
// the worker publishes between two bursts, in which the laws stated in stats.def hold.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "dataplane/base/histogram.h"
#include "dataplane/base/limits.h"

namespace shunt {

enum class FrameDrop : std::uint8_t {
#define FRAME_DROP(name, help) name,
#include "dataplane/base/stats.def"
  kCount
};
enum class QueryDrop : std::uint8_t {
#define QUERY_DROP(name, help) name,
#include "dataplane/base/stats.def"
  kCount
};
enum class AnswerDrop : std::uint8_t {
#define ANSWER_DROP(name, help) name,
#include "dataplane/base/stats.def"
  kCount
};
enum class Counter : std::uint8_t {
#define COUNTER(name, help) name,
#include "dataplane/base/stats.def"
  kCount
};

enum class Waited : std::uint8_t {
#define WAITED(name, label, counter) name,
#include "dataplane/base/stats.def"
  kCount
};
enum class Stage : std::uint8_t {
#define STAGE(name, unit, help) name,
#include "dataplane/base/stats.def"
  kCount
};
inline constexpr std::size_t kWaitedKinds = static_cast<std::size_t>(Waited::kCount);
inline constexpr std::size_t kStages = static_cast<std::size_t>(Stage::kCount);

/// Under which of them an answer counts.
constexpr Waited waited_of(Counter answered) {
  switch (answered) {
#define WAITED(name, label, counter) \
  case Counter::counter:             \
    return Waited::name;
#include "dataplane/base/stats.def"
    default:
      return Waited::for_error;
  }
}

/// What one stage took, in busy turns: TSC cycles, and how many went through it.
struct StageCount {
  std::uint64_t cycles = 0;
  std::uint64_t passed = 0;
};

template <typename Enum>
struct CounterGroup {
  std::array<std::uint64_t, static_cast<std::size_t>(Enum::kCount)> values{};
  std::uint64_t& operator[](Enum e) { return values[static_cast<std::size_t>(e)]; }
  std::uint64_t operator[](Enum e) const { return values[static_cast<std::size_t>(e)]; }
  std::uint64_t sum() const {
    std::uint64_t total = 0;
    for (std::uint64_t v : values)
      total += v;
    return total;
  }
};

struct alignas(kCacheLine) Stats {
  CounterGroup<FrameDrop> frame_drops;
  CounterGroup<QueryDrop> query_drops;
  CounterGroup<AnswerDrop> answer_drops;
  CounterGroup<Counter> counters;
  std::array<Durations, kWaitedKinds> waited;  ///< from a query's arrival to its answer
  BurstSizes burst_queries;                    ///< of bursts that brought queries
  std::array<StageCount, kStages> stages{};    ///< written in builds with stage_cycles only
  std::uint64_t waiting = 0;                   ///< gauge: queries that wait in pending slots
  std::uint64_t pending = 0;                   ///< gauge: pending slots taken
  std::uint64_t cache_entries = 0;             ///< gauge
  std::uint64_t cache_octets = 0;              ///< gauge: memory that live entries take
  std::uint64_t generation = 0;                ///< of the snapshot in use
  std::uint64_t swaps = 0;                     ///< views that were taken after the first
  std::uint64_t last_swap_ns = 0;              ///< gauge: how long the turn took that took the last one
  std::uint64_t longest_swap_ns = 0;           ///< gauge: of all of them

  std::uint64_t& operator[](Counter c) { return counters[c]; }
  std::uint64_t operator[](Counter c) const { return counters[c]; }

  /// A query took a pending slot, and `us` later its answer is made, which is counted under `answered`.
  void note_wait(Counter answered, std::uint64_t us) { note_wait(answered, us, Durations::bucket_of(us)); }
  void note_wait(Counter answered, std::uint64_t us, std::size_t bucket) {
    if (is_wait(answered, us)) waited[static_cast<std::size_t>(waited_of(answered))].add(us, bucket);
  }
  /// An error within the burst that brought the query was none.
  static bool is_wait(Counter answered, std::uint64_t us) {
    return us != 0 || answered != Counter::answered_error;
  }
  /// Queries that were answered, by whatever it was.
  std::uint64_t answered() const {
    return counters[Counter::answered_cache] + counters[Counter::answered_rule] +
           counters[Counter::answered_upstream] + counters[Counter::answered_default] +
           counters[Counter::answered_zone] + counters[Counter::answered_error];
  }
};

/// One row of a list in stats.def, for whoever prints them.
struct StatText {
  std::string_view name;
  std::string_view help;
};
inline constexpr StatText kFrameDropText[] = {
#define FRAME_DROP(name, help) {#name, help},
#include "dataplane/base/stats.def"
};
inline constexpr StatText kQueryDropText[] = {
#define QUERY_DROP(name, help) {#name, help},
#include "dataplane/base/stats.def"
};
inline constexpr StatText kAnswerDropText[] = {
#define ANSWER_DROP(name, help) {#name, help},
#include "dataplane/base/stats.def"
};
inline constexpr StatText kCounterText[] = {
#define COUNTER(name, help) {#name, help},
#include "dataplane/base/stats.def"
};

inline constexpr std::string_view kWaitedLabel[] = {
#define WAITED(name, label, counter) label,
#include "dataplane/base/stats.def"
};
struct StageText {
  std::string_view name;
  std::string_view unit;  ///< what goes through it, in the singular
  std::string_view help;
};
inline constexpr StageText kStageText[] = {
#define STAGE(name, unit, help) {#name, unit, help},
#include "dataplane/base/stats.def"
};

/// A copy of Stats that one thread writes and any thread reads (a sequence lock over relaxed words, as in
/// Boehm, "Can seqlocks get along with programming language memory models?", 2012).
class PublishedStats {
 public:
  /// By the worker, between bursts.
  void publish(const Stats& stats) {
    std::array<std::uint64_t, kWords> words;
    std::memcpy(words.data(), &stats, sizeof stats);
    const std::uint64_t s = sequence_.load(std::memory_order_relaxed);
    sequence_.store(s + 1, std::memory_order_relaxed);
    std::atomic_thread_fence(std::memory_order_release);
    for (std::size_t i = 0; i < kWords; ++i)
      words_[i].store(words[i], std::memory_order_relaxed);
    sequence_.store(s + 2, std::memory_order_release);
  }
  /// By anyone; waits out a publish under way (about a microsecond).
  Stats read() const {
    std::array<std::uint64_t, kWords> words;
    for (;;) {
      const std::uint64_t before = sequence_.load(std::memory_order_acquire);
      for (std::size_t i = 0; i < kWords; ++i)
        words[i] = words_[i].load(std::memory_order_relaxed);
      std::atomic_thread_fence(std::memory_order_acquire);
      if ((before & 1) == 0 && sequence_.load(std::memory_order_relaxed) == before) break;
    }
    Stats stats;
    std::memcpy(static_cast<void*>(&stats), words.data(), sizeof stats);
    static_assert(std::is_trivially_copyable_v<Stats>);
    return stats;
  }

 private:
  static constexpr std::size_t kWords = sizeof(Stats) / sizeof(std::uint64_t);
  alignas(kCacheLine) std::atomic<std::uint64_t> sequence_{0};
  std::array<std::atomic<std::uint64_t>, kWords> words_{};
};

}  // namespace shunt
