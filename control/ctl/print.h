// The daemon's results as a person reads them. Fields that a result lacks are left out or shown as "-".
#pragma once

#include <string>

#include "control/ctl/client.h"

namespace shunt::control::ctl {

std::string status_text(const Json& result);
/// The one line of a reload or a rollback.
std::string summary_text(const Json& result);
/// That line, and by name what would change: "+ corp: onprem.corp forward corp-dns", "- …",
/// "~ corp: NAME: old → new", "~ network \"prod\": default".
std::string dry_run_text(const Json& result);
std::string explain_text(const Json& result);
std::string upstreams_text(const Json& result);
std::string cache_text(const Json& result);
/// The `count` rows of `rules` that are first by `sort`: queries, hits, dropped, timeouts, p99, or name.
std::string rules_text(const Json& result, const std::string& sort, std::size_t count);
std::string stats_text(const Json& result);

/// "3 d 4 h", "2 min 5 s": the two largest units.
std::string duration_text(double seconds);

}  // namespace shunt::control::ctl
