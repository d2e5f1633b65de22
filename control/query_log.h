// The log of queries: takes from the workers and from the streams how each query ended, and writes it where
// [log] says. All that may wait for a disk or a collector is done on a thread of its own; the workers, and
// the control plane, wait for nobody: what finds no room is counted, and lost.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "conf/config.h"
#include "control/counters.h"
#include "control/query_record.h"
#include "control/query_sink.h"
#include "dataplane/base/result.h"
#include "dataplane/state/query_log.h"

namespace shunt::control {

/// A stream client's query that was answered: the control plane's to tell of, because what the client gets is
/// made here.
struct StreamEnd {
  std::chrono::steady_clock::time_point asked, ended;
  SocketAddress client, server;
  StreamKind kind = StreamKind::kTcp;
  state::QueryEnd end = state::QueryEnd::kError;
  std::vector<std::uint8_t> answer;
};

/// The functions are for the control plane's thread.
class QueryLog {
 public:
  static constexpr std::size_t kMostStreamEnds = 4096;  ///< on their way to the thread
  /// Of the thread, where nothing has come; and while there is no sink.
  static constexpr std::chrono::milliseconds kNap{2}, kLongNap{100};

  struct Options {
    std::size_t workers = 1;
    dns::HashKey key;
    /// What to add to a worker's clock for microseconds since 1970. Called on the log's thread.
    std::function<std::int64_t()> wall_offset_us;
    /// Called by the log's thread first: it keeps off the workers' cores.
    std::function<void()> on_thread;
    std::string version;  ///< of the program
  };
  explicit QueryLog(Options options);
  /// Writes what has come so far; waits for QuerySink::kWaitMs now and then, but not longer.
  ~QueryLog();
  QueryLog(const QueryLog&) = delete;
  QueryLog& operator=(const QueryLog&) = delete;

  /// What `config` asks for; null where queries aren't to be logged. Changes nothing yet.
  Result<std::unique_ptr<QuerySink>> open(const conf::QueryLog& config);
  /// From now on all goes there; what came before still goes where it went.
  void set_sink(std::unique_ptr<QuerySink> sink);
  void set_generation(std::shared_ptr<const Generation> generation);
  /// What the workers are to have while there is a sink; made with the first.
  const std::shared_ptr<const state::QueryLog>& from_workers() const { return from_workers_; }
  void take(StreamEnd end);

  QueryLogCounters counters() const;

 private:
  using Clock = std::chrono::steady_clock;
  /// What the thread takes at a time.
  struct Orders {
    std::vector<StreamEnd> stream_ends;
    std::shared_ptr<const Generation> generation;    ///< null: as before
    std::optional<std::unique_ptr<QuerySink>> sink;  ///< to go on with, after this
  };
  void run();
  /// False where nothing had come.
  bool write_down(const Orders& orders);
  void write(const state::LoggedQuery& query, std::int64_t wall_offset_us);
  void write(const StreamEnd& end);

  const Options options_;
  std::shared_ptr<const state::QueryLog> from_workers_;
  QueryLogCounts counts_;
  QueryPlaces places_;               // the thread's
  std::unique_ptr<QuerySink> sink_;  // likewise

  std::mutex mutex_;
  std::condition_variable woken_;
  Orders orders_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace shunt::control
