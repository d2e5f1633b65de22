// What came of it: a line each second, a table or JSON at the end.
#pragma once

#include <cstdint>
#include <string>

#include "bench/perf/counters.h"
#include "bench/perf/options.h"

namespace shunt::perf {

struct Report {
  double seconds = 0;                  ///< of the measurement, without the wait for the last answers
  std::uint64_t answered_in_time = 0;  ///< answers within those seconds: what rates are made of
  std::uint64_t primed = 0;            ///< answers before the measurement
  double cycles_per_second = 1;
  Counters counters;

  /// Answers (as clients), or queries served, a second.
  double rate(const Options& options) const;
};

std::string to_table(const Report& report, const Options& options);
std::string to_json(const Report& report, const Options& options);

/// Prints to standard error what happened since the line before.
class LiveLine {
 public:
  LiveLine(const Options& options, double cycles_per_second) : options_(options), hz_(cycles_per_second) {}
  void print(const Counters& counters, std::uint64_t elapsed);

 private:
  const Options& options_;
  double hz_;
  std::uint64_t elapsed_ = 0, sent_ = 0, answered_ = 0, served_ = 0;
};

}  // namespace shunt::perf
