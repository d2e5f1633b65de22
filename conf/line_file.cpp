#include "conf/line_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace shunt::conf {

LineFile::~LineFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::string LineFile::open(const std::string& path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  struct stat info {};
  if (descriptor_ < 0 || fstat(descriptor_, &info) != 0) return std::strerror(errno);
  if (S_ISDIR(info.st_mode)) return std::strerror(EISDIR);
  if (!S_ISREG(info.st_mode)) return "it is not a regular file";
  stamp_ = stamp_of(info);
  settled_ = is_settled(stamp_);
  buffer_.resize(kBuffer);
  return {};
}

std::string LineFile::error() const {
  return error_ == 0 ? std::string() : std::strerror(error_);
}

std::optional<FileStamp> LineFile::settled_stamp() const {
  struct stat info {};
  if (!settled_ || fstat(descriptor_, &info) != 0 || stamp_of(info) != stamp_) return std::nullopt;
  return stamp_;
}

std::size_t LineFile::estimated_lines() {
  if (end_ == 0 && !fill()) return 0;
  const auto breaks = static_cast<double>(std::count(buffer_.data(), buffer_.data() + end_, '\n'));
  return static_cast<std::size_t>(breaks / static_cast<double>(end_) * static_cast<double>(stamp_.size)) + 1;
}

std::optional<LineFile::Line> LineFile::next() {
  std::size_t searched = 0;
  for (;;) {
    const char* const start = buffer_.data() + begin_;
    const std::size_t have = end_ - begin_;
    const void* const found =
        have == searched ? nullptr : std::memchr(start + searched, '\n', have - searched);
    const bool whole = found != nullptr;
    std::size_t length = whole ? static_cast<std::size_t>(static_cast<const char*>(found) - start) : have;
    if (length > kMaxRuleLine) {
      constexpr std::size_t kKept = 200;
      kept_.assign(start, kKept);
      skip_line();
      return Line{kept_, true};
    }
    if (!whole && fill()) {
      searched = have;
      continue;
    }
    if (error_ != 0 || (!whole && length == 0)) return std::nullopt;
    const char* const text = buffer_.data() + begin_;
    begin_ += length + (whole ? 1 : 0);
    if (length > 0 && text[length - 1] == '\r') --length;
    return Line{{text, length}, false};
  }
}

/// Reads on behind the next line break.
void LineFile::skip_line() {
  do {
    const char* const start = buffer_.data() + begin_;
    const void* const found = std::memchr(start, '\n', end_ - begin_);
    if (found != nullptr) {
      begin_ += static_cast<std::size_t>(static_cast<const char*>(found) - start) + 1;
      return;
    }
    begin_ = end_;
  } while (fill());
}

/// Moves what is left to the front and reads behind it. False at the end and after an error.
bool LineFile::fill() {
  std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
  end_ -= begin_;
  begin_ = 0;
  for (;;) {
    const ssize_t n = ::read(descriptor_, buffer_.data() + end_, buffer_.size() - end_);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) error_ = errno;
    if (n <= 0) return false;
    end_ += static_cast<std::size_t>(n);
    return true;
  }
}

}  // namespace shunt::conf
