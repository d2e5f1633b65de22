// A query of the log as a message of dnstap (https://dnstap.info, dnstap.proto).
#pragma once

#include <string>
#include <string_view>

#include "control/query_record.h"

namespace shunt::control {

inline constexpr std::string_view kDnstapContentType = "protobuf:dnstap.Dnstap";

/// Who sends them: the host's name, and the program's with its version.
struct DnstapSource {
  std::string identity;
  std::string version;
};

/// A CLIENT_RESPONSE with times, addresses and the answer; a CLIENT_QUERY for a query that got none. Network,
/// rule, and who answered, for which dnstap has no fields, are in `extra`, as decision_json() has
/// them.
std::string query_dnstap(const QueryRecord& record, const DnstapSource& source);

}  // namespace shunt::control
