// `shuntctl top`: what the gateway is doing right now, again and again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>

#include "control/ctl/client.h"

namespace shunt::control::ctl {

struct TopOptions {
  std::string socket;
  std::size_t count = 10;                ///< names, clients and rules that are shown
  double interval = 1;                   ///< seconds
  std::optional<std::uint64_t> updates;  ///< absent: until a signal
  bool json = false;                     ///< an object a line instead of the screen
  bool screen = false;  ///< `out` is a terminal: each update takes the place of the one before
};

/// Runs until there were as many updates, or SIGINT or SIGTERM comes. Returns the exit code.
int top(const TopOptions& options, std::ostream& out, std::ostream& err);

/// What the daemon said at one time: results of `status`, `stats`, `rules` and `top`.
struct TopSample {
  double seconds = 0;  ///< of any clock
  Json status = Json::object(), stats = Json::object(), rules = Json::object(), top = Json::object();
};
/// What happened between two samples: {"seconds", "queries_per_second", "hit_ratio", "answered": {by: rate},
/// "dropped": {"queries": {reason: rate}, …}, "workers", "names", "clients", "rules"}; rates that are 0 are
/// left out. The hit ratio is null where nothing was answered.
Json top_update(const TopSample& before, const TopSample& now, std::size_t count);
std::string top_text(const Json& update);

}  // namespace shunt::control::ctl
