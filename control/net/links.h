// The interfaces of a namespace: name, and whether frames can leave through them.
#pragma once

#include <map>
#include <string>

#include "control/net/netlink.h"

namespace shunt::control {

struct Link {
  std::string name;
  bool up = false;       ///< as its administrator wants it
  bool carrier = false;  ///< as its port's link is
  friend bool operator==(const Link&, const Link&) = default;
};

class Links {
 public:
  /// Reads all of them.
  void resync(Netlink& netlink);
  /// Takes RTM_NEWLINK and RTM_DELLINK; true if something changed that is told here.
  bool handle(const nlmsghdr& message);
  /// nullptr where there is none.
  const Link* find(int ifindex) const;

 private:
  std::map<int, Link> links_;
};

}  // namespace shunt::control
