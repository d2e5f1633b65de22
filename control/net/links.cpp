#include "control/net/links.h"

#include <net/if.h>

namespace shunt::control {

void Links::resync(Netlink& netlink) {
  links_.clear();
  NetlinkMessage message(RTM_GETLINK, NLM_F_DUMP);
  message.header<ifinfomsg>();
  // A dump that was interrupted is complete after the events that interrupted it.
  (void)netlink.request(message, [this](const nlmsghdr& m) { handle(m); });
}

bool Links::handle(const nlmsghdr& message) {
  const auto* header = netlink_header<ifinfomsg>(message);
  // Bridges tell of their ports in messages of their own family, which are not about the interface.
  if (header == nullptr || header->ifi_family != AF_UNSPEC) return false;
  if (message.nlmsg_type == RTM_DELLINK) return links_.erase(header->ifi_index) != 0;
  const Link now{.name = NetlinkAttributes(message, sizeof(ifinfomsg)).text(IFLA_IFNAME),
                 .up = (header->ifi_flags & IFF_UP) != 0,
                 .carrier = (header->ifi_flags & IFF_RUNNING) != 0};
  Link& link = links_[header->ifi_index];
  if (link == now) return false;
  link = now;
  return true;
}

const Link* Links::find(int ifindex) const {
  const auto found = links_.find(ifindex);
  return found == links_.end() ? nullptr : &found->second;
}

}  // namespace shunt::control
