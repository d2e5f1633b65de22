// The search against scripted links: what a step loses at a rate.
#include "bench/perf/search.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace shunt::perf {
namespace {

using Oracle = std::function<double(double rate, unsigned step)>;

struct Outcome {
  double best;
  bool at_bound, complete;
  std::vector<double> rates;
};

Outcome run(const SearchOptions& options, double guess, const Oracle& loss) {
  Search search(options, guess);
  std::vector<double> rates;
  while (const auto rate = search.next()) {
    EXPECT_LT(rates.size(), options.steps);
    rates.push_back(*rate);
    search.tell(loss(*rate, static_cast<unsigned>(rates.size() - 1)));
  }
  return {search.best(), search.at_bound(), search.complete(), rates};
}

Oracle link_of(double capacity) {
  return [=](double rate, unsigned) { return rate <= capacity ? 0.0 : 100 * (1 - capacity / rate); };
}

TEST(Search, FindsAnyCapacityWithinThePrecision) {
  const SearchOptions options;
  for (const double capacity : {1000.0, 5e3, 123456.0, 1e6, 7.7e6, 14e6, 400e6}) {
    for (const double guess_error : {0.3, 0.95, 1.0, 1.05, 3.0}) {
      const Outcome found = run(options, capacity * guess_error, link_of(capacity));
      EXPECT_LE(found.best, capacity * 1.0011);
      EXPECT_GE(found.best, capacity * 0.985) << capacity << " " << guess_error;
      EXPECT_TRUE(found.complete);
      EXPECT_FALSE(found.at_bound);
    }
  }
}

TEST(Search, BoundsAreKept) {
  SearchOptions options;
  options.from = 100e3;
  options.to = 2e6;
  options.steps = 40;
  for (const double capacity : {120e3, 900e3, 1.99e6}) {
    const Outcome found = run(options, 0, link_of(capacity));
    EXPECT_NEAR(found.best, capacity, capacity * 0.015);
    EXPECT_EQ(found.rates.front(), 2e6);
    for (const double rate : found.rates) {
      EXPECT_GE(rate, options.from);
      EXPECT_LE(rate, options.to);
    }
  }
}

TEST(Search, TheUpperBoundItselfMayBeGood) {
  SearchOptions options;
  options.to = 1e6;
  const Outcome found = run(options, 0, link_of(5e6));
  EXPECT_EQ(found.best, 1e6);
  EXPECT_TRUE(found.at_bound);
  EXPECT_EQ(found.rates.size(), 1U);
}

TEST(Search, NothingIsGood) {
  SearchOptions options;
  options.from = 1000;
  options.to = 1e6;
  const Outcome found = run(options, 0, link_of(10));
  EXPECT_EQ(found.best, 0);
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.rates.back(), 1000);
  EXPECT_EQ(found.rates.at(found.rates.size() - 2), 1000);  // believed the second time
}

TEST(Search, OneBadStepIsNotBelieved) {
  SearchOptions options;
  options.to = 10e6;
  options.steps = 60;
  // Every other step is spoilt, however low its rate.
  const Outcome found = run(
      options, 0, [](double rate, unsigned step) { return step % 2 == 0 ? 50.0 : link_of(4e6)(rate, step); });
  EXPECT_NEAR(found.best, 4e6, 4e6 * 0.015);
}

TEST(Search, ABadStepIsRepeatedOnce) {
  SearchOptions options;
  options.to = 1e6;
  const Outcome found = run(options, 0, link_of(600e3));
  EXPECT_EQ(found.rates[0], 1e6);
  EXPECT_EQ(found.rates[1], 1e6);
  EXPECT_LT(found.rates[2], 1e6);
}

TEST(Search, StepsAreBounded) {
  SearchOptions options;
  options.steps = 5;
  options.to = 1e6;
  const Outcome found = run(options, 0, link_of(333e3));
  EXPECT_EQ(found.rates.size(), 5U);
  EXPECT_FALSE(found.complete);
}

TEST(Search, TheLimitIsExclusive) {
  SearchOptions options;
  options.to = 1e6;
  options.loss_percent = 0.1;
  EXPECT_EQ(run(options, 0, [](double, unsigned) { return 0.0999; }).best, 1e6);
  EXPECT_EQ(run(options, 0, [](double, unsigned) { return 0.1; }).best, 0);
}

}  // namespace
}  // namespace shunt::perf
