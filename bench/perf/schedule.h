// When queries are due at a fixed rate, and how well the generator keeps to it.
#pragma once

#include <algorithm>
#include <cstdint>

namespace shunt::perf {

/// What became of a schedule.
struct Punctuality {
  std::uint64_t due = 0;          ///< queries that should have been sent by the end
  std::uint64_t missed = 0;       ///< of those, not sent at all
  std::uint64_t late = 0;         ///< sent later than Schedule::kTolerance after they were due
  std::uint64_t most_behind = 0;  ///< TSC cycles that the latest one was late
};

/// The k-th query, counted from 1, is due k/rate seconds after the start. A query that is sent late counts
/// from when it was due: the time in which a generator could not ask is time that a client would have waited
/// ("coordinated omission").
class Schedule {
 public:
  static constexpr double kTolerance = 1e-6;  ///< seconds: a turn of the loop

  Schedule(std::uint64_t start, double rate, double hz)
      : start_(start),
        per_cycle_(rate / hz),
        cycles_(hz / rate),
        tolerance_(static_cast<std::uint64_t>(hz * kTolerance)) {}

  /// How many more are to be sent by now.
  std::uint64_t due(std::uint64_t now) const {
    const std::uint64_t all = all_due(now);
    return all - std::min(all, sent_);
  }
  /// The next query is sent now: returns from when its latency counts.
  std::uint64_t send(std::uint64_t now) {
    const std::uint64_t when = start_ + static_cast<std::uint64_t>(static_cast<double>(++sent_) * cycles_);
    if (now < when + tolerance_) return now;
    ++late_;
    most_behind_ = std::max(most_behind_, now - when);
    return when;
  }
  Punctuality at_end(std::uint64_t end) const {
    return {.due = all_due(end), .missed = due(end), .late = late_, .most_behind = most_behind_};
  }

 private:
  std::uint64_t all_due(std::uint64_t now) const {
    return static_cast<std::uint64_t>(static_cast<double>(now - start_) * per_cycle_);
  }

  const std::uint64_t start_;
  const double per_cycle_, cycles_;  ///< queries a cycle, cycles a query
  const std::uint64_t tolerance_;
  std::uint64_t sent_ = 0, late_ = 0, most_behind_ = 0;
};

}  // namespace shunt::perf
