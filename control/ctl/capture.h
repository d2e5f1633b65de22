// `shuntctl capture`: fetches what the daemon captures and writes it as pcap.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

namespace shunt::control::ctl {

struct CaptureOptions {
  std::string socket;
  std::string client, name;            ///< empty: any
  std::string file;                    ///< "-": standard output
  std::optional<std::uint64_t> count;  ///< frames; absent: until a signal
  std::optional<double> seconds;
  bool json = false;
};

/// Runs until there are as many frames, or the time is up, or SIGINT or SIGTERM comes. Then tells on `err`
/// how many frames were looked at, or all of it as JSON on `out`. Returns the exit code.
int capture(const CaptureOptions& options, std::ostream& out, std::ostream& err);

}  // namespace shunt::control::ctl
