// What came of it: a line each second, a table or JSON at the end.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "bench/perf/counters.h"
#include "bench/perf/options.h"
#include "bench/perf/schedule.h"

namespace shunt::perf {

/// One step of a search. Times are microseconds.
struct Step {
  double rate = 0;  ///< asked for, queries a second
  double answered_rate = 0;
  std::uint64_t due = 0, sent = 0, answered = 0, lost = 0, missed = 0, late = 0;
  double loss_percent = 0;  ///< lost or missed, of those due
  double p50 = 0, p99 = 0;
  bool good = false;
};

struct SearchReport {
  double unpaced_rate = 0;  ///< answers a second as fast as they come; 0: not tried
  bool at_bound = false;    ///< the upper bound itself was good
  bool complete = false;    ///< the steps were enough
  std::vector<Step> steps;
};

struct Report {
  double seconds = 0;                  ///< of the measurement, without the wait for the last answers
  std::uint64_t answered_in_time = 0;  ///< answers within those seconds: what rates are made of
  std::uint64_t primed = 0;            ///< answers before the measurement
  double wanted_rate = 0;              ///< 0: as fast as answers came
  double cycles_per_second = 1;
  Punctuality punctuality;
  Counters counters;
  std::optional<SearchReport> search;

  /// Answers (as clients), or queries served, a second.
  double rate(const Options& options) const;
  /// Queries that were lost, or due but not sent, of all that were sent or due, in percent.
  double loss_percent() const;
};

Step make_step(const Report& report, bool good);

std::string to_table(const Report& report, const Options& options);
std::string to_json(const Report& report, const Options& options);

// To standard error, while a search runs.
void print_unpaced(double rate);
void print_step(const Step& step);

/// Prints to standard error what happened since the line before. All outlive it.
class LiveLine {
 public:
  LiveLine(const Options& options, const Counters& counters, double cycles_per_second);
  void print(std::uint64_t elapsed);

 private:
  const Options& options_;
  const Counters& counters_;
  const double hz_;
  std::uint64_t elapsed_ = 0, sent_ = 0, answered_ = 0, served_ = 0;
};

}  // namespace shunt::perf
