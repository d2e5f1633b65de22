// The query log as a file of JSON lines, or on standard output.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

#include "control/query_sink.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// Appends. What can't be written (the disk is full, nobody reads the pipe) is kept and tried again, up to
/// kMostOctets; what comes beyond is lost.
class QueryFile : public QuerySink {
 public:
  static constexpr std::size_t kMostOctets = std::size_t{1} << 20;

  /// Opens or makes the file, mode 0640; "-" is standard output.
  static Result<std::unique_ptr<QueryFile>> open(const std::string& path, QueryLogCounts& counts);
  ~QueryFile() override;
  QueryFile(const QueryFile&) = delete;
  QueryFile& operator=(const QueryFile&) = delete;

  void take(const QueryRecord& record) override;
  void flush() override { write(0); }

 private:
  QueryFile(std::string path, int fd, bool regular, QueryLogCounts& counts);
  void write(int wait_ms);
  bool is_ready(int wait_ms) const;
  void stalled();
  void failed(std::string_view why);
  void went(std::size_t octets);

  int fd_;
  bool regular_;  ///< is always ready
  QueryLogCounts& counts_;
  std::string lines_;
  std::size_t sent_ = 0;  ///< of lines_
  QueryLogTrouble trouble_;
};

}  // namespace shunt::control
