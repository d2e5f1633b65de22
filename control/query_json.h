// A query of the log as a line of JSON.
#pragma once

#include <string>

#include "control/query_record.h"

namespace shunt::control {

/// Without its newline: {"time", "client", "port", "server", "transport", "network", "name", "type", "class"
/// (where it isn't IN), "rule_set", "rule" (its id, or as it is written), "answered_by", "rcode",
/// "waited_us", "size", "truncated", "answers": [{"name", "type", "ttl", "data"}]}; "dropped" (the reason, as
/// the metrics call it) instead of "answered_by" to "answers" for a query that got none. What there is
/// nothing to tell of is left out. ASCII: whatever octets a client or an upstream sent, they are escaped.
std::string query_json(const QueryRecord& record);
/// Of the same only what shunt decided: {"network", "rule_set", "rule", "answered_by" or "dropped"}.
std::string decision_json(const QueryRecord& record);

}  // namespace shunt::control
