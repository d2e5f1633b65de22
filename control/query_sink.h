// Where the query log goes: a file (query_file.h), or who speaks dnstap (query_stream.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "control/query_record.h"

namespace shunt::control {

/// Written by the log's thread, read by any.
struct QueryLogCounts {
  std::atomic<std::uint64_t> written{0};
  std::atomic<std::uint64_t> lost{0};  ///< that a worker's ring still had room for
};

/// Tells people that the log can't be written, and that it can again: once, and not more often than every
/// kQuiet, however often that changes. begins() is called again and again while it lasts.
class QueryLogTrouble {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kQuiet{10};

  explicit QueryLogTrouble(std::string where) : where_(std::move(where)) {}
  bool present() const { return !why_.empty(); }
  void begins(std::string_view why, std::uint64_t lost, Clock::time_point now);
  void ends(std::uint64_t lost);
  const std::string& where() const { return where_; }

 private:
  std::string where_;
  std::string why_, told_;  ///< it is so; and what was told of that
  std::optional<Clock::time_point> told_at_;
  std::uint64_t lost_before_ = 0;  ///< when it began
};

/// Belongs to the log's thread once it is made; its destructor writes what is left.
class QuerySink {
 public:
  /// How long it may wait for what it writes to, in all, at its end or for an agreement.
  static constexpr int kWaitMs = 500;

  virtual ~QuerySink() = default;
  /// Takes one, to be written soon; counts it where it is lost.
  virtual void take(const QueryRecord& record) = 0;
  /// Writes what was taken, as far as that doesn't wait.
  virtual void flush() = 0;
};

}  // namespace shunt::control
