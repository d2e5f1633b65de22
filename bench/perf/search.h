// The search for the highest rate at which next to nothing is lost: which rate to try next. No clock, no
// packets.
#pragma once

#include <optional>

#include "bench/perf/options.h"

namespace shunt::perf {

/// First strides away from a guess until one rate was good and one bad, then halves what lies between. A bad
/// step is repeated once before it is believed: a busy machine steals a core for milliseconds.
class Search {
 public:
  /// Where options.to is 0, `guess` is tried first and has no upper bound but options' largest rate;
  /// otherwise options.to is tried first.
  Search(const SearchOptions& options, double guess);

  /// The rate of the next step; nothing once the search has ended.
  std::optional<double> next() const;
  /// What the step at next() lost, in percent. True where it was good.
  bool tell(double loss_percent);

  /// The highest good rate; 0 where none was.
  double best() const { return good_; }
  /// The upper bound itself was good.
  bool at_bound() const { return good_ > 0 && good_ >= most_; }
  /// Ended because the bounds met, not because the steps were used up.
  bool complete() const { return done_; }

 private:
  static constexpr double kStride = 1.25;
  static constexpr double kMost = 1e9;

  void choose();
  static double middle(double low, double high);

  const SearchOptions& options_;
  const double most_;
  double rate_;
  double good_ = 0;  ///< the highest good rate, 0: none yet
  double bad_ = 0;   ///< the lowest bad one, 0: none yet
  double stride_ = kStride;
  unsigned steps_ = 0;
  bool repeating_ = false, done_ = false;
};

}  // namespace shunt::perf
