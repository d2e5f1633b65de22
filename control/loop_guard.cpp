#include "control/loop_guard.h"

#include <algorithm>

#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"
#include "dataplane/dns/edns.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {
namespace {

constexpr std::size_t kLongestProbed = 255 - 1 - state::LoopProbe::kLabel;

std::vector<std::uint8_t> question_of(const state::LoopProbe& probe, const dns::Name& name) {
  std::vector<std::uint8_t> wire(dns::kHeaderSize + 1u + state::LoopProbe::kLabel + name.length + 4u +
                                 dns::kOptSize + dns::kExtendedErrorSize);
  dns::store_header(wire.data(), {0, dns::kRd, 1, 0, 0, 1});
  std::uint8_t* at = wire.data() + dns::kHeaderSize;
  probe.write_label(at);
  at += 1u + state::LoopProbe::kLabel;
  at = std::copy_n(name.wire.data(), name.length, at);
  store_be16(at, state::LoopProbe::kType);
  store_be16(at + 2, dns::kClassIn);
  at += 4;
  at += dns::write_opt(at, {.udp_size = kEdnsSize, .dnssec_ok = false});
  wire.resize(static_cast<std::size_t>(at - wire.data()));
  return wire;
}

dns::Name parent_of(const dns::Name& name) {
  dns::Name parent;
  dns::read_name(name.octets().subspan(name.wire[0] + std::size_t{1}), parent);
  return parent;
}

bool is_at_or_below(const dns::Name& name, const dns::Name& above) {
  if (above.labels > name.labels) return false;
  const auto tail = name.octets().subspan(name.offset[name.labels - above.labels]);
  return std::ranges::equal(tail, above.octets());
}

}  // namespace

void LoopGuard::set_targets(const std::map<std::uint32_t, Settings>& targets) {
  std::erase_if(targets_, [&](const auto& known) { return !targets.contains(known.first); });
  for (const auto& [id, settings] : targets)
    targets_[id].settings = settings;
}

void LoopGuard::suspect(std::uint32_t id, std::span<const std::uint8_t> wire, Time now) {
  const auto found = targets_.find(id);
  if (found == targets_.end()) return;
  Target& target = found->second;
  if (target.probe || now < target.next_suspicion || target.loops.size() >= state::TargetLoops::kMax) return;
  dns::Name name;
  if (wire.size() > kLongestProbed || dns::read_name(wire, name) != wire.size()) return;
  // Asked before it was found.
  if (leads_back(id, name)) return;
  target.next_suspicion = now + kPause;
  probe(id, target, name, now);
}

void LoopGuard::probe(std::uint32_t id, Target& target, const dns::Name& name, Time now) {
  state::LoopProbe label{id, random_.next64()};
  if (label.tag == 0) label.tag = 1;
  target.probe = Probe{name, label.tag, now + kLongest};
  hooks_.expect(id, label.tag);
  if (hooks_.ask(id, question_of(label, name))) return;
  hooks_.expect(id, 0);
  target.probe.reset();
}

void LoopGuard::ended(std::uint32_t id, Time now) {
  const auto target = targets_.find(id);
  if (target == targets_.end() || !target->second.probe) return;
  target->second.probe->deadline = now;
  looked(id, target->second, now);
}

// Where the probe under way has come back, or will not any more.
void LoopGuard::looked(std::uint32_t id, Target& target, Time now) {
  const bool back = hooks_.came_back(id, target.probe->tag);
  if (!back && now < target.probe->deadline) return;
  const dns::Name name = target.probe->name;
  target.probe.reset();
  hooks_.expect(id, 0);
  back ? found(id, target, name, now) : missed(id, target, name, now);
}

void LoopGuard::found(std::uint32_t id, Target& target, const dns::Name& name, Time now) {
  const auto known = std::ranges::find_if(
      target.loops, [&](const Loop& loop) { return std::ranges::equal(loop.name.octets(), name.octets()); });
  if (known != target.loops.end()) {
    known->missed = 0;
    known->next_probe = now + target.settings.interval;
    return;
  }
  Time since = now;
  for (const Loop& loop : target.loops)
    if (is_at_or_below(loop.name, name)) since = std::min(since, loop.since);
  std::erase_if(target.loops, [&](const Loop& loop) { return is_at_or_below(loop.name, name); });
  target.loops.push_back({name, since, now + target.settings.interval});
  publish(id, target, "");
  target.highest = name;
  if (name.labels != 0) probe(id, target, parent_of(name), now);
  if (!target.probe) tell_highest(id, target);
}

void LoopGuard::tell_highest(std::uint32_t id, Target& target) {
  if (!target.highest) return;
  publish(id, target,
          "leads back here: it isn't asked for " + dns::to_text(target.highest->octets()) + " and below");
  target.highest.reset();
}

void LoopGuard::missed(std::uint32_t id, Target& target, const dns::Name& name, Time now) {
  const auto known = std::ranges::find_if(
      target.loops, [&](const Loop& loop) { return std::ranges::equal(loop.name.octets(), name.octets()); });
  if (known == target.loops.end()) return tell_highest(id, target);
  known->next_probe = now + target.settings.interval;
  if (++known->missed < kMisses) return;
  target.loops.erase(known);
  publish(id, target, "leads back here no more for " + dns::to_text(name.octets()));
}

void LoopGuard::publish(std::uint32_t id, const Target& target, const std::string& news) {
  std::vector<dns::Name> names;
  for (const Loop& loop : target.loops)
    names.push_back(loop.name);
  hooks_.avoid(id, names, news);
}

void LoopGuard::tick(Time now) {
  for (auto& [id, target] : targets_) {
    if (target.probe) looked(id, target, now);
    if (target.probe) continue;
    const auto due =
        std::ranges::find_if(target.loops, [&](const Loop& loop) { return now >= loop.next_probe; });
    if (due == target.loops.end()) continue;
    due->next_probe = now + target.settings.interval;  // also where it can't be sent
    probe(id, target, due->name, now);
  }
}

std::vector<std::string> LoopGuard::names(std::uint32_t id) const {
  std::vector<std::string> texts;
  if (const auto target = targets_.find(id); target != targets_.end()) {
    for (const Loop& loop : target->second.loops)
      texts.push_back(dns::to_text(loop.name.octets()));
  }
  return texts;
}

bool LoopGuard::leads_back(std::uint32_t id, const dns::Name& name) const {
  const auto target = targets_.find(id);
  return target != targets_.end() && std::ranges::any_of(target->second.loops, [&](const Loop& loop) {
           return is_at_or_below(name, loop.name);
         });
}

LoopGuard::Time LoopGuard::since(std::uint32_t id) const {
  Time first = Time::max();
  for (const Loop& loop : targets_.at(id).loops)
    first = std::min(first, loop.since);
  return first;
}

}  // namespace shunt::control
