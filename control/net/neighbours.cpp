#include "control/net/neighbours.h"

#include <linux/neighbour.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

namespace shunt::control {

namespace {

/// Never resolved by the kernel, and not to be touched: asking for these would turn them into ordinary
/// entries.
constexpr std::uint16_t kFixed = NUD_PERMANENT | NUD_NOARP;

struct Event {
  NextHop next_hop;
  Neighbour neighbour;
};

std::optional<Event> parse(const nlmsghdr& message) {
  const auto* header = netlink_header<ndmsg>(message);
  if (header == nullptr || (header->ndm_family != AF_INET && header->ndm_family != AF_INET6))
    return std::nullopt;
  if ((header->ndm_flags & NTF_PROXY) != 0) return std::nullopt;
  const NetlinkAttributes attributes(message, sizeof(ndmsg));
  const auto address = attributes.address(NDA_DST);
  if (!address) return std::nullopt;
  Event event{.next_hop = {.ifindex = header->ndm_ifindex, .address = *address}};
  if (message.nlmsg_type == RTM_DELNEIGH) return event;
  event.neighbour.state = header->ndm_state;
  event.neighbour.managed = (attributes.u32(NDA_FLAGS_EXT).value_or(0) & NTF_EXT_MANAGED) != 0;
  event.neighbour.mac = attributes.mac(NDA_LLADDR).value_or(MacAddress{});
  return event;
}

NetlinkResult<void> ask_for(Netlink& netlink, const NextHop& next_hop, bool managed) {
  NetlinkMessage message(RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE);
  auto& header = message.header<ndmsg>();
  header.ndm_family = family_of(next_hop.address);
  header.ndm_ifindex = next_hop.ifindex;
  header.ndm_state = NUD_NONE;
  header.ndm_flags = NTF_USE;  // resolve now, and what kernels without the extended flag understand
  message.put_address(NDA_DST, next_hop.address);
  if (managed) message.put_u32(NDA_FLAGS_EXT, NTF_EXT_MANAGED);
  return netlink.request(message);
}

}  // namespace

bool Neighbour::usable() const {
  constexpr std::uint16_t kUsable =
      NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
  return (state & kUsable) != 0 && mac != MacAddress{};
}

void Neighbours::keep(Netlink& netlink, std::set<NextHop> next_hops) {
  for (auto i = kept_.begin(); i != kept_.end();) {
    if (next_hops.contains(i->first)) {
      ++i;
      continue;
    }
    const NextHop gone = i->first;
    const bool ours = (i->second.state & kFixed) == 0;
    i = kept_.erase(i);
    if (ours) stop(netlink, gone);
  }
  std::vector<NextHop> added;
  for (const NextHop& next_hop : next_hops) {
    if (kept_.try_emplace(next_hop).second) added.push_back(next_hop);
  }
  if (added.empty()) return;
  read_all(netlink);  // fixed entries must be known before anything is asked for
  for (const NextHop& next_hop : added)
    start(netlink, next_hop, kept_.at(next_hop));
}

const Neighbour* Neighbours::find(const NextHop& next_hop) const {
  const auto found = kept_.find(next_hop);
  return found == kept_.end() ? nullptr : &found->second;
}

bool Neighbours::handle(const nlmsghdr& message) {
  const auto event = parse(message);
  if (!event) return false;
  const auto found = kept_.find(event->next_hop);
  if (found == kept_.end()) return false;
  const Neighbour before = std::exchange(found->second, event->neighbour);
  const bool deleted = message.nlmsg_type == RTM_DELNEIGH;
  if (deleted) lost_ = true;
  return deleted || before.usable() != found->second.usable() || before.mac != found->second.mac;
}

void Neighbours::resync(Netlink& netlink) {
  read_all(netlink);
  lost_ = true;
  repair(netlink);
}

void Neighbours::repair(Netlink& netlink) {
  if (!std::exchange(lost_, false)) return;
  for (auto& [next_hop, neighbour] : kept_) {
    if (neighbour.state == 0 && !neighbour.managed) start(netlink, next_hop, neighbour);
  }
}

void Neighbours::refresh(Netlink& netlink) {
  for (auto& [next_hop, neighbour] : kept_) {
    if (!neighbour.managed) start(netlink, next_hop, neighbour);
  }
}

void Neighbours::read_all(Netlink& netlink) {
  constexpr int kAttempts = 5;  // a dump that changes while it is read is read again
  for (int i = 0; i < kAttempts; ++i) {
    std::map<NextHop, Neighbour> seen;
    NetlinkMessage message(RTM_GETNEIGH, NLM_F_DUMP);
    message.header<ndmsg>();
    const auto done = netlink.request(message, [&seen, this](const nlmsghdr& m) {
      const auto event = parse(m);
      if (event && kept_.contains(event->next_hop)) seen.insert_or_assign(event->next_hop, event->neighbour);
    });
    if (!done && done.error().code == EINTR && i + 1 < kAttempts) continue;
    if (!done && done.error().code != EINTR) return;
    for (auto& [next_hop, neighbour] : kept_) {
      const auto found = seen.find(next_hop);
      neighbour = found == seen.end() ? Neighbour{} : found->second;
    }
    return;
  }
}

void Neighbours::start(Netlink& netlink, const NextHop& next_hop, Neighbour& neighbour) {
  if ((neighbour.state & kFixed) != 0) return;
  // A failure (the interface is down, or just gone) is tried again by refresh().
  const auto done = ask_for(netlink, next_hop, managed_);
  if (!done && managed_ && (done.error().code == EINVAL || done.error().code == EOPNOTSUPP)) {
    managed_ = false;
    (void)ask_for(netlink, next_hop, false);
  }
}

void Neighbours::stop(Netlink& netlink, const NextHop& next_hop) {
  NetlinkMessage message(RTM_DELNEIGH, 0);
  auto& header = message.header<ndmsg>();
  header.ndm_family = family_of(next_hop.address);
  header.ndm_ifindex = next_hop.ifindex;
  message.put_address(NDA_DST, next_hop.address);
  (void)netlink.request(message);  // gone already is fine
}

}  // namespace shunt::control
