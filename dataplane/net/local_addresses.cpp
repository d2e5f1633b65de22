#include "dataplane/net/local_addresses.h"

#include <bit>
#include <cassert>

#include "dataplane/base/bytes.h"

namespace shunt::net {
namespace {

constexpr std::uint16_t kEmpty = 0xffff;

}  // namespace

std::uint32_t LocalAddresses::hash(const IpAddress& address) {
  const std::uint64_t folded = load_le64(address.octets.data()) ^ load_le64(&address.octets[8]);
  return static_cast<std::uint32_t>((folded * 0x9e3779b97f4a7c15) >> 32);
}

LocalAddresses::LocalAddresses(std::span<const LocalAddress> addresses) {
  assert(addresses.size() < kEmpty);
  const std::size_t slots =
      std::bit_ceil(2 * addresses.size() + 1);  // at most half full, so probing is short
  slots_.assign(slots, kEmpty);
  mask_ = static_cast<std::uint32_t>(slots - 1);
  entries_.reserve(addresses.size());
  for (const LocalAddress& added : addresses) {
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
  }
}

const LocalAddress* LocalAddresses::find(const IpAddress& address) const {
  if (entries_.empty()) return nullptr;
  for (std::uint32_t slot = hash(address) & mask_;; slot = (slot + 1) & mask_) {
    const std::uint16_t index = slots_[slot];
    if (index == kEmpty) return nullptr;
    if (entries_[index].address == address) return &entries_[index];
  }
}

}  // namespace shunt::net
