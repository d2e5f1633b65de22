// A port's own addresses, and what each is for: consulted once per frame.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/bytes.h"

namespace shunt::net {

struct LocalAddress {
  static constexpr std::uint16_t kNoEndpoint = 0xffff;
  IpAddress address;
  std::uint16_t endpoint = kNoEndpoint;  ///< the inbound endpoint that listens there
  bool outbound = false;                 ///< a source of forwarded queries
  bool encrypted = false;                ///< the endpoint listens at the ports of TLS and HTTPS, too
};

/// A small open-addressing table. Immutable; shared by all workers. The roles of an address that is given
/// twice are joined.
class LocalAddresses {
 public:
  LocalAddresses() = default;
  explicit LocalAddresses(std::span<const LocalAddress> addresses);

  /// Null where `address` isn't ours.
  const LocalAddress* find(const IpAddress& address) const {
    // Hardly any sender's address ends as one of ours.
    if (!ends_[address.octets.back()]) return nullptr;
    for (std::uint32_t slot = hash(address) & mask_;; slot = (slot + 1) & mask_) {
      const std::uint16_t index = slots_[slot];
      if (index == kEmpty) return nullptr;
      if (entries_[index].address == address) return &entries_[index];
    }
  }
  std::span<const LocalAddress> all() const { return entries_; }

 private:
  static constexpr std::uint16_t kEmpty = 0xffff;
  static std::uint32_t hash(const IpAddress& address) {
    // What differs between addresses are their last octets, which a little-endian load has on top: a
    // multiplication would carry them out.
    const std::uint64_t folded = load_le64(address.octets.data()) ^ load_le64(&address.octets[8]);
    return static_cast<std::uint32_t>((__builtin_bswap64(folded) * 0x9e3779b97f4a7c15) >> 32);
  }
  std::array<bool, 256> ends_{};  ///< last octets of the entries
  std::vector<LocalAddress> entries_;
  std::vector<std::uint16_t> slots_;  ///< index into entries_, or kEmpty; one at least of each table is
  std::uint32_t mask_ = 0;
};

}  // namespace shunt::net
