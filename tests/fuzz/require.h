// What must hold in a fuzz target: ends the process with the line that failed, so that libFuzzer keeps the
// input.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace shunt::testing {

inline void require(bool condition, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%d: does not hold\n", file, line);
  std::abort();
}

}  // namespace shunt::testing
