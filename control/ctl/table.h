// Text in aligned columns.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace shunt::control::ctl {

class Table {
 public:
  /// One title a column; one that starts with '>' is of a column that is aligned to the right.
  explicit Table(std::vector<std::string> titles);
  /// As many cells as columns. Control characters are shown as '?'.
  void add(std::vector<std::string> cells);
  bool empty() const { return rows_.size() == 1; }
  /// Two spaces between columns, none at a line's end; `indent` in front of each line.
  std::string text(std::string_view indent = "") const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;  ///< the titles first
};

}  // namespace shunt::control::ctl
