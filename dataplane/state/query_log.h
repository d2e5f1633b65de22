// The log of queries: how each one ended, on its way to who writes it down. Made by the control plane, which
// takes all of its memory, and published with the view: while nobody wants it, workers pay for a look at a
// pointer for each burst that they send, for each answer to one that waited, and for each that is dropped.
//
// A worker waits for nobody: what finds no room is counted (queries_unlogged), and answered all the same.
// What is dropped for want of a buffer or of room in a queue is counted only.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/record_ring.h"
#include "dataplane/base/stats.h"

namespace shunt::state {

/// What a query ended in: an answer, by whom, or none.
enum class QueryEnd : std::uint8_t { kCache, kRule, kUpstream, kDefault, kZone, kError, kDropped };

/// By what an answer was counted under; nothing where it is no client's.
inline std::optional<QueryEnd> end_of(Counter counted) {
  switch (counted) {
    case Counter::answered_cache:
      return QueryEnd::kCache;
    case Counter::answered_rule:
      return QueryEnd::kRule;
    case Counter::answered_upstream:
      return QueryEnd::kUpstream;
    case Counter::answered_default:
      return QueryEnd::kDefault;
    case Counter::answered_zone:
      return QueryEnd::kZone;
    case Counter::answered_error:
      return QueryEnd::kError;
    default:
      return std::nullopt;
  }
}

struct LoggedQuery {
  static constexpr std::size_t kMost = kMaxMessage;  ///< octets kept of a message

  std::uint64_t asked_us = 0, ended_us = 0;  ///< the worker's clock
  std::uint64_t generation = 0;              ///< that the worker used
  std::uint64_t ticket = 0;                  ///< of a stream client's query
  SocketAddress client, server;              ///< who asked, and where
  QueryEnd end = QueryEnd::kDropped;
  QueryDrop drop{};  ///< why, for kDropped
  bool stream = false;
  std::uint16_t length = 0;
  std::array<std::uint8_t, kMost> octets;  ///< [length, …) is void

  /// The answer as it was sent; of a query that was dropped, the query.
  std::span<const std::uint8_t> message() const { return {octets.data(), length}; }
  void set_message(std::span<const std::uint8_t> message) {
    length = static_cast<std::uint16_t>(std::min(message.size(), kMost));
    std::memcpy(octets.data(), message.data(), length);
  }
};

/// From one worker to the log's thread.
using QueryLogRing = RecordRing<LoggedQuery, 2048>;

struct QueryLog {
  explicit QueryLog(std::size_t workers) {
    for (std::size_t i = 0; i < workers; ++i)
      rings.push_back(std::make_unique<QueryLogRing>());
  }

  std::vector<std::unique_ptr<QueryLogRing>> rings;  ///< by worker
};

}  // namespace shunt::state
