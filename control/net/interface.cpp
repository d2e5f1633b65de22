#include "control/net/interface.h"

#include <fmt/format.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <net/if.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>

#include "control/net/route_lookup.h"

namespace shunt::control {

namespace {

/// Marks our routes and rules as ours ("proto 53" in `ip rule`).
constexpr std::uint8_t kProtocol = 53;
/// Just before the kernel's own rule for the main table (32766), so that a person's rules, which `ip rule`
/// puts before those that are there, are asked first.
constexpr std::uint32_t kMainFirstPriority = 32764;
constexpr std::uint32_t kRulePriority = 32765;
/// Above the routes that DHCP clients and people make: on the host's own network its own default route stays
/// the default.
constexpr std::uint32_t kMetric = 1000;

/// A routing table by name, out of the way of numbers that people choose; the same in each run, so that rules
/// that a killed run left behind do not send our packets to a table that nobody fills.
std::uint32_t table_of(const std::string& name) {
  std::uint32_t hash = 2166136261u;  // FNV-1a
  for (const char c : name)
    hash = (hash ^ static_cast<std::uint8_t>(c)) * 16777619u;
  return 0x53000000u | (hash & 0xffffffu);
}

std::uint8_t family(bool v4) {
  return v4 ? AF_INET : AF_INET6;
}

std::uint8_t kernel_length(const Prefix& prefix) {
  return static_cast<std::uint8_t>(prefix.address.is_v4() ? prefix.length - 96 : prefix.length);
}

int flags_of(bool adding) {
  return adding ? NLM_F_CREATE | NLM_F_REPLACE : 0;
}

}  // namespace

Interface::Interface(Netlink netlink, int ifindex, std::string name)
    : netlink_(std::move(netlink)), ifindex_(ifindex), name_(std::move(name)), table_(table_of(name_)) {}

Result<void> Interface::bring_up(std::uint16_t mtu) {
  NetlinkMessage message(RTM_NEWLINK, 0);
  auto& header = message.header<ifinfomsg>();
  header.ifi_index = ifindex_;
  header.ifi_flags = header.ifi_change = IFF_UP;
  message.put_u32(IFLA_MTU, mtu);
  if (const auto done = netlink_.request(message); !done) {
    return Failure(fmt::format("cannot bring up {} with an MTU of {}: {}", name_, mtu, done.error().text));
  }
  mtu_ = mtu;
  return {};
}

Interface::Items Interface::items_of(const InterfaceSettings& settings) {
  using Kind = Item::Kind;
  Items items;
  for (const Prefix& prefix : settings.addresses) {
    items.insert({.kind = Kind::kAddress, .v4 = prefix.address.is_v4(), .prefix = prefix});
  }
  for (const auto& [address, mac] : settings.neighbours) {
    items.insert({.kind = Kind::kNeighbour, .v4 = address.is_v4(), .prefix = {address, 128}, .mac = mac});
  }
  for (const IpAddress& gateway : settings.gateways) {
    const bool v4 = gateway.is_v4();
    items.insert({.kind = Kind::kMainRoute, .v4 = v4, .gateway = gateway});
    items.insert({.kind = Kind::kTableRoute, .v4 = v4, .gateway = gateway});
    items.insert({.kind = Kind::kMainFirst, .v4 = v4});
    for (const Prefix& prefix : settings.addresses) {
      if (prefix.address.is_v4() != v4) continue;
      items.insert({.kind = Kind::kRule, .v4 = v4, .prefix = {prefix.address, 128}});
    }
  }
  return items;
}

/// Whether adding the one has overwritten the other.
bool Interface::replaces(const Item& added, const Item& removed) {
  if (added.kind != removed.kind || added.v4 != removed.v4) return false;
  switch (added.kind) {
    case Item::Kind::kNeighbour:
      return added.prefix == removed.prefix;
    case Item::Kind::kMainRoute:
    case Item::Kind::kTableRoute:
      return true;  // one per family
    default:
      return added == removed;
  }
}

Result<void> Interface::change(const InterfaceSettings& settings) {
  const std::uint16_t mtu_before = mtu_;
  const Items before = items_;
  if (settings.mtu != mtu_) {
    if (auto done = bring_up(settings.mtu); !done) return done;
  }
  auto done = move_to(items_of(settings));
  if (!done) {
    // Back to where we were. What fails here as well is worse than the error that led here, and will be told
    // by it.
    if (mtu_before != 0 && mtu_before != mtu_) (void)bring_up(mtu_before);
    (void)move_to(before);
  }
  return done;
}

Result<void> Interface::move_to(const Items& wanted) {
  const Items before = items_;
  // An IPv6 address has one prefix length: for another it must go first.
  for (const Item& old : before) {
    if (old.kind != Item::Kind::kAddress || old.v4 || wanted.contains(old)) continue;
    const bool stays = std::ranges::any_of(wanted, [&old](const Item& item) {
      return item.kind == Item::Kind::kAddress && item.prefix.address == old.prefix.address;
    });
    if (!stays) continue;
    if (auto done = remove(old); !done) return done;
  }
  for (const Item& item : wanted) {
    if (items_.contains(item)) continue;
    if (auto done = add(item); !done) return done;
  }
  for (const Item& item : wanted) {
    if (item.kind == Item::Kind::kAddress && !item.v4 && !before.contains(item))
      wait_for(item.prefix.address);
  }
  for (auto old = before.rbegin(); old != before.rend(); ++old) {
    if (wanted.contains(*old) || !items_.contains(*old)) continue;
    if (auto done = remove(*old); !done) return done;
  }
  return {};
}

/// The kernel begins to listen to an IPv6 address in its own time, a few milliseconds later, even without
/// duplicate detection.
void Interface::wait_for(const IpAddress& address) {
  constexpr int kAttempts = 200;
  for (int i = 0; i < kAttempts && !is_local_address(netlink_, address); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

Result<void> Interface::add(const Item& item) {
  if (item.kind == Item::Kind::kRule) {
    // A run that was killed, or another port that had the address before, may have left its rule.
    NetlinkMessage stale(RTM_DELRULE, 0);
    auto& header = stale.header<fib_rule_hdr>();
    header.family = family(item.v4);
    header.src_len = item.v4 ? 32 : 128;
    header.action = FR_ACT_TO_TBL;
    stale.put_address(FRA_SRC, item.prefix.address);
    stale.put_u32(FRA_PRIORITY, kRulePriority);
    stale.put_u8(FRA_PROTOCOL, kProtocol);
    for (int i = 0; i < 16 && netlink_.request(stale); ++i) {
    }
  }
  if (const auto done = send(item, true); !done && done.error().code != EEXIST) {
    return Failure(fmt::format("cannot give {} {}: {}", name_, describe(item), done.error().text));
  }
  std::erase_if(items_, [&item](const Item& old) { return replaces(item, old); });
  items_.insert(item);
  return {};
}

Result<void> Interface::remove(const Item& item) {
  const bool needed_by_others = item.kind == Item::Kind::kMainFirst && rules_left(item.v4);
  if (needed_by_others) {
    items_.erase(item);
    return {};
  }
  if (const auto done = send(item, false); !done) {
    // Gone already: by a person, or with the address that it depended on.
    const int code = done.error().code;
    if (code != ESRCH && code != ENOENT && code != EADDRNOTAVAIL) {
      return Failure(fmt::format("cannot take {} from {}: {}", describe(item), name_, done.error().text));
    }
  }
  items_.erase(item);
  return {};
}

void Interface::forget_rules() {
  const Items before = items_;
  for (auto item = before.rbegin(); item != before.rend(); ++item) {
    if (item->kind == Item::Kind::kRule || item->kind == Item::Kind::kMainFirst) (void)remove(*item);
  }
}

bool Interface::rules_left(bool v4) {
  NetlinkMessage message(RTM_GETRULE, NLM_F_DUMP);
  message.header<fib_rule_hdr>().family = family(v4);
  bool found = false;
  const auto done = netlink_.request(message, [&found](const nlmsghdr& m) {
    const NetlinkAttributes attributes(m, sizeof(fib_rule_hdr));
    if (attributes.u8(FRA_PROTOCOL) == kProtocol && attributes.u32(FRA_PRIORITY) == kRulePriority)
      found = true;
  });
  return !done || found;
}

NetlinkResult<void> Interface::send(const Item& item, bool adding) {
  switch (item.kind) {
    case Item::Kind::kAddress:
      return send_address(item, adding);
    case Item::Kind::kNeighbour:
      return send_neighbour(item, adding);
    case Item::Kind::kMainRoute:
    case Item::Kind::kTableRoute:
      return send_route(item, adding);
    case Item::Kind::kMainFirst:
    case Item::Kind::kRule:
      return send_rule(item, adding);
  }
  return {};
}

NetlinkResult<void> Interface::send_address(const Item& item, bool adding) {
  NetlinkMessage message(adding ? RTM_NEWADDR : RTM_DELADDR, flags_of(adding));
  auto& header = message.header<ifaddrmsg>();
  header.ifa_family = family(item.v4);
  header.ifa_prefixlen = kernel_length(item.prefix);
  header.ifa_index = static_cast<std::uint32_t>(ifindex_);
  message.put_address(IFA_LOCAL, item.prefix.address);
  message.put_address(IFA_ADDRESS, item.prefix.address);
  // Usable at once: the configuration says whose the address is, and duplicate detection would take a second.
  if (!item.v4) message.put_u32(IFA_FLAGS, IFA_F_NODAD);
  return netlink_.request(message);
}

NetlinkResult<void> Interface::send_neighbour(const Item& item, bool adding) {
  NetlinkMessage message(adding ? RTM_NEWNEIGH : RTM_DELNEIGH, flags_of(adding));
  auto& header = message.header<ndmsg>();
  header.ndm_family = family(item.v4);
  header.ndm_ifindex = ifindex_;
  header.ndm_state = NUD_PERMANENT;
  message.put_address(NDA_DST, item.prefix.address);
  if (adding) message.put(NDA_LLADDR, item.mac.octets);
  return netlink_.request(message);
}

NetlinkResult<void> Interface::send_route(const Item& item, bool adding) {
  NetlinkMessage message(adding ? RTM_NEWROUTE : RTM_DELROUTE, flags_of(adding));
  auto& header = message.header<rtmsg>();
  header.rtm_family = family(item.v4);
  header.rtm_protocol = kProtocol;
  header.rtm_type = RTN_UNICAST;
  header.rtm_scope = RT_SCOPE_UNIVERSE;
  header.rtm_flags = RTNH_F_ONLINK;  // clouds give /32 addresses with a gateway outside
  message.put_u32(RTA_TABLE, item.kind == Item::Kind::kMainRoute ? RT_TABLE_MAIN : table_);
  message.put_u32(RTA_OIF, static_cast<std::uint32_t>(ifindex_));
  // Two default routes of one metric exclude each other.
  message.put_u32(RTA_PRIORITY, kMetric + static_cast<std::uint32_t>(ifindex_));
  message.put_address(RTA_GATEWAY, item.gateway);
  return netlink_.request(message);
}

NetlinkResult<void> Interface::send_rule(const Item& item, bool adding) {
  NetlinkMessage message(adding ? RTM_NEWRULE : RTM_DELRULE, adding ? NLM_F_CREATE | NLM_F_EXCL : 0);
  auto& header = message.header<fib_rule_hdr>();
  header.family = family(item.v4);
  header.action = FR_ACT_TO_TBL;
  if (item.kind == Item::Kind::kMainFirst) {
    message.put_u32(FRA_TABLE, RT_TABLE_MAIN);
    message.put_u32(FRA_PRIORITY, kMainFirstPriority);
    message.put_u32(FRA_SUPPRESS_PREFIXLEN, 0);
  } else {
    header.src_len = item.v4 ? 32 : 128;
    message.put_address(FRA_SRC, item.prefix.address);
    message.put_u32(FRA_TABLE, table_);
    message.put_u32(FRA_PRIORITY, kRulePriority);
  }
  message.put_u8(FRA_PROTOCOL, kProtocol);
  return netlink_.request(message);
}

std::string Interface::describe(const Item& item) {
  switch (item.kind) {
    case Item::Kind::kAddress:
      return fmt::format("the address {}/{}", item.prefix.address.to_string(), kernel_length(item.prefix));
    case Item::Kind::kNeighbour:
      return fmt::format("the neighbour {} at {}", item.prefix.address.to_string(), item.mac.to_string());
    case Item::Kind::kMainRoute:
    case Item::Kind::kTableRoute:
      return fmt::format("the gateway {}", item.gateway.to_string());
    case Item::Kind::kMainFirst:
      return "the rule that tries the main table first";
    case Item::Kind::kRule:
      return fmt::format("the rule for what {} sends", item.prefix.address.to_string());
  }
  return {};
}

}  // namespace shunt::control
