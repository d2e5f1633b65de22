// Reads shunt.toml: syntax, types, unknown keys, ranges; then everything that holds between its parts. All mistakes of a file
// are found in one pass.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "conf/config.h"

namespace shunt::conf {

/// One mistake, with all that a person needs to mend it.
struct Diagnostic {
  std::string file;
  Position position;
  std::string message;     ///< what is wrong, and what would be right
  std::string hint;        ///< the nearest known key or name; may be empty
  std::string source_line; ///< the line it stands on; may be empty
};

/// "FILE:LINE:COLUMN: error: MESSAGE", the line, a caret under the column, and the hint.
std::string to_text(const Diagnostic& diagnostic, std::string_view severity = "error");
std::string to_text(const std::vector<Diagnostic>& diagnostics, std::string_view severity = "error");

struct Loaded {
  std::optional<Config> config;        ///< present where `errors` is empty
  std::vector<Diagnostic> errors;
};

/// Loads and checks the file at `path`, rule files included (they are parsed, and thrown away).
Loaded load_file(const std::string& path);
/// The same for text that is already here; `path` names it in diagnostics and is the base of relative file names.
Loaded load_text(std::string_view text, const std::string& path);

}  // namespace shunt::conf
