// Reloads of a mirror: by difference, all or nothing; and several ports with a gateway each.
#include "control/net/interface.h"
#include "control/net/mirror.h"
#include "tests/unit/control/net_support.h"

namespace shunt::control::test {
namespace {

constexpr std::uint8_t kIcmp = 1;

class Interfaces : public NetTest {
 protected:
  bool shows(const std::string& arguments, const std::string& text) {
    return ip_command(arguments).find(text) != std::string::npos;
  }
  /// What `ip` tells of addresses, routes, rules and neighbours.
  std::string all() {
    return ip_command("addr") + ip_command("route show table all") + ip_command("-6 route show table all") +
           ip_command("rule") + ip_command("-6 rule") + ip_command("neigh");
  }

  const InterfaceSettings first{
      .addresses = {interface_prefix("10.53.0.53/24"), interface_prefix("10.53.0.54/24"),
                    interface_prefix("fd53::53/64")},
      .gateways = {ip("10.53.0.1"), ip("fd53::1")},
      .neighbours = {{ip("10.53.0.1"), mac("02:00:5e:00:00:01")}, {ip("fd53::1"), mac("02:00:5e:00:00:01")}}};
};

TEST_F(Interfaces, UpdateKeepsWhatStays) {
  Mirror mirror = open_mirror("lan", first);
  auto events = namespace_.run([] { return Netlink::subscribe({RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR}); });
  ASSERT_TRUE(events) << events.error();
  InterfaceSettings second = first;
  second.addresses = {interface_prefix("10.53.0.54/24"), interface_prefix("fd53::53/64"),
                      interface_prefix("fd53::54/64"), interface_prefix("192.0.2.5/32")};
  second.gateways = {ip("10.53.0.2"), ip("fd53::1")};
  second.neighbours = {{ip("10.53.0.1"), mac("02:00:5e:00:00:02")}};
  second.mtu = 1400;
  const auto done = mirror.update(second);
  ASSERT_TRUE(done) << done.error();

  EXPECT_FALSE(shows("addr show lan", "10.53.0.53/24"));
  EXPECT_TRUE(shows("addr show lan", "10.53.0.54/24")) << "a secondary address must outlive the primary one";
  EXPECT_TRUE(shows("addr show lan", "fd53::54/64"));
  EXPECT_TRUE(shows("addr show lan", "192.0.2.5/32"));
  EXPECT_TRUE(shows("link show lan", "mtu 1400"));
  EXPECT_TRUE(shows("route", "default via 10.53.0.2 dev lan"));
  EXPECT_FALSE(shows("route", "via 10.53.0.1"));
  EXPECT_TRUE(shows("-6 route", "default via fd53::1 dev lan"));
  EXPECT_TRUE(shows("neigh", "10.53.0.1 dev lan lladdr 02:00:5e:00:00:02 PERMANENT"));
  EXPECT_FALSE(shows("neigh", "fd53::1 dev lan lladdr"));
  EXPECT_TRUE(shows("rule", "from 192.0.2.5 lookup"));
  EXPECT_FALSE(shows("rule", "from 10.53.0.53 "));

  bool touched = false;
  while (events
             ->receive([&](const nlmsghdr& m) {
               const auto address = NetlinkAttributes(m, sizeof(ifaddrmsg)).address(IFA_ADDRESS);
               if (m.nlmsg_type == RTM_DELADDR && address == ip("fd53::53")) touched = true;
             })
             .value_or(false)) {
  }
  EXPECT_FALSE(touched) << "an address that stays was taken away meanwhile";

  ASSERT_TRUE(mirror.update(first));
  EXPECT_TRUE(shows("addr show lan", "10.53.0.53/24"));
  EXPECT_FALSE(shows("addr show lan", "192.0.2.5"));
  EXPECT_TRUE(shows("route", "default via 10.53.0.1 dev lan"));
}

TEST_F(Interfaces, TheSameSettingsChangeNothing) {
  Mirror mirror = open_mirror("lan", first);
  auto events = namespace_.run([] {
    return Netlink::subscribe({RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
                               RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE, RTNLGRP_NEIGH,
                               RTNLGRP_LINK});
  });
  ASSERT_TRUE(events) << events.error();
  ASSERT_TRUE(mirror.update(first));
  int messages = 0;
  while (events->receive([&](const nlmsghdr& m) { messages += m.nlmsg_type != RTM_NEWNEIGH ? 1 : 0; })
             .value_or(false)) {
  }
  EXPECT_EQ(messages, 0);
}

TEST_F(Interfaces, AFailedUpdateChangesNothing) {
  Mirror mirror = open_mirror("lan", first);
  const std::string before = all();
  InterfaceSettings wrong = first;
  wrong.mtu = 1300;
  wrong.addresses = {interface_prefix("10.53.0.99/24"), interface_prefix("fd53::53/48")};
  wrong.gateways = {ip("224.0.0.1")};
  const auto done = mirror.update(wrong);
  ASSERT_FALSE(done);
  EXPECT_NE(done.error().find("lan"), std::string::npos) << done.error();
  EXPECT_NE(done.error().find("224.0.0.1"), std::string::npos) << done.error();
  EXPECT_EQ(all(), before);
  EXPECT_TRUE(mirror.update(first));
  EXPECT_EQ(all(), before);
}

TEST_F(Interfaces, AnIpv6PrefixLengthMayChange) {
  Mirror mirror = open_mirror("lan", first);
  InterfaceSettings longer = first;
  longer.addresses[2] = interface_prefix("fd53::53/80");
  ASSERT_TRUE(mirror.update(longer));
  EXPECT_TRUE(shows("addr show lan", "fd53::53/80"));
  EXPECT_FALSE(shows("addr show lan", "fd53::53/64"));
}

TEST_F(Interfaces, WhatOthersAddedStays) {
  Mirror mirror = open_mirror("lan", first);
  ip_command("addr add 10.53.0.200/24 dev lan");
  ip_command("route add 192.168.0.0/16 via 10.53.0.7");
  ASSERT_TRUE(mirror.update({.addresses = {interface_prefix("10.53.0.60/24")}}));
  EXPECT_TRUE(shows("addr show lan", "10.53.0.200/24"));
  EXPECT_TRUE(shows("route", "192.168.0.0/16 via 10.53.0.7"));
  ip_command("addr del 10.53.0.60/24 dev lan");
  EXPECT_TRUE(mirror.update({})) << "what somebody took away already is no error";
}

TEST_F(Interfaces, AGatewayMayLieOutsideThePrefix) {
  const Mirror mirror =
      open_mirror("lan", {.addresses = {interface_prefix("192.0.2.5/32"), interface_prefix("fd00::5/128")},
                          .gateways = {ip("169.254.1.1"), ip("fe80::1")}});
  EXPECT_TRUE(shows("route get 8.8.8.8", "via 169.254.1.1 dev lan src 192.0.2.5"));
  EXPECT_TRUE(shows("-6 route get 2001:db8::1", "via fe80::1 dev lan"));
}

TEST_F(Interfaces, EachPortHasItsOwnGateway) {
  const Station remote{mac("02:00:5e:00:00:01"), ip("198.51.100.7")};
  const InterfaceSettings settings{.addresses = {interface_prefix("10.54.0.53/24")},
                                   .gateways = {ip("10.54.0.1")},
                                   .neighbours = {{ip("10.54.0.1"), mac("02:00:5e:00:00:54")}}};
  Mirror lan = open_mirror("lan", first);
  Mirror wan = open_mirror("wan", settings, mac("02:53:00:00:00:02"));
  ASSERT_TRUE(wan.write(echo_request(remote, {mac("02:53:00:00:00:02"), ip("10.54.0.53")}, 5)));
  const auto from_wan = expect_frame([](const Seen& s) { return s.protocol == kIcmp; });
  ASSERT_TRUE(from_wan);
  EXPECT_EQ(from_wan->from, mac("02:53:00:00:00:02")) << "left through the other port";
  EXPECT_EQ(from_wan->to, mac("02:00:5e:00:00:54"));
  ASSERT_TRUE(lan.write(echo_request(remote, {kPortMac, ip("10.53.0.53")}, 5)));
  const auto from_lan = expect_frame([](const Seen& s) { return s.protocol == kIcmp; });
  ASSERT_TRUE(from_lan);
  EXPECT_EQ(from_lan->from, kPortMac);
  // A person's route wins over the port's gateway.
  ip_command("route add 198.51.100.0/24 via 10.53.0.1");
  EXPECT_TRUE(shows("route get 198.51.100.7 from 10.54.0.53", "via 10.53.0.1 dev lan"));
  // One port loses its gateway: the other's way stays.
  ASSERT_TRUE(lan.update({.addresses = first.addresses}));
  EXPECT_TRUE(shows("route get 203.0.113.1 from 10.54.0.53", "via 10.54.0.1 dev wan"));
  EXPECT_TRUE(shows("rule", "suppress_prefixlength 0"));
}

TEST_F(Interfaces, RulesGoWithTheMirror) {
  const std::string before = ip_command("rule") + ip_command("-6 rule");
  {
    const Mirror mirror = open_mirror("lan", first);
    EXPECT_TRUE(shows("rule", "from 10.53.0.53 lookup"));
  }
  EXPECT_EQ(ip_command("rule") + ip_command("-6 rule"), before);
}

TEST_F(Interfaces, RulesOfAKilledRunAreReplaced) {
  ip_command("rule add from 10.53.0.53 lookup 77 pref 32765 protocol 53");
  ip_command("rule add from 10.53.0.53 lookup 78 pref 32765 protocol 53");
  const Mirror mirror = open_mirror("lan", first);
  EXPECT_FALSE(shows("rule", "lookup 77"));
  EXPECT_FALSE(shows("rule", "lookup 78"));
  EXPECT_TRUE(shows("rule", "from 10.53.0.53 lookup"));
}

TEST_F(Interfaces, AnAddressMayMoveToAnotherPort) {
  Mirror lan = open_mirror("lan", first);
  Mirror wan =
      open_mirror("wan", {.addresses = {interface_prefix("10.54.0.53/24")}, .gateways = {ip("10.54.0.1")}},
                  mac("02:53:00:00:00:02"));
  InterfaceSettings without = first;
  without.addresses.erase(without.addresses.begin());
  const InterfaceSettings with{
      .addresses = {interface_prefix("10.54.0.53/24"), interface_prefix("10.53.0.53/24")},
      .gateways = {ip("10.54.0.1")}};
  ASSERT_TRUE(wan.update(with));
  ASSERT_TRUE(lan.update(without));
  EXPECT_TRUE(shows("route get 203.0.113.1 from 10.53.0.53", "via 10.54.0.1 dev wan"));
}

}  // namespace
}  // namespace shunt::control::test
