// Counters of single rules. A rule worth it has a figure number; each worker has an array of figures by
// number, which it alone writes, in relaxed stores, and anyone reads. What is counted for number 0, which no
// rule has, is never looked at: so nobody asks whether there is one.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/histogram.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/record_ring.h"

namespace shunt {

using FigureNumber = std::uint16_t;

/// By RCODE: 0 to 6 each alone, all above together.
inline constexpr std::size_t kFigureRcodes = 8;
constexpr std::size_t figure_rcode(unsigned rcode) {
  return rcode < kFigureRcodes ? rcode : kFigureRcodes - 1;
}

/// One thread adds, others may read.
inline void bump(std::atomic<std::uint64_t>& counter, std::uint64_t by = 1) {
  counter.store(counter.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}

struct alignas(kCacheLine) Figure {
  using Atomic = std::atomic<std::uint64_t>;
  std::array<Atomic, kFigureRcodes> hits{};     ///< answered from the cache: one line, all that a hit touches
  std::array<Atomic, kFigureRcodes> answers{};  ///< answered otherwise
  Atomic dropped{0}, timeouts{0}, watched{0};
  Atomic wait_us_sum{0};
  std::array<Atomic, kDurationBounds.size() + 1> waits{};  ///< buckets of Durations

  void note_wait(std::size_t bucket, std::uint64_t us) {
    bump(waits[bucket]);
    bump(wait_us_sum, us);
  }
};

/// Figures as read, or summed.
struct FigureCounts {
  std::array<std::uint64_t, kFigureRcodes> hits{}, answers{};
  std::uint64_t dropped = 0, timeouts = 0, watched = 0;
  Durations waits;

  void add(const Figure& figure) {
    const auto read = [](const std::atomic<std::uint64_t>& a) { return a.load(std::memory_order_relaxed); };
    for (std::size_t i = 0; i < kFigureRcodes; ++i) {
      hits[i] += read(figure.hits[i]);
      answers[i] += read(figure.answers[i]);
    }
    dropped += read(figure.dropped);
    timeouts += read(figure.timeouts);
    watched += read(figure.watched);
    for (std::size_t i = 0; i < figure.waits.size(); ++i)
      waits.buckets[i] += read(figure.waits[i]);
    waits.sum += read(figure.wait_us_sum);
  }
  FigureCounts& operator+=(const FigureCounts& o) { return combine<true>(o); }
  FigureCounts& operator-=(const FigureCounts& o) { return combine<false>(o); }

  std::uint64_t from_cache() const {
    std::uint64_t sum = 0;
    for (const std::uint64_t n : hits)
      sum += n;
    return sum;
  }
  /// That are over: answered or dropped. A watch answers nothing: those that it took note of.
  std::uint64_t queries() const {
    std::uint64_t sum = from_cache() + dropped + watched;
    for (const std::uint64_t n : answers)
      sum += n;
    return sum;
  }

 private:
  template <bool kAdd>
  FigureCounts& combine(const FigureCounts& o) {
    const auto apply = [](std::uint64_t& to, std::uint64_t n) { to = kAdd ? to + n : to - n; };
    for (std::size_t i = 0; i < kFigureRcodes; ++i) {
      apply(hits[i], o.hits[i]);
      apply(answers[i], o.answers[i]);
    }
    apply(dropped, o.dropped);
    apply(timeouts, o.timeouts);
    apply(watched, o.watched);
    for (std::size_t i = 0; i < waits.buckets.size(); ++i)
      apply(waits.buckets[i], o.waits.buckets[i]);
    apply(waits.sum, o.waits.sum);
    return *this;
  }
};

/// A query that went to a rule without figures: one of many, drawn by chance.
struct RuleSample {
  const void* set;  ///< the rule set's address: to be compared, not followed
  std::uint32_t rule;
  std::uint32_t epoch;    ///< of the figures that were current
  std::uint32_t queries;  ///< that it stands for
};

/// Samples on their way from a worker to the control plane. What finds no room is counted as offered only.
class SampleRing : public RecordRing<RuleSample, 1024> {
 public:
  /// By the worker.
  void push(const RuleSample& sample) {
    bump(offered_, sample.queries);
    RuleSample* const place = next();
    if (place == nullptr) return;
    *place = sample;
    publish();
  }
  /// Queries that samples stood for, those without room included.
  std::uint64_t offered() const { return offered_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> offered_{0};
};

}  // namespace shunt
