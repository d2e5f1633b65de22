// The way to targets: found, and followed while routes, neighbours and links change.
#include "control/net/routes.h"

#include <fmt/format.h>

#include <fstream>

#include "control/net/neighbours.h"
#include "tests/unit/control/net_support.h"

namespace shunt::control::test {
namespace {

const MacAddress kGatewayMac = mac("02:00:5e:00:00:01");
const MacAddress kTargetMac = mac("02:00:00:00:00:77");

class RoutesTest : public NetTest {
 protected:
  void SetUp() override {
    ASSERT_NO_FATAL_FAILURE(NetTest::SetUp());
    // Faults are noticed within a second instead of half a minute.
    for (const std::string family : {"ipv4", "ipv6"}) {
      for (const std::string which : {"default", "lan"})
        set_quick(family, which);
    }
    mirror_.emplace(
        open_mirror("lan", {.addresses = {interface_prefix("10.53.0.53/24"), interface_prefix("fd53::53/64")},
                            .gateways = {ip("10.53.0.1"), ip("fd53::1")}}));
    for (const std::string family : {"ipv4", "ipv6"})
      set_quick(family, "lan");
    link = &*mirror_;
    stations = {{ip("10.53.0.1"), kGatewayMac},
                {ip("fd53::1"), kGatewayMac},
                {ip("10.53.0.77"), kTargetMac},
                {ip("fd53::77"), kTargetMac}};
    auto opened = Routes::open(loop_, namespace_);
    ASSERT_TRUE(opened) << opened.error();
    routes_.emplace(std::move(*opened));
    routes_->on_change([this] { ++changes_; });
    routes_->set_ports({{.ifindex = mirror_->ifindex(), .port = 3}});
  }
  void TearDown() override {
    routes_.reset();
    mirror_.reset();
    NetTest::TearDown();
  }

  void set_quick(const std::string& family, const std::string& which) {
    const std::string folder = family + "/neigh/" + which + "/";
    // Without `locktime` a change counts at once; with it, not within a second of the last.
    for (const auto& [name, value] :
         {std::pair{"base_reachable_time_ms", "400"}, std::pair{"retrans_time_ms", "100"},
          std::pair{"delay_first_probe_time", "1"}, std::pair{"locktime", "0"},
          std::pair{"interval_probe_time_ms", "300"}}) {
      (void)namespace_.set(folder + name, value);
    }
  }
  void want(const std::vector<std::pair<std::string, std::string>>& pairs) {
    std::vector<RouteRequest> requests;
    for (const auto& [source, target] : pairs)
      requests.push_back({ip(source), ip(target)});
    routes_->want(std::move(requests));
  }
  const Hop& hop(std::size_t i = 0) { return routes_->hops().at(i); }
  bool until_usable(std::size_t i = 0) {
    return run_until([&] { return hop(i).usable; });
  }

  std::optional<Mirror> mirror_;
  std::optional<Routes> routes_;
  int changes_ = 0;
};

TEST_F(RoutesTest, OnTheLink) {
  want({{"10.53.0.53", "10.53.0.77"}, {"fd53::53", "fd53::77"}});
  ASSERT_EQ(routes_->hops().size(), 2u);
  EXPECT_FALSE(hop(0).usable);
  EXPECT_EQ(hop(0).why_not, "10.53.0.77 on lan has not answered yet");
  EXPECT_EQ(hop(0).next_hop, ip("10.53.0.77")) << "the route is known at once";
  ASSERT_TRUE(until_usable(0)) << hop(0).why_not;
  ASSERT_TRUE(until_usable(1)) << hop(1).why_not;
  for (const Hop& h : routes_->hops()) {
    EXPECT_EQ(h.mac, kTargetMac);
    EXPECT_EQ(h.ifindex, mirror_->ifindex());
    EXPECT_EQ(h.port, 3);
    EXPECT_EQ(h.why_not, "");
  }
  EXPECT_EQ(hop(1).next_hop, ip("fd53::77"));
  EXPECT_GE(changes_, 1);
}

TEST_F(RoutesTest, ThroughTheGateway) {
  want({{"10.53.0.53", "192.0.2.1"}, {"10.53.0.53", "192.0.2.2"}, {"fd53::53", "2001:db8::1"}});
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable && hop(2).usable; }));
  EXPECT_EQ(hop(0).next_hop, ip("10.53.0.1"));
  EXPECT_EQ(hop(2).next_hop, ip("fd53::1"));
  for (const Hop& h : routes_->hops())
    EXPECT_EQ(h.mac, kGatewayMac);
}

TEST_F(RoutesTest, KnownNeighboursAreUsableAtOnce) {
  ip_command("neigh add 10.53.0.9 lladdr 02:00:00:00:00:09 dev lan nud permanent");
  want({{"10.53.0.53", "10.53.0.9"}});
  EXPECT_TRUE(hop().usable) << hop().why_not;
  EXPECT_EQ(hop().mac, mac("02:00:00:00:00:09"));
  run_for(std::chrono::milliseconds(200));
  EXPECT_NE(ip_command("neigh").find("02:00:00:00:00:09 PERMANENT"), std::string::npos)
      << "must not be touched";
  want({});
  EXPECT_NE(ip_command("neigh").find("02:00:00:00:00:09 PERMANENT"), std::string::npos)
      << "must not be removed";
}

TEST_F(RoutesTest, SayWhyThereIsNone) {
  ip_command("route add blackhole 198.18.0.0/15");
  ip_command("route add unreachable 2001:db8:bad::/48");
  ip_command("link add other type veth peer name rehto");
  ip_command("addr add 172.16.0.1/24 dev other");
  ip_command("link set other up");
  ip_command("link set rehto up");
  want({{"10.53.0.53", "198.18.0.1"},
        {"fd53::53", "2001:db8:bad::1"},
        {"10.99.0.1", "10.53.0.77"},
        {"fd99::1", "fd53::77"},
        {"10.53.0.53", "fd53::77"},
        {"10.53.0.53", "10.53.0.53"},
        {"10.53.0.53", "172.16.0.9"},
        {"10.53.0.53", "10.53.0.255"},
        {"10.53.0.53", "224.0.0.9"},
        {"fd53::53", "ff02::9"}});
  const std::vector<std::string> reasons{"no route from 10.53.0.53 to 198.18.0.1",
                                         "no route from fd53::53 to 2001:db8:bad::1",
                                         "10.99.0.1 is on no interface",
                                         "fd99::1 is on no interface",
                                         "different families",
                                         "is an address of this gateway",
                                         "other, which mirrors no port",
                                         "no address of a single host",
                                         "no address of a single host",
                                         "no address of a single host"};
  for (std::size_t i = 0; i < reasons.size(); ++i) {
    EXPECT_FALSE(hop(i).usable);
    EXPECT_NE(hop(i).why_not.find(reasons[i]), std::string::npos) << i << ": " << hop(i).why_not;
  }
}

TEST_F(RoutesTest, FollowANewMacAddress) {
  want({{"10.53.0.53", "10.53.0.77"}, {"fd53::53", "fd53::77"}});
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }));
  // A standby takes the addresses over and says so (gratuitous ARP; unsolicited advertisement).
  const MacAddress standby = mac("02:00:00:00:00:88");
  for (const std::string address : {"10.53.0.77", "fd53::77"})
    stations[ip(address)] = standby;
  mirror_->write(arp(2, {standby, ip("10.53.0.77")}, {{}, ip("10.53.0.77")}, mac("ff:ff:ff:ff:ff:ff")));
  mirror_->write(
      neighbour_advertisement({standby, ip("fd53::77")}, {mac("33:33:00:00:00:01"), ip("ff02::1")}));
  EXPECT_TRUE(run_until([&] { return hop(0).mac == standby && hop(1).mac == standby; }));
  EXPECT_TRUE(hop(0).usable) << hop(0).why_not;
  EXPECT_TRUE(hop(1).usable) << hop(1).why_not;
}

TEST_F(RoutesTest, NoticeByProbingThatTheMacAddressChanged) {
  want({{"10.53.0.53", "10.53.0.77"}});
  ASSERT_TRUE(until_usable());
  stations[ip("10.53.0.77")] = mac("02:00:00:00:00:88");
  EXPECT_TRUE(run_until([&] { return hop().usable && hop().mac == mac("02:00:00:00:00:88"); },
                        std::chrono::seconds(20)))
      << "nobody asked again";
}

TEST_F(RoutesTest, FollowFailureAndRecovery) {
  want({{"10.53.0.53", "10.53.0.77"}, {"10.53.0.53", "192.0.2.1"}});
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }));
  stations.erase(ip("10.53.0.77"));
  ASSERT_TRUE(run_until([&] { return !hop(0).usable; }, std::chrono::seconds(20)));
  EXPECT_NE(hop(0).why_not.find("answer"), std::string::npos) << hop(0).why_not;
  EXPECT_TRUE(hop(1).usable) << "the gateway has not failed";
  stations[ip("10.53.0.77")] = kTargetMac;
  EXPECT_TRUE(run_until([&] { return hop(0).usable; }, std::chrono::seconds(20))) << hop(0).why_not;
}

TEST_F(RoutesTest, FollowRoutes) {
  stations[ip("10.53.0.2")] = mac("02:00:5e:00:00:02");
  want({{"10.53.0.53", "192.0.2.1"}, {"10.53.0.53", "203.0.113.1"}});
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }));
  ip_command("route add 192.0.2.0/24 via 10.53.0.2");
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(0).mac == mac("02:00:5e:00:00:02"); }));
  EXPECT_EQ(hop(1).next_hop, ip("10.53.0.1"));
  ip_command("route del 192.0.2.0/24");
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(0).next_hop == ip("10.53.0.1"); }));
  ip_command("rule add to 192.0.2.0/24 unreachable pref 100");
  EXPECT_TRUE(run_until([&] { return !hop(0).usable; }));
  EXPECT_TRUE(hop(1).usable);
  ip_command("rule del pref 100");
  EXPECT_TRUE(run_until([&] { return hop(0).usable; }));
}

TEST_F(RoutesTest, FollowNextHopObjects) {
  stations[ip("10.53.0.2")] = mac("02:00:5e:00:00:02");
  ip_command("nexthop add id 7 via 10.53.0.1 dev lan");
  ip_command("route add 192.0.2.0/24 nhid 7");
  want({{"10.53.0.53", "192.0.2.1"}});
  ASSERT_TRUE(until_usable());
  ip_command("nexthop replace id 7 via 10.53.0.2 dev lan");
  EXPECT_TRUE(run_until([&] { return hop().usable && hop().next_hop == ip("10.53.0.2"); }));
}

TEST_F(RoutesTest, AnIpv4RouteMayHaveAnIpv6Gateway) {
  ip_command("route add 192.0.2.0/24 via inet6 fd53::1 dev lan");
  want({{"10.53.0.53", "192.0.2.1"}});
  ASSERT_TRUE(until_usable()) << hop().why_not;
  EXPECT_EQ(hop().next_hop, ip("fd53::1"));
  EXPECT_EQ(hop().mac, kGatewayMac);
}

TEST_F(RoutesTest, FollowTheLink) {
  want({{"10.53.0.53", "10.53.0.77"}, {"fd53::53", "fd53::77"}});
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }));
  ASSERT_TRUE(mirror_->set_carrier(false));
  ASSERT_TRUE(run_until([&] { return !hop(0).usable && !hop(1).usable; }));
  EXPECT_EQ(hop(0).why_not, "lan has no link");
  ASSERT_TRUE(mirror_->set_carrier(true));
  EXPECT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }, std::chrono::seconds(20)))
      << hop(0).why_not << ", " << hop(1).why_not;
  ip_command("link set lan down");
  EXPECT_TRUE(run_until([&] { return !hop(0).usable && !hop(1).usable; }));
  ip_command("link set lan up");
  EXPECT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }, std::chrono::seconds(20)))
      << hop(0).why_not << ", " << hop(1).why_not;
}

TEST_F(RoutesTest, FollowAddresses) {
  want({{"10.53.0.60", "10.53.0.77"}});
  EXPECT_EQ(hop().why_not, "10.53.0.60 is on no interface");
  ip_command("addr add 10.53.0.60/24 dev lan");
  EXPECT_TRUE(until_usable()) << hop().why_not;
  ip_command("addr del 10.53.0.60/24 dev lan");
  EXPECT_TRUE(run_until([&] { return !hop().usable; }));
}

TEST_F(RoutesTest, EntriesAreKeptFreshAndDroppedWhenNoLongerWanted) {
  want({{"10.53.0.53", "10.53.0.77"}, {"10.53.0.53", "192.0.2.1"}});
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }));
  EXPECT_NE(ip_command("neigh show 10.53.0.77 dev lan").find("managed"), std::string::npos);
  want({{"10.53.0.53", "192.0.2.1"}});
  EXPECT_EQ(routes_->hops().size(), 1u);
  EXPECT_TRUE(hop().usable) << "what stays is not asked for again";
  EXPECT_EQ(ip_command("neigh").find("10.53.0.77 dev lan lladdr"), std::string::npos);
  EXPECT_NE(ip_command("neigh show 10.53.0.1 dev lan").find("managed"), std::string::npos);
}

TEST_F(RoutesTest, EntriesThatSomebodyDeletedComeBack) {
  want({{"10.53.0.53", "10.53.0.77"}});
  ASSERT_TRUE(until_usable());
  const int before = changes_;
  ip_command("neigh del 10.53.0.77 dev lan");
  run_for(std::chrono::milliseconds(50));
  EXPECT_TRUE(until_usable()) << hop().why_not;
  EXPECT_NE(ip_command("neigh show 10.53.0.77 dev lan").find("managed"), std::string::npos);
  EXPECT_GE(changes_, before);
}

TEST_F(RoutesTest, NoChangeNoCall) {
  want({{"10.53.0.53", "10.53.0.77"}});
  ASSERT_TRUE(until_usable());
  const int before = changes_;
  ip_command("route add 198.51.100.0/24 via 10.53.0.1");
  ip_command("neigh add 10.53.0.200 lladdr 02:00:00:00:00:09 dev lan");
  ip_command("addr add 10.53.0.201/24 dev lan");
  run_for(std::chrono::milliseconds(2000));  // reachable, stale, probed, reachable again
  EXPECT_EQ(changes_, before);
  EXPECT_TRUE(hop().usable);
}

TEST_F(RoutesTest, LostEventsAreMadeUpFor) {
  stations[ip("10.53.0.2")] = mac("02:00:5e:00:00:02");
  want({{"10.53.0.53", "192.0.2.1"}});
  ASSERT_TRUE(until_usable());
  // More than the socket's buffer holds, while the loop does not run; what matters comes last and is lost.
  const std::string file = "/run/shunt-test-batch";
  {
    std::ofstream batch(file);
    for (int round = 0; round < 2; ++round) {
      for (int i = 0; i < 12000; ++i) {
        batch << "route " << (round == 0 ? "add" : "del") << " 172." << 16 + i / 4096 << "." << i / 16 % 256
              << "." << i % 16 * 16 << "/28 via 10.53.0.1\n";
      }
    }
    batch << "route add 192.0.2.0/24 via 10.53.0.2\n";
  }
  ip_command("-batch " + file);
  EXPECT_TRUE(run_until([&] { return hop().usable && hop().next_hop == ip("10.53.0.2"); })) << hop().why_not;
  ip_command("route del 192.0.2.0/24");
  EXPECT_TRUE(run_until([&] { return hop().usable && hop().next_hop == ip("10.53.0.1"); }))
      << "events are read again";
}

TEST_F(RoutesTest, ManyTargetsTakeTurns) {
  std::vector<RouteRequest> requests;
  for (unsigned i = 0; i < 2000; ++i) {
    requests.push_back({ip("10.53.0.53"), ip(fmt::format("192.0.{}.{}", i / 250, i % 250 + 1))});
  }
  routes_->want(requests);
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1999).usable; }));
  ip_command("route add 192.0.4.0/22 dev lan");  // half of them
  ASSERT_TRUE(run_until([&] { return hop(1999).next_hop == ip("192.0.7.250"); }));
  EXPECT_EQ(hop(999).next_hop, ip("10.53.0.1"));
  EXPECT_EQ(hop(1000).next_hop, ip("192.0.4.1"));
}

TEST_F(RoutesTest, MayEndWhileEventsWait) {
  want({{"10.53.0.53", "10.53.0.77"}});
  ip_command("route add 198.51.100.0/24 via 10.53.0.1");
  routes_.reset();
  run_for(std::chrono::milliseconds(50));
  EXPECT_EQ(changes_, 0);
}

TEST_F(RoutesTest, MayAskForOthersWithinTheCallback) {
  routes_->on_change([&] {
    if (routes_->wanted().size() == 1) want({{"10.53.0.53", "10.53.0.77"}, {"10.53.0.53", "192.0.2.1"}});
  });
  want({{"10.53.0.53", "10.53.0.77"}});
  EXPECT_TRUE(run_until([&] { return routes_->hops().size() == 2 && hop(0).usable && hop(1).usable; }));
}

TEST_F(RoutesTest, SeveralPorts) {
  Mirror wan = open_mirror("wan",
                           {.addresses = {interface_prefix("10.54.0.53/24")},
                            .gateways = {ip("10.54.0.1")},
                            .neighbours = {{ip("10.54.0.1"), mac("02:00:5e:00:00:54")}}},
                           mac("02:53:00:00:00:02"));
  routes_->set_ports({{.ifindex = mirror_->ifindex(), .port = 0}, {.ifindex = wan.ifindex(), .port = 1}});
  want({{"10.53.0.53", "192.0.2.1"}, {"10.54.0.53", "192.0.2.1"}});
  ASSERT_TRUE(run_until([&] { return hop(0).usable && hop(1).usable; }))
      << hop(0).why_not << ", " << hop(1).why_not;
  EXPECT_EQ(hop(0).port, 0);
  EXPECT_EQ(hop(0).mac, kGatewayMac);
  EXPECT_EQ(hop(1).port, 1);
  EXPECT_EQ(hop(1).mac, mac("02:00:5e:00:00:54"));
}

// Kernels before 5.16, which keep nothing fresh by themselves.
TEST_F(RoutesTest, WorkWithoutManagedNeighbours) {
  auto netlink = namespace_.run([] { return Netlink::open(); });
  auto events = namespace_.run([] { return Netlink::subscribe({RTNLGRP_NEIGH}); });
  ASSERT_TRUE(netlink && events);
  Neighbours neighbours(false);
  const NextHop next_hop{mirror_->ifindex(), ip("10.53.0.77")};
  neighbours.keep(*netlink, {next_hop});
  const auto until = [&](auto done) {
    return run_until([&] {
      while (events->receive([&](const nlmsghdr& m) { neighbours.handle(m); }).value_or(false)) {
      }
      return done(*neighbours.find(next_hop));
    });
  };
  EXPECT_TRUE(until([](const Neighbour& n) { return n.usable() && !n.managed; }));
  EXPECT_EQ(neighbours.find(next_hop)->mac, kTargetMac);
  // Gone silent and failed; then it is asked for again by refresh() alone.
  stations.erase(next_hop.address);
  run_for(std::chrono::milliseconds(700));
  neighbours.refresh(*netlink);
  EXPECT_TRUE(until([](const Neighbour& n) { return !n.usable(); }));
  stations[next_hop.address] = kTargetMac;
  run_for(std::chrono::milliseconds(300));
  neighbours.refresh(*netlink);
  EXPECT_TRUE(until([](const Neighbour& n) { return n.usable(); }));
  EXPECT_EQ(neighbours.find({mirror_->ifindex(), ip("10.53.0.78")}), nullptr);
}

}  // namespace
}  // namespace shunt::control::test
