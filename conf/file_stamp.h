// Tells whether a file is still what it was when it was read, without reading it again.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <optional>
#include <string>

namespace shunt::conf {

/// What the kernel says of a file's content at one moment. Where two are equal and the earlier one is
/// settled, the file has not been written in between.
struct FileStamp {
  std::uint64_t device = 0, inode = 0, size = 0;
  std::int64_t modified_ns = 0, changed_ns = 0;  ///< since the epoch

  friend bool operator==(const FileStamp&, const FileStamp&) = default;
};

FileStamp stamp_of(const struct stat& info);
/// Nothing where the file can't be looked at.
std::optional<FileStamp> stamp_of(const std::string& path);

/// Is the stamp old enough that another write would have made another one? Times are as coarse as the
/// kernel's tick, on some file systems as a second or two: a file that was written just now may be written
/// again under the same stamp.
bool is_settled(const FileStamp& stamp);

}  // namespace shunt::conf
