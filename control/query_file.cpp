#include "control/query_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spdlog/spdlog.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <utility>

#include "control/query_json.h"

namespace shunt::control {
namespace {

constexpr std::size_t kEnough = 64 * 1024;  // to be written at once

}  // namespace

Result<std::unique_ptr<QueryFile>> QueryFile::open(const std::string& path, QueryLogCounts& counts) {
  // A pipe that nobody reads must not hold the log's thread, nor a reload.
  const int fd = path == "-"
                     ? ::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)
                     : ::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0640);
  struct stat about {};
  if (fd < 0 || ::fstat(fd, &about) != 0) {
    const int error = errno;
    if (fd >= 0) ::close(fd);
    return Failure(fmt::format("can't open {}: {}", path, std::strerror(error)));
  }
  return std::unique_ptr<QueryFile>(new QueryFile(path, fd, S_ISREG(about.st_mode), counts));
}

QueryFile::QueryFile(std::string path, int fd, bool regular, QueryLogCounts& counts)
    : fd_(fd), regular_(regular), counts_(counts), trouble_(std::move(path)) {}

QueryFile::~QueryFile() {
  write(kWaitMs);
  const auto left = std::count(lines_.begin() + static_cast<std::ptrdiff_t>(sent_), lines_.end(), '\n');
  counts_.lost += static_cast<std::uint64_t>(left);
  if (left != 0) spdlog::warn("query log {}: {} queries were not written", trouble_.where(), left);
  ::close(fd_);
}

void QueryFile::take(const QueryRecord& record) {
  if (lines_.size() - sent_ >= kMostOctets) {
    ++counts_.lost;
    return;
  }
  lines_ += query_json(record);
  lines_ += '\n';
  if (!trouble_.present() && lines_.size() - sent_ >= kEnough) write(0);
}

/// Whether a write of up to PIPE_BUF octets is taken without a wait: standard output may be anybody's pipe,
/// which isn't ours to make non-blocking.
bool QueryFile::is_ready(int wait_ms) const {
  pollfd waiting{fd_, POLLOUT, 0};
  return regular_ || ::poll(&waiting, 1, wait_ms) > 0;
}

void QueryFile::write(int wait_ms) {
  while (sent_ < lines_.size()) {
    if (!is_ready(wait_ms)) return stalled();
    const std::size_t most = regular_ ? kEnough : PIPE_BUF;
    const ssize_t octets = ::write(fd_, lines_.data() + sent_, std::min(most, lines_.size() - sent_));
    if (octets < 0 && errno == EINTR) continue;
    if (octets < 0 && errno == EAGAIN) return stalled();
    if (octets < 0) return failed(std::strerror(errno));
    went(static_cast<std::size_t>(octets));
  }
  lines_.clear();
  sent_ = 0;
  if (trouble_.present()) trouble_.ends(counts_.lost);
}

void QueryFile::went(std::size_t octets) {
  const auto begin = lines_.begin() + static_cast<std::ptrdiff_t>(sent_);
  counts_.written +=
      static_cast<std::uint64_t>(std::count(begin, begin + static_cast<std::ptrdiff_t>(octets), '\n'));
  sent_ += octets;
}

/// A pipe that is full for a moment is no news.
void QueryFile::stalled() {
  if (lines_.size() - sent_ >= kMostOctets / 2) return failed("nobody reads it");
  lines_.erase(0, std::exchange(sent_, 0));
}

void QueryFile::failed(std::string_view why) {
  lines_.erase(0, std::exchange(sent_, 0));
  trouble_.begins(why, counts_.lost, std::chrono::steady_clock::now());
}

}  // namespace shunt::control
