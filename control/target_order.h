// The order in which the control plane tries an upstream's targets: by the rules that workers choose by
// (stages/targets.cpp).
#pragma once

#include <span>
#include <vector>

#include "dataplane/base/random.h"
#include "dataplane/state/snapshot.h"
#include "dataplane/state/target_loops.h"

namespace shunt::control {

/// What is published of targets; arrays by id. `key` is that of the workers' hashes.
struct PublishedTargets {
  const state::TargetHealth* health = nullptr;
  const state::TargetLoops* loops = nullptr;
  dns::HashKey key;
};

/// By policy, those that are up first, then those on trial (sometimes before them), then those that are down:
/// one is better than none. Those that lead back here for the name (wire format, any case) are left out.
std::vector<const state::Target*> order_targets(const state::Upstream& upstream,
                                                const PublishedTargets& published,
                                                std::span<const std::uint8_t> name, Random& random);

/// Every target is down, or leads back here for the name.
bool all_down(const state::Upstream& upstream, const PublishedTargets& published,
              std::span<const std::uint8_t> name);

}  // namespace shunt::control
