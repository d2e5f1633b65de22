// From routes and neighbours to the ready-made headers that workers copy.
#pragma once

#include <string>
#include <vector>

#include "control/generation.h"
#include "control/net/routes.h"
#include "control/path_state.h"
#include "control/workers.h"
#include "dataplane/net/adjacency.h"

namespace shunt::control {

struct Adjacencies {
  std::vector<net::Adjacency> headers;  ///< parallel to Snapshot::paths
  std::vector<PathState> states;        ///< parallel too
  bool all_usable() const;
};

/// `hops` are parallel to generation.routes; a path whose source is on a port without a mirror is resolved
/// from that port's fixed neighbours and gateways instead.
Adjacencies make_adjacencies(const Generation& generation, const std::vector<Hop>& hops,
                             const std::vector<Port>& ports);

}  // namespace shunt::control
