// A port's own addresses, and what each is for: consulted once per frame.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/address.h"

namespace shunt::net {

struct LocalAddress {
  static constexpr std::uint16_t kNoEndpoint = 0xffff;
  IpAddress address;
  std::uint16_t endpoint = kNoEndpoint;  ///< the inbound endpoint that listens there
  bool outbound = false;                 ///< a source of forwarded queries
};

/// A small open-addressing table. Immutable; shared by all workers. The roles of an address that is given
/// twice are joined.
class LocalAddresses {
 public:
  LocalAddresses() = default;
  explicit LocalAddresses(std::span<const LocalAddress> addresses);

  /// Null where `address` isn't ours.
  const LocalAddress* find(const IpAddress& address) const;
  std::span<const LocalAddress> all() const { return entries_; }

 private:
  static std::uint32_t hash(const IpAddress& address);
  std::vector<LocalAddress> entries_;
  std::vector<std::uint16_t> slots_;  ///< index into entries_, or 0xffff
  std::uint32_t mask_ = 0;
};

}  // namespace shunt::net
