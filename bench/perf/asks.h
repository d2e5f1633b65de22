// Which question is asked next: the order of the set, and by chance a fresh name or a query with EDNS.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bench/perf/names.h"
#include "dataplane/base/prefetch.h"

namespace shunt::perf {

/// One query to be written: a question's number, and whether it is a fresh one and carries EDNS.
struct Ask {
  static constexpr std::uint64_t kFresh = std::uint64_t{1} << 63, kEdns = std::uint64_t{1} << 62;
  std::uint64_t bits = 0;

  std::uint64_t number() const { return bits & ~(kFresh | kEdns); }
  bool fresh() const { return (bits & kFresh) != 0; }
  bool edns() const { return (bits & kEdns) != 0; }
};

/// All that can be asked. Its owner keeps it in place while it is used.
struct Questions {
  QuestionTable set;
  FreshNames fresh;  ///< empty where none are asked for

  static Result<Questions> make(const NameOptions& options, std::uint64_t seed, std::uint64_t fresh_key);
  const Question& of(Ask ask) const { return ask.fresh() ? fresh[ask.number()] : set[ask.number()]; }
};

class Asks {
 public:
  Asks(const NameOptions& options, const Questions& questions, std::uint64_t seed);

  /// The next query. Drawn some time ahead, so that its question is in the cache by now.
  Ask next() {
    Ask& slot = ahead_[at_++ % kAhead];
    const Ask ask = slot;
    slot = draw();
    return ask;
  }
  /// Begins anew: each question of the set once, in order, and then again; or in the order asked for.
  void restart(bool priming);

 private:
  static constexpr unsigned kAhead = 64;  // two bursts
  static constexpr std::size_t kZipfDraws = 1 << 22;

  Ask draw() {
    const std::uint64_t chance = drawn_ ? draw_.next() : 0;
    Ask ask;
    if (edns_bound_ > (chance & 0xffffffff)) ask.bits = Ask::kEdns;
    if (!priming_ && fresh_bound_ > chance >> 32) {
      ask.bits |= Ask::kFresh | fresh_++;
      return ask;
    }
    const std::uint64_t number = next_of_set();
    prefetch(&questions_.set[number]);
    ask.bits |= number;
    return ask;
  }
  std::uint64_t next_of_set() {
    if (order_ == Order::kUniform && !priming_) return ((draw_.next() >> 32) * count_) >> 32;
    const std::uint64_t i = in_order_++;
    if (order_ == Order::kZipf && !priming_) {
      if (in_order_ == zipf_.size()) in_order_ = 0;
      return zipf_[i];
    }
    if (in_order_ == count_) in_order_ = 0;
    return i;
  }
  void draw_zipf(double exponent);

  const Questions& questions_;
  const std::uint64_t count_;
  const Order order_;
  const std::uint64_t fresh_bound_, edns_bound_;
  const bool drawn_;  ///< some share is neither nothing nor all
  Draw draw_;
  bool priming_ = false;
  std::uint64_t in_order_ = 0, fresh_ = 0, at_ = 0;
  std::vector<std::uint32_t> zipf_;  ///< draws, repeated after a few million
  std::array<Ask, kAhead> ahead_{};
};

}  // namespace shunt::perf
