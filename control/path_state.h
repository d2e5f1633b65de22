// The state of a path to a target, for people.
#pragma once

#include <cstdint>
#include <string>

#include "dataplane/base/address.h"

namespace shunt::control {

/// How a path leaves, for people: next hop or the reason why there is none.
struct PathState {
  bool usable = false;
  std::uint8_t port = 0;
  IpAddress next_hop;
  std::string why_not;
};

}  // namespace shunt::control
