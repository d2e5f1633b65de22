#include "control/target_order.h"

#include <algorithm>

#include "dataplane/state/target_shares.h"

namespace shunt::control {
namespace {

using state::Target;
using state::TargetHealth;
using Targets = std::vector<const Target*>;

bool leads_back(const PublishedTargets& published, const Target& target, std::span<const std::uint8_t> wire) {
  const unsigned count = published.health[target.id].loops.load(std::memory_order_relaxed);
  dns::Name name;
  return count != 0 && dns::read_name(wire, name) != 0 &&
         published.loops[target.id].cover(published.key, name.wire.data(), name.length, count);
}

std::uint8_t condition(const PublishedTargets& published, const Target& target) {
  return published.health[target.id].up.load(std::memory_order_relaxed);
}

// Any of the fastest, then the others by latency. 0 is not measured yet: as good as the best until it is.
void put_fastest_first(Targets& targets, const PublishedTargets& published, Random& random) {
  if (targets.size() < 2) return;
  const auto latency = [&](const Target* target) {
    return published.health[target->id].latency_us.load(std::memory_order_relaxed);
  };
  std::ranges::stable_sort(targets, {}, latency);
  const auto measured = std::ranges::find_if(targets, [&](const Target* t) { return latency(t) != 0; });
  const std::uint32_t best_us = measured == targets.end() ? UINT32_MAX : latency(*measured);
  const auto slower = std::ranges::find_if(
      targets, [&](const Target* t) { return latency(t) > state::fastest_band_us(best_us); });
  const auto equals = static_cast<std::uint32_t>(slower - targets.begin());
  const std::uint32_t chosen = random.below(state::kExploreShare) == 0
                                   ? random.below(static_cast<std::uint32_t>(targets.size()))
                                   : random.below(equals);
  std::rotate(targets.begin(), targets.begin() + chosen, targets.begin() + chosen + 1);
}

void put_by_policy(Targets& targets, const state::Upstream& upstream, const PublishedTargets& published,
                   Random& random) {
  switch (upstream.policy) {
    case state::Policy::kOrdered:
      return;
    case state::Policy::kRandom:
      if (!targets.empty()) {
        const std::uint32_t start = random.below(static_cast<std::uint32_t>(targets.size()));
        std::rotate(targets.begin(), targets.begin() + start, targets.end());
      }
      return;
    case state::Policy::kFastest:
      return put_fastest_first(targets, published, random);
  }
}

}  // namespace

Targets order_targets(const state::Upstream& upstream, const PublishedTargets& published,
                      std::span<const std::uint8_t> name, Random& random) {
  Targets up, on_trial, down;
  for (const Target& target : upstream.targets) {
    if (leads_back(published, target, name)) continue;
    const std::uint8_t is = condition(published, target);
    (is == TargetHealth::kUp ? up : is == TargetHealth::kOnTrial ? on_trial : down).push_back(&target);
  }
  put_by_policy(up, upstream, published, random);
  const bool trial_first = !on_trial.empty() && random.below(state::kTrialShare) == 0;
  up.insert(trial_first ? up.begin() : up.end(), on_trial.begin(), on_trial.end());
  up.insert(up.end(), down.begin(), down.end());
  return up;
}

bool all_down(const state::Upstream& upstream, const PublishedTargets& published,
              std::span<const std::uint8_t> name) {
  return std::ranges::all_of(upstream.targets, [&](const Target& target) {
    return condition(published, target) == TargetHealth::kDown || leads_back(published, target, name);
  });
}

}  // namespace shunt::control
