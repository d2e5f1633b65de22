// shuntctl without its process: arguments in, text and exit code out.
#pragma once

#include <ostream>

namespace shunt::control::ctl {

/// Results go to `out`, errors to `err`. Returns the exit code: 0 done, 1 failed, 2 wrong usage, 69 the
/// daemon cannot be reached, 78 the configuration is wrong.
int run(int argc, const char* const* argv, std::ostream& out, std::ostream& err);

}  // namespace shunt::control::ctl
