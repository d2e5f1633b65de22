// Reads a file line by line through a buffer of a fixed size, so that a file of gigabytes takes no memory,
// and one that shrinks meanwhile does no harm (a mapping would end the process).
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/file_stamp.h"

namespace shunt::conf {

/// A line is at most this long, in octets.
inline constexpr std::size_t kMaxRuleLine = 65535;

class LineFile {
 public:
  LineFile() = default;
  ~LineFile();
  LineFile(const LineFile&) = delete;
  LineFile& operator=(const LineFile&) = delete;

  /// Why it can't be read, or "". Regular files only: nothing that one would wait for.
  std::string open(const std::string& path);

  struct Line {
    std::string_view text;  ///< without "\n" or "\r\n"; valid until the next call
    bool too_long = false;  ///< longer than kMaxRuleLine: `text` is its beginning only
  };
  /// The next line; nothing at the end, or after a read error.
  std::optional<Line> next();
  /// Why reading stopped early, or "".
  std::string error() const;

  /// Of what was read: the file's stamp, or nothing where the file changed meanwhile, or is so new that it
  /// may change again without a trace. At the end.
  std::optional<FileStamp> settled_stamp() const;

  /// How many lines the whole file has, guessed from its first megabyte. Before the first next().
  std::size_t estimated_lines();

 private:
  static constexpr std::size_t kBuffer = std::size_t{1} << 20;

  bool fill();
  void skip_line();

  int descriptor_ = -1;
  int error_ = 0;
  FileStamp stamp_;                  // when it was opened
  bool settled_ = false;             // then
  std::size_t begin_ = 0, end_ = 0;  // what of buffer_ is not yet taken
  std::vector<char> buffer_;
  std::string kept_;  // the beginning of a line that is too long
};

}  // namespace shunt::conf
