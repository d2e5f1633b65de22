#include "control/zone_lookup.h"

#include <algorithm>
#include <array>

#include "dataplane/dns/wire.h"

namespace shunt::control {
namespace {

constexpr std::uint16_t kRrsig = 46;

std::uint16_t number(dns::Type type) {
  return static_cast<std::uint16_t>(type);
}

/// What the node, or the wildcard in a name's place, says.
ZoneStep ask_node(const conf::ZoneNode& node, const dns::Name& name, std::uint16_t type) {
  const conf::RrSet* set = node.find(type);
  if (type == number(dns::Type::kAny)) {
    set = node.sets;
    while (set != nullptr && set->type == kRrsig)
      set = set->next;
  }
  if (set != nullptr) return {ZoneVerdict::kAnswer, set, name.octets()};
  set = node.find(number(dns::Type::kCname));
  if (set != nullptr) return {ZoneVerdict::kCname, set, name.octets()};
  return {ZoneVerdict::kNoData, nullptr, {}};
}

/// The wildcard below the closest encloser, which is the name's last `labels` labels.
const conf::ZoneNode* find_wildcard(const conf::Zone& zone, const dns::Name& name, unsigned labels) {
  const std::span<const std::uint8_t> encloser = suffix_of(name, labels);
  // The name has a label more, of one octet at least: "*." before its encloser is no longer than itself.
  std::array<std::uint8_t, dns::kMaxName> wildcard{1, '*'};
  std::ranges::copy(encloser, wildcard.begin() + 2);
  return zone.find({wildcard.data(), encloser.size() + 2});
}

}  // namespace

ZoneStep look_up(const conf::Zone& zone, const dns::Name& name, std::uint16_t type) {
  const unsigned apex = zone.apex().labels;
  const conf::ZoneNode* node = nullptr;
  unsigned labels = apex;
  for (; labels <= name.labels; ++labels) {
    const std::span<const std::uint8_t> owner = suffix_of(name, labels);
    const conf::ZoneNode* const next = zone.find(owner);
    if (next == nullptr) break;
    node = next;
    const bool whole = labels == name.labels;
    if (labels > apex && !(whole && type == number(dns::Type::kDs))) {
      if (const conf::RrSet* cut = node->find(number(dns::Type::kNs)); cut != nullptr)
        return {ZoneVerdict::kReferral, cut, owner};
    }
    if (whole) return ask_node(*node, name, type);
    if (const conf::RrSet* dname = node->find(number(dns::Type::kDname)); dname != nullptr)
      return {ZoneVerdict::kDname, dname, owner};
  }
  if (node == nullptr) return {};  // not below the apex
  node = find_wildcard(zone, name, labels - 1);
  return node == nullptr ? ZoneStep{} : ask_node(*node, name, type);
}

}  // namespace shunt::control
