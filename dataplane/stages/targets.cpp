// Which target is asked, and what is kept of how it went.
#include <rte_mbuf.h>

#include <algorithm>

#include "dataplane/stages/stages.h"
#include "dataplane/state/target_shares.h"

namespace shunt {
namespace {

using state::Slot;
using state::TargetHealth;

bool was_tried(const Slot& slot, const state::Target& target) {
  for (unsigned i = 0; i < slot.tries; ++i) {
    if (slot.attempt[i].target_id == target.id) return true;
  }
  return false;
}

// A path to `target` whose next hop is known, or null. With several, chance decides: more addresses, more
// entropy.
const net::Adjacency* usable_path(Context& context, const state::Target& target, std::uint32_t& path) {
  if (target.paths == 0) return nullptr;
  const std::uint32_t start = target.paths == 1 ? 0 : context.random.below(target.paths);
  for (std::uint32_t i = 0; i < target.paths; ++i) {
    const std::uint32_t nth = start + i < target.paths ? start + i : start + i - target.paths;
    path = target.first_path + nth;
    const net::Adjacency& adjacency = context.view->adjacencies[path];
    if (adjacency.usable) return &adjacency;
  }
  return nullptr;
}

std::uint8_t condition(const Context& context, const state::Target& target) {
  return context.health[target.id].up.load(std::memory_order_relaxed);
}

bool is_full(const Context& context, const state::Target& target) {
  return context.targets[target.id].in_flight.load(std::memory_order_relaxed) >=
         context.snapshot->queries_per_target;
}

// Where `fastest` begins to look: any of the fastest targets that are up and were not tried.
std::uint32_t fastest(Context& context, const Slot& slot, const state::Upstream& upstream) {
  const auto count = static_cast<std::uint32_t>(upstream.targets.size());
  if (context.random.below(state::kExploreShare) == 0) return context.random.below(count);
  std::array<std::uint32_t, kMaxTargetsPerUpstream> latency_us;
  std::uint32_t best_us = UINT32_MAX;
  for (std::uint32_t i = 0; i < count; ++i) {
    const state::Target& target = upstream.targets[i];
    latency_us[i] = UINT32_MAX;
    if (condition(context, target) != TargetHealth::kUp || was_tried(slot, target)) continue;
    if (leads_back(context, target, slot)) continue;
    // 0 is not measured yet: as good as the best until it is.
    latency_us[i] = context.health[target.id].latency_us.load(std::memory_order_relaxed);
    if (latency_us[i] != 0) best_us = std::min(best_us, latency_us[i]);
  }
  const std::uint32_t band_us = state::fastest_band_us(best_us);
  std::uint32_t chosen = 0, equals = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    if (latency_us[i] <= band_us && context.random.below(++equals) == 0) chosen = i;
  }
  return chosen;
}

std::uint32_t first_choice(Context& context, const Slot& slot, const state::Upstream& upstream) {
  const auto count = static_cast<std::uint32_t>(upstream.targets.size());
  if (count < 2) return 0;
  switch (upstream.policy) {
    case state::Policy::kOrdered:
      return 0;
    case state::Policy::kRandom:
      return context.random.below(count);
    case state::Policy::kFastest:
      return fastest(context, slot, upstream);
  }
  return 0;
}

}  // namespace

bool find_path(Context& context, const state::Target& target, Choice& choice) {
  choice.adjacency = usable_path(context, target, choice.path);
  choice.target = &target;
  return choice.adjacency != nullptr;
}

Choice choose_target(Context& context, const Slot& slot, const state::Upstream& upstream, bool another) {
  const auto count = static_cast<std::uint32_t>(upstream.targets.size());
  if (count == 1 && !another) {  // tried or not
    const state::Target& target = upstream.targets.front();
    Choice only;
    if (condition(context, target) == TargetHealth::kDown || is_full(context, target)) return {};
    if (leads_back(context, target, slot)) return {};
    return find_path(context, target, only) ? only : Choice{};
  }
  const std::uint32_t start = first_choice(context, slot, upstream);
  const bool try_again = !another && slot.tries != 0;
  for (unsigned pass = 0; pass < (try_again ? 4u : 2u); ++pass) {
    const bool again = pass >= 2, on_trial = (pass & 1) != 0;
    for (std::uint32_t i = 0; i < count; ++i) {
      const state::Target& target = upstream.targets[(start + i) % count];
      const std::uint8_t is = condition(context, target);
      if (is == TargetHealth::kDown) continue;
      if (is == TargetHealth::kOnTrial && !on_trial &&
          (slot.tries != 0 || context.random.below(state::kTrialShare) != 0)) {
        continue;
      }
      if (!again && was_tried(slot, target)) continue;
      if (leads_back(context, target, slot)) [[unlikely]]
        continue;
      if (is_full(context, target)) [[unlikely]]
        continue;
      Choice choice;
      if (find_path(context, target, choice)) return choice;
    }
  }
  return {};
}

bool ask_another(Context& context, Slot& slot, const state::Try& answered) {
  const state::Waiter* first = context.pending.waiter(slot.waiters);
  // A probe is about this one target.
  if (first != nullptr && first->transport == state::Transport::kAsk) return false;
  if (slot.waiting != state::Waiting::kForTarget) return false;
  // The one that was asked after it may still know better.
  if (&answered != &slot.attempt[slot.tries - 1]) return slot.in_flight;
  end_try(context, slot);
  const state::Upstream* upstream = context.snapshot->upstream(slot.upstream);
  if (upstream == nullptr || slot.tries == state::kMaxTries || context.now.us >= slot.give_up_us)
    return false;
  const Choice choice = choose_target(context, slot, *upstream, true);
  return choice.adjacency != nullptr && send_to_target(context, slot, {}, choice.target);
}

void no_target(Context& context, Slot& slot) {
  const state::Upstream* upstream = context.snapshot->upstream(slot.upstream);
  bool full = false;
  if (upstream != nullptr) {
    for (const state::Target& target : upstream->targets)
      full |= condition(context, target) != TargetHealth::kDown && is_full(context, target);
  }
  ++context.stats[full ? Counter::pending_full : Counter::upstream_without_path];
  fail(context, slot, full ? dns::ExtendedError::kNetworkError : dns::ExtendedError::kNoReachableAuthority);
}

void note_answer(Context& context, const Slot& slot, const state::Try& t, const dns::Reply& reply) {
  state::TargetStats& stats = context.targets[t.target_id];
  stats.note_answer(context.now.us - t.sent_us);
  const auto rcode = static_cast<dns::Rcode>(reply.rcode());
  if (rcode != dns::Rcode::kServFail && rcode != dns::Rcode::kRefused) [[likely]]
    return;
  state::TargetStats::count(rcode == dns::Rcode::kServFail ? stats.servfails : stats.refused);
  stats.failed_names.add(dns::hash_name(context.hash_key, slot.name.data(), slot.name_length),
                         context.now.seconds());
}

}  // namespace shunt
