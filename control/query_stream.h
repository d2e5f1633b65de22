// The query log as dnstap, over Frame Streams on a UNIX socket where somebody listens: fstrm_capture, dnstap,
// or a collector.
#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "control/query_dnstap.h"
#include "control/query_sink.h"

struct fstrm_writer;

namespace shunt::control {

/// Connects when it is first used, and again a second after it could not, or was cut off; what comes in
/// between is lost.
class QueryStream : public QuerySink {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kRetry{1};
  static constexpr std::size_t kBatch = 64;  ///< frames written at once

  QueryStream(std::string path, DnstapSource source, QueryLogCounts& counts);
  ~QueryStream() override;
  QueryStream(const QueryStream&) = delete;
  QueryStream& operator=(const QueryStream&) = delete;

  void take(const QueryRecord& record) override;
  void flush() override;

 private:
  bool connected(Clock::time_point now);
  void send();
  void failed();

  DnstapSource source_;
  QueryLogCounts& counts_;
  fstrm_writer* writer_ = nullptr;  ///< null: not connected
  int fd_ = -1;                     ///< the writer's
  std::string error_;               ///< of the last call of the writer's
  Clock::time_point next_try_;
  std::vector<std::string> frames_;
  QueryLogTrouble trouble_;

  friend struct StreamOperations;
};

}  // namespace shunt::control
