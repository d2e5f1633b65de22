// Any text as a configuration: it is right, or has mistakes that can be shown. Rule files are left alone.
#include <string>
#include <string_view>

#include "conf/load.h"
#include "conf/report.h"
#include "tests/fuzz/require.h"

namespace {

using namespace shunt::conf;
using shunt::testing::require;

std::size_t lines_in(std::string_view text) {
  std::size_t lines = 1;
  for (const char c : text)
    lines += c == '\n' ? 1 : 0;
  return lines;
}

void check(const Diagnostic& d, std::size_t lines) {
  require(d.file == "fuzz.toml");
  require(!d.message.empty() && !d.hint.empty());
  require(d.position.line <= lines);
  // They travel as JSON, and to terminals.
  require(clean_utf8(d.source_line) == d.source_line);
  require(to_text(d).find('\x1b') == std::string::npos);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Loaded loaded = load_text(text, "fuzz.toml", {.rule_files = false, .dead_rules = true});
  require(loaded.config.has_value() == loaded.errors.empty());
  require(loaded.errors.size() <= kMaxDiagnostics + 1 && loaded.warnings.size() <= kMaxDiagnostics + 1);
  const std::size_t lines = lines_in(text);
  for (const Diagnostic& d : loaded.errors)
    check(d, lines);
  for (const Diagnostic& d : loaded.warnings)
    check(d, lines);
  if (loaded.config)
    require(!loaded.config->ports.empty() && least_memory(*loaded.config) <= loaded.config->dataplane.memory);
  return 0;
}
