// One question to the kernel's routing tables: how would a packet from this address to that one leave?
#pragma once

#include <string>

#include "control/net/netlink.h"
#include "dataplane/base/address.h"

namespace shunt::control {

struct Route {
  int ifindex = 0;     ///< 0: none, then `why_not` says why
  IpAddress next_hop;  ///< the gateway (of either family), or the target itself where it is on the link
  std::string why_not;
};

/// Asks as for a packet that this host sends: policy rules that look at the source apply.
Route lookup_route(Netlink& netlink, const IpAddress& source, const IpAddress& target);

/// Whether the address is one of this namespace's own.
bool is_local_address(Netlink& netlink, const IpAddress& address);

}  // namespace shunt::control
