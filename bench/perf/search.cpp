#include "bench/perf/search.h"

#include <algorithm>
#include <cmath>

namespace shunt::perf {

Search::Search(const SearchOptions& options, double guess)
    : options_(options),
      most_(options.to > 0 ? options.to : kMost),
      rate_(std::clamp(options.to > 0 ? options.to : guess, options.from, most_)) {}

std::optional<double> Search::next() const {
  if (done_ || steps_ >= options_.steps) return std::nullopt;
  return rate_;
}

bool Search::tell(double loss_percent) {
  ++steps_;
  if (loss_percent < options_.loss_percent) {
    repeating_ = false;
    good_ = rate_;
    choose();
    return true;
  }
  if (!repeating_) {
    repeating_ = true;
    return false;
  }
  repeating_ = false;
  bad_ = rate_;
  choose();
  return false;
}

void Search::choose() {
  if (bad_ == 0) {  // only good ones: up
    done_ = good_ >= most_;
    rate_ = std::min(good_ * stride_, most_);
    stride_ *= stride_;
  } else if (good_ == 0) {  // only bad ones: down
    done_ = bad_ <= options_.from;
    rate_ = std::max(bad_ / stride_, options_.from);
    stride_ *= stride_;
  } else {
    done_ = bad_ - good_ <= bad_ * options_.precision_percent / 100;
    rate_ = middle(good_, bad_);
  }
}

// Bounds far apart are halved by their ratio, so that a low rate is found as quickly as a high one.
double Search::middle(double low, double high) {
  constexpr double kFar = 4;
  return high > low * kFar ? std::sqrt(low * high) : (low + high) / 2;
}

}  // namespace shunt::perf
