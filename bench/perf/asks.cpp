#include "bench/perf/asks.h"

#include <algorithm>
#include <cmath>
#include <random>

namespace shunt::perf {

Result<Questions> Questions::make(const NameOptions& options, std::uint64_t seed, std::uint64_t fresh_key) {
  Questions questions;
  auto set = make_questions(options, seed);
  if (!set) return Failure(set.error());
  questions.set = std::move(*set);
  if (options.miss_share == 0) return questions;
  auto fresh = FreshNames::make(options, seed, fresh_key);
  if (!fresh) return Failure(fresh.error());
  questions.fresh = std::move(*fresh);
  return questions;
}

Asks::Asks(const NameOptions& options, const Questions& questions, std::uint64_t seed)
    : questions_(questions),
      count_(questions.set.count()),
      order_(options.order),
      fresh_bound_(share_bound(options.miss_share)),
      edns_bound_(options.edns == 0 ? 0 : share_bound(options.edns_share)),
      drawn_((options.miss_share > 0 && options.miss_share < 1) ||
             (options.edns != 0 && options.edns_share < 1)),
      draw_(scramble(seed)) {
  if (order_ == Order::kZipf) draw_zipf(options.zipf);
  restart(false);
}

void Asks::restart(bool priming) {
  priming_ = priming;
  in_order_ = 0;
  for (Ask& ask : ahead_)
    ask = draw();
}

void Asks::draw_zipf(double exponent) {
  std::vector<double> sums(count_);
  double sum = 0;
  for (std::size_t i = 0; i < count_; ++i)
    sums[i] = sum += std::pow(static_cast<double>(i) + 1.0, -exponent);
  constexpr double kUnit = 1.0 / 9007199254740992.0;  // 2^-53: a draw's upper bits make a number below 1
  zipf_.resize(kZipfDraws);
  std::generate(zipf_.begin(), zipf_.end(), [&] {
    const double drawn = static_cast<double>(draw_.next() >> 11) * kUnit * sum;
    const auto at = std::upper_bound(sums.begin(), sums.end(), drawn);
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(static_cast<std::uint64_t>(at - sums.begin()), count_ - 1));
  });
}

}  // namespace shunt::perf
