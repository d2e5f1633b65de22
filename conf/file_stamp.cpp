#include "conf/file_stamp.h"

#include <algorithm>
#include <ctime>

namespace shunt::conf {
namespace {

constexpr std::int64_t kNsPerSecond = 1'000'000'000, kSettledNs = 2 * kNsPerSecond;

std::int64_t ns_of(const timespec& time) {
  return std::int64_t{time.tv_sec} * kNsPerSecond + time.tv_nsec;
}

}  // namespace

FileStamp stamp_of(const struct stat& info) {
  return {info.st_dev, info.st_ino, static_cast<std::uint64_t>(info.st_size), ns_of(info.st_mtim),
          ns_of(info.st_ctim)};
}

std::optional<FileStamp> stamp_of(const std::string& path) {
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) return std::nullopt;
  return stamp_of(info);
}

bool is_settled(const FileStamp& stamp) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return ns_of(now) - std::max(stamp.modified_ns, stamp.changed_ns) > kSettledNs;
}

}  // namespace shunt::conf
