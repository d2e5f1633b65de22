// What shunt puts on a kernel interface: addresses, default routes, policy rules and fixed neighbours,
// changed by difference.
#pragma once

#include <compare>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "control/net/netlink.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// What of an interface a reload may change.
struct InterfaceSettings {
  std::uint16_t mtu = 1500;
  std::vector<Prefix> addresses;    ///< interface form: host bits kept
  std::vector<IpAddress> gateways;  ///< default routes; need not be on a prefix of ours
  std::vector<std::pair<IpAddress, MacAddress>> neighbours;  ///< fixed ones, kept as permanent entries
};

/// One interface, by index. Needs CAP_NET_ADMIN. Nothing that others put on the interface is touched.
///
/// With several ports each may have a default gateway, and what is sent from a port's address must go to that
/// port's. So each interface with gateways has a table of its own with its default routes, and a rule per
/// address that leads there after the main table was tried without its default routes: routes that a person
/// or a routing daemon adds there win, as they should.
class Interface {
 public:
  /// `netlink` was opened in the interface's namespace. `name` decides the number of its routing table.
  Interface(Netlink netlink, int ifindex, std::string name);
  Interface(Interface&&) = default;

  /// Brings the interface up where it isn't, adds what is new, then removes what is gone. After an error all
  /// is as before. Takes some milliseconds for each new IPv6 address, which is then usable at once.
  Result<void> change(const InterfaceSettings& settings);
  /// Removes the policy rules: addresses, routes and neighbours go with the interface, rules would stay.
  void forget_rules();

 private:
  /// One thing that was put on the interface. Order of kinds: each needs those before it.
  struct Item {
    enum class Kind : std::uint8_t { kAddress, kNeighbour, kMainRoute, kTableRoute, kMainFirst, kRule };
    Kind kind;
    bool v4 = false;
    Prefix prefix{};      ///< kAddress; the address in kRule and kNeighbour
    IpAddress gateway{};  ///< of routes
    MacAddress mac{};     ///< of neighbours
    friend auto operator<=>(const Item&, const Item&) = default;
  };
  using Items = std::set<Item>;

  static Items items_of(const InterfaceSettings& settings);
  static bool replaces(const Item& added, const Item& removed);
  Result<void> bring_up(std::uint16_t mtu);
  Result<void> move_to(const Items& wanted);
  void wait_for(const IpAddress& address);
  Result<void> add(const Item& item);
  Result<void> remove(const Item& item);
  NetlinkResult<void> send(const Item& item, bool adding);
  NetlinkResult<void> send_address(const Item& item, bool adding);
  NetlinkResult<void> send_neighbour(const Item& item, bool adding);
  NetlinkResult<void> send_route(const Item& item, bool adding);
  NetlinkResult<void> send_rule(const Item& item, bool adding);
  /// Whether an interface with gateways still needs the rule that they share, kMainFirst.
  bool rules_left(bool v4);
  static std::string describe(const Item& item);

  Netlink netlink_;
  int ifindex_;
  std::string name_;
  std::uint32_t table_;
  std::uint16_t mtu_ = 0;
  Items items_;  ///< what is on the interface now, of ours
};

}  // namespace shunt::control
