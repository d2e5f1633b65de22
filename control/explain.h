// What would happen to a query, and why: from the published snapshot, through the dataplane's own lookups.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "control/generation.h"
#include "control/path_state.h"
#include "dataplane/base/result.h"
#include "dataplane/dns/name.h"

namespace shunt::control {

struct ExplainRequest {
  std::string name;
  std::string type = "A";
  std::string client;
  std::string endpoint;  ///< "": the first that admits the client
};

/// The result of the `explain` command. An error where the request itself makes no sense (bad name, type,
/// address, unknown endpoint). `states` are parallel to the snapshot's paths; `health` has kMaxTargets
/// entries, or is null for a file that nobody runs.
Result<nlohmann::json> explain(const Generation& generation, const dns::HashKey& key,
                               const std::vector<PathState>& states, const state::TargetHealth* health,
                               const ExplainRequest& request);

}  // namespace shunt::control
