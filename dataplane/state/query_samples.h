// Queries drawn by chance, to find who asks most and for what. Made by the control plane, which takes all of
// their memory, and published with the view, like a capture: while there are none, workers pay for a look at
// a pointer.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/random.h"
#include "dataplane/base/record_ring.h"
#include "dataplane/dns/name.h"

namespace shunt::state {

struct QuerySample {
  IpAddress client;
  std::uint32_t stands_for = 1;  ///< queries
  std::uint8_t length = 0;
  std::array<std::uint8_t, dns::kMaxName> wire;  ///< the name, lower case; [length, …) is void

  std::span<const std::uint8_t> name() const { return {wire.data(), length}; }
};

/// From one worker to the control plane, a ring with one writer and one reader; and which query is drawn
/// next. Every one is while there are at most kPerMs in a millisecond, and as many on average where there are
/// more, at distances that no pattern of queries follows.
class QuerySampleRing : public RecordRing<QuerySample, 1024> {
 public:
  static constexpr std::uint32_t kPerMs = 4;

  /// By the worker: so many queries have come.
  void note(unsigned queries, std::uint64_t now_us) {
    if (const std::uint64_t ms = now_us / 1000; ms != ms_) {
      apart_ = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, queries_ / (kPerMs * (ms - ms_))));
      ms_ = ms;
      queries_ = 0;
    }
    queries_ += queries;
  }
  /// By the worker, for each of them: is it drawn?
  bool due() { return --left_ == 0; }
  /// By the worker, after one was due. What finds no room is lost.
  void push(const IpAddress& client, const dns::Name& name, Random& random) {
    const std::uint32_t stands_for = drawn_apart_;
    left_ = drawn_apart_ = 1 + random.below(2 * apart_ - 1);
    QuerySample* const place = next();
    if (place == nullptr) return;
    place->client = client;
    place->stands_for = stands_for;
    place->length = name.length;
    std::memcpy(place->wire.data(), name.wire.data(), name.length);
    publish();
  }

 private:
  std::uint64_t ms_ = 0, queries_ = 0;
  std::uint32_t left_ = 1, apart_ = 1;  ///< queries until the next; between two, on average
  std::uint32_t drawn_apart_ = 1;       ///< between the last and the next
};

struct QuerySamples {
  explicit QuerySamples(std::size_t workers) {
    for (std::size_t i = 0; i < workers; ++i)
      rings.push_back(std::make_unique<QuerySampleRing>());
  }

  std::vector<std::unique_ptr<QuerySampleRing>> rings;  ///< by worker
};

}  // namespace shunt::state
