#include "dataplane/net/local_addresses.h"

#include <bit>
#include <cassert>

namespace shunt::net {
LocalAddresses::LocalAddresses(std::span<const LocalAddress> addresses) {
  assert(addresses.size() < kEmpty);
  const std::size_t slots =
      std::bit_ceil(2 * addresses.size() + 1);  // at most half full, so probing is short
  slots_.assign(slots, kEmpty);
  mask_ = static_cast<std::uint32_t>(slots - 1);
  entries_.reserve(addresses.size());
  for (const LocalAddress& added : addresses) {
    ends_[added.address.octets.back()] = true;
    std::uint32_t slot = hash(added.address) & mask_;
    while (slots_[slot] != kEmpty && entries_[slots_[slot]].address != added.address)
      slot = (slot + 1) & mask_;
    if (slots_[slot] == kEmpty) {
      slots_[slot] = static_cast<std::uint16_t>(entries_.size());
      entries_.push_back(added);
      continue;
    }
    LocalAddress& known = entries_[slots_[slot]];
    if (added.endpoint != LocalAddress::kNoEndpoint) known.endpoint = added.endpoint;
    known.outbound |= added.outbound;
    known.encrypted |= added.encrypted;
  }
}

}  // namespace shunt::net
