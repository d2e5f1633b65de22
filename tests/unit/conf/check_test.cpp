// Mistakes between the parts of a configuration.
#include "tests/unit/conf/config_text.h"

namespace shunt::conf {
namespace {

/// A second port, behind the first.
constexpr std::string_view kSecondPort = R"(
[[port]]
name = "wan"
device = "net_memif1"
addresses = ["203.0.113.5/24"]
)";

std::string with_second_port(std::string_view from = {}, std::string_view to = {}) {
  return below(from.empty() ? std::string(kSecondPort) : change(from, to, kSecondPort));
}

TEST(Base, HasNeitherMistakesNorWarnings) {
  const Loaded loaded = load_text(kBase, "shunt.toml");
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_TRUE(loaded.warnings.empty()) << to_text(loaded.warnings, "warning");
  EXPECT_TRUE(load_text(with_second_port(), "shunt.toml").config.has_value());
}

TEST(Presence, EmptyFileLacksFourThings) {
  const Loaded loaded = load_text("", "shunt.toml");
  ASSERT_EQ(loaded.errors.size(), 4u) << to_text(loaded.errors);
  EXPECT_NE(loaded.errors[0].message.find("there is no [[port]]"), std::string::npos);
  EXPECT_NE(loaded.errors[1].message.find("there is no [[inbound]]"), std::string::npos);
  EXPECT_NE(loaded.errors[2].message.find("there is no [[upstream]]"), std::string::npos);
  EXPECT_NE(loaded.errors[3].message.find("there is no [[network]]"), std::string::npos);
  for (const Diagnostic& d : loaded.errors)
    EXPECT_NE(d.hint.find("for example: [["), std::string::npos) << d.hint;
}

// Names that are there twice, one kind each.

TEST(Names, TwoPorts) {
  expect_mistake(with_second_port("name = \"wan\"", "name = <!>\"lan\"\nmirror = \"wan\""),
                 "[[port]]: the name \"lan\" is taken", "the other one stands in line 2");
}

TEST(Names, TwoUpstreams) {
  expect_mistake(change("name = \"internet\"", "name = <!>\"corp-dns\"",
                        change("default = \"internet\"", "default = \"corp-dns\"")),
                 "[[upstream]]: the name \"corp-dns\" is taken", "the other one stands in line 17");
}

TEST(Names, TwoNetworks) {
  expect_mistake(below("[[network]]\nname = <!>\"prod\"\nclients = [\"10.2.0.0/16\"]\n"),
                 "[[network]]: the name \"prod\" is taken", "each network needs a name of its own");
}

TEST(Names, OneNameForDifferentKindsIsFine) {
  load_right(change("default = \"internet\"", "default = \"corp\"",
                    change("name = \"internet\"", "name = \"corp\"")));
}

// References to what isn't there.

TEST(References, OutboundOfAnUpstream) {
  expect_mistake(change("outbound = \"to-onprem\"", "outbound = <!>\"to-onprme\""),
                 "[[upstream]] \"corp-dns\": outbound: there is no outbound endpoint \"to-onprme\"",
                 "did you mean \"to-onprem\"?");
}

TEST(References, DefaultOfANetwork) {
  expect_mistake(change("default = \"internet\"", "default = <!>\"world\""),
                 "[[network]] \"prod\": default: there is no upstream \"world\"",
                 "known upstreams: \"corp-dns\", \"internet\"");
}

TEST(References, RuleSetOfANetwork) {
  expect_mistake(change("rules = [\"corp\"]", "rules = [\"corp\", <!>\"crop\"]"),
                 "rules: there is no rule set \"crop\"", "did you mean \"corp\"?");
}

TEST(References, NetworkOfAnInbound) {
  expect_mistake(change("\n[[outbound]]", "network = <!>\"porduction\"\n\n[[outbound]]"),
                 "[[inbound]] \"from-onprem\": network: there is no network \"porduction\"",
                 "known networks: \"prod\"");
}

TEST(References, UpstreamOfARule) {
  const Loaded loaded =
      load_text(change("onprem.corp forward corp-dns", "onprem.corp forward corp-dsn"), "shunt.toml");
  ASSERT_EQ(loaded.errors.size(), 1u) << to_text(loaded.errors);
  EXPECT_EQ(loaded.errors[0].position.line, 27u);
  EXPECT_NE(loaded.errors[0].message.find("corp-dsn"), std::string::npos) << loaded.errors[0].message;
  EXPECT_EQ(loaded.errors[0].source_line, "list = [\"onprem.corp forward corp-dsn\"]");
}

// [dataplane].

TEST(Dataplane, CoreTwice) {
  expect_mistake(above("[dataplane]\nmemory = \"1GiB\"\nworkers = [1, 2, <!>1]\n"),
                 "workers: core 1 is named twice", "name each core once");
}

TEST(Dataplane, ControlCoreIsAWorkers) {
  expect_warning(above("[dataplane]\nworkers = [2]\ncontrol_core = <!>2\n"),
                 "core 2 is the control plane's, and a worker's",
                 "choose a control_core that is not in workers");
}

TEST(Dataplane, DefaultControlCoreIsAWorkers) {
  expect_warning(above("[dataplane]\nworkers = <!>[0]\n"), "core 0 is the control plane's, and a worker's",
                 "choose a control_core");
}

TEST(Dataplane, MoreWorkersThanAllowed) {
  std::string cores = "1";
  for (int i = 2; i <= 65; ++i)
    cores += ", " + std::to_string(i);
  expect_mistake(above("[dataplane]\nmemory = \"64GiB\"\nworkers = <!>[" + cores + "]\n"),
                 "65 cores are named, at most 64", "name fewer cores");
}

TEST(Dataplane, CacheLargerThanMemory) {
  expect_mistake(above("[dataplane]\nmemory = <!>\"256MiB\"\ncache = \"256MiB\"\n"),
                 "memory is 256 MiB, but 256 MiB of cache and 1 worker with 65536 pending queries and 1 port "
                 "take 357 MiB",
                 "write memory = \"357MiB\"");
}

TEST(Dataplane, LeastMemoryIsEnough) {
  const Config config = load_right(above("[dataplane]\nmemory = \"357MiB\"\n"));
  EXPECT_EQ(least_memory(config), 357ull << 20);
  load_right(above("[dataplane]\nmemory = \"64MiB\"\ncache = \"0\"\npending = 1024\n"));
}

// Ports.

TEST(Ports, OneDeviceTwice) {
  expect_mistake(with_second_port("\"net_memif1\"", "<!>\"net_memif0,role=server\""),
                 "[[port]] \"wan\": device \"net_memif0\" is port \"lan\"'s already",
                 "one port takes a device whole");
}

TEST(Ports, OnePciDeviceTwiceInTwoSpellings) {
  const std::string two = change("\"net_memif0\"", "\"0000:3b:00.1\"", with_second_port());
  expect_mistake(change("\"net_memif1\"", "<!>\"3B:00.1\"", two),
                 "device \"0000:3b:00.1\" is port \"lan\"'s already", "one port takes a device whole");
}

TEST(Ports, OneAddressOnTwoPorts) {
  expect_mistake(with_second_port("\"203.0.113.5/24\"", "\"203.0.113.5/24\", <!>\"10.53.0.53/16\""),
                 "[[port]] \"wan\": addresses: 10.53.0.53 is port \"lan\"'s already",
                 "an address belongs to one port, once");
}

TEST(Ports, OneAddressTwice) {
  expect_mistake(with_second_port("\"203.0.113.5/24\"", "\"203.0.113.5/24\", <!>\"203.0.113.5/25\""),
                 "203.0.113.5 is given twice", "an address belongs to one port, once");
}

TEST(Ports, OneMirrorTwice) {
  expect_mistake(with_second_port("name = \"wan\"", "name = \"wan\"\nmirror = <!>\"shunt-lan\""),
                 "mirror \"shunt-lan\" is port \"lan\"'s already", "give each port a mirror of its own");
}

TEST(Ports, DefaultMirrorsThatAreCutAlike) {
  const std::string first = change("name = \"lan\"", "name = \"datacentre-1\"");
  expect_mistake(first + "<!>" + change("name = \"wan\"", "name = \"datacentre-2\"", kSecondPort).substr(1),
                 "mirror \"shunt-datacentr\" is port \"datacentre-1\"'s already", "cut to 15 characters");
}

TEST(Ports, GatewayOffLink) {
  expect_mistake(change("gateways = [\"10.53.0.1\"]", "gateways = [<!>\"10.54.0.1\"]"),
                 "gateways: 10.54.0.1 is in none of the port's networks", "is a prefix length wrong?");
}

TEST(Ports, LinkLocalGatewayIsFine) {
  load_right(change("gateways = [\"10.53.0.1\"]", "gateways = [\"10.53.0.1\", \"fe80::1\"]"));
}

TEST(Ports, GatewayIsOurs) {
  expect_mistake(change("gateways = [\"10.53.0.1\"]", "gateways = [<!>\"10.53.0.53\"]"),
                 "10.53.0.53 is an address of our own", "the gateway is the router");
}

TEST(Ports, TwoGatewaysOfOneFamily) {
  expect_mistake(
      change("gateways = [\"10.53.0.1\"]", "gateways = [\"10.53.0.1\", \"fd53::1\", <!>\"10.53.0.2\"]"),
      "10.53.0.2 is a second gateway for IPv4", "one default route per family");
}

TEST(Ports, GatewayWithoutNeighbourOrMirror) {
  expect_mistake(change("gateways = [\"10.53.0.1\"]", "mirror = \"\"\ngateways = [<!>\"10.53.0.1\"]"),
                 "10.53.0.1 has no entry in neighbours", "add neighbours = { \"10.53.0.1\" = ");
}

TEST(Ports, NeighbourOffLink) {
  expect_mistake(
      change("[[inbound]]", "neighbours = { <!>\"10.99.0.1\" = \"02:00:5e:00:00:01\" }\n[[inbound]]"),
      "neighbours: 10.99.0.1 is in none of the port's networks", "give the gateway that leads there");
}

TEST(Ports, NeighbourOfAFamilyThatThePortLacks) {
  expect_mistake(
      with_second_port(
          "\n[[port]]\nname = \"wan\"\n",
          "\n[[port]]\nname = \"wan\"\nneighbours = { <!>\"2001:db8::1\" = \"02:00:5e:00:00:01\" }\n"),
      "2001:db8::1 is in none of the port's networks", "only who is on the port's own network");
}

TEST(Ports, NeighbourIsOurs) {
  expect_mistake(
      change("[[inbound]]", "neighbours = { <!>\"10.53.0.53\" = \"02:00:5e:00:00:01\" }\n[[inbound]]"),
      "10.53.0.53 is an address of our own", "neighbours are others");
}

TEST(Ports, MoreThanAllowed) {
  std::string text(kBase);
  for (int i = 2; i <= 17; ++i)
    text += std::string(i == 17 ? "<!>" : "") + "[[port]]\nname = \"p" + std::to_string(i) +
            "\"\ndevice = \"net_memif" + std::to_string(i) + "\"\naddresses = [\"10.100." +
            std::to_string(i) + ".1/24\"]\n";
  expect_mistake("[dataplane]\nmemory = \"1GiB\"\n" + text, "there are 17 [[port]], at most 16 are allowed",
                 "take some out");
}

// Endpoints.

TEST(Endpoints, InboundAddressOnNoPort) {
  expect_mistake(
      change("[[inbound]]\nname = \"from-onprem\"\naddresses = [\"10.53.0.53\"]",
             "[[inbound]]\nname = \"from-onprem\"\naddresses = [\"10.53.0.53\", <!>\"10.53.0.54\"]"),
      "[[inbound]] \"from-onprem\": addresses: 10.53.0.54 is not an address of any port",
      "the ports have 10.53.0.53, fd53::53");
}

TEST(Endpoints, OutboundAddressOnNoPort) {
  expect_mistake(change("[[outbound]]\nname = \"to-onprem\"\naddresses = [\"10.53.0.53\"]",
                        "[[outbound]]\nname = \"to-onprem\"\naddresses = [<!>\"10.53.0.54\"]"),
                 "[[outbound]] \"to-onprem\": addresses: 10.53.0.54 is not an address of any port",
                 "the ports have");
}

TEST(Endpoints, OneAddressInTwoInbounds) {
  expect_mistake(below("[[inbound]]\nname = \"second\"\naddresses = [\"fd53::53\", <!>\"10.53.0.53\"]\nallow "
                       "= [\"::/0\"]\n"),
                 "10.53.0.53 is inbound endpoint \"from-onprem\"'s already",
                 "a query's destination names its endpoint");
}

TEST(Endpoints, TooFewSourcePorts) {
  expect_warning(change("\n[[upstream]]\nname = \"corp-dns\"",
                        "source_ports = <!>[50000, 52000]\n\n[[upstream]]\nname = \"corp-dns\""),
                 "2001 ports and 1 address for 1 worker: fewer than 4096 each", "widen source_ports");
}

TEST(Endpoints, OutboundThatNobodyUses) {
  expect_warning(below("<!>[[outbound]]\nname = \"spare\"\naddresses = [\"fd53::53\"]\n"),
                 "[[outbound]] \"spare\": no upstream uses it", "outbound = \"spare\"");
}

// Upstreams.

TEST(Upstreams, TargetLeadsBackHere) {
  expect_mistake(change("\"192.0.2.53\"", "\"192.0.2.53\", <!>\"10.53.0.53\""),
                 "10.53.0.53:53 leads back here: it is inbound endpoint \"from-onprem\"'s",
                 "targets are other servers");
}

TEST(Upstreams, TargetIsOurs) {
  expect_mistake(change("\"192.0.2.53\"", "<!>\"fd53::53\""),
                 "is an address of our own, where nobody answers", "targets are other servers");
  expect_mistake(change("\"192.0.2.53\"", "<!>\"10.53.0.53:5353\""),
                 "10.53.0.53:5353 is an address of our own", "targets are other servers");
  for (const char* port : {"443", "853"})
    expect_mistake(change("\"192.168.1.53\"", std::string("<!>\"10.53.0.53:") + port + "\""),
                   "is an address of our own", "targets are other servers");
}

TEST(Upstreams, TargetOfAFamilyThatTheOutboundLacks) {
  expect_mistake(change("\"192.168.1.53\"", "\"192.168.1.53\", <!>\"2001:db8::53\""),
                 "2001:db8::53 can't be reached: outbound endpoint \"to-onprem\" has no IPv6 address",
                 "add an address of that family");
}

TEST(Upstreams, LoopbackTargetThroughAPort) {
  expect_mistake(change("\"192.168.1.53\"", "<!>\"127.0.0.1:5353\""), "127.0.0.1 is this host itself",
                 "without outbound");
  load_right(change("\"192.0.2.53\"", "\"127.0.0.1:5353\""));
}

TEST(Upstreams, OneTargetTwice) {
  expect_mistake(change("\"192.168.1.53\"", "\"192.168.1.53\", <!>\"192.168.1.53:53\""),
                 "192.168.1.53:53 is given twice", "give each target once");
}

TEST(Upstreams, TooManyTargets) {
  std::string targets = "\"192.0.2.1\"";
  for (int i = 2; i <= 17; ++i)
    targets += std::string(i == 17 ? ", <!>" : ", ") + "\"192.0.2." + std::to_string(i) + "\"";
  expect_mistake(change("\"192.0.2.53\"", targets), "there are 17, at most 16 are allowed", "take some out");
}

TEST(Upstreams, TargetWithoutNeighbourOrMirror) {
  const std::string no_mirror = change("gateways = [\"10.53.0.1\"]", "mirror = \"\"");
  expect_warning(change("\"192.168.1.53\"", "<!>\"10.53.0.99\"", no_mirror),
                 "10.53.0.99 stays down: port \"lan\" has no mirror", "neighbours");
  const std::string neighbour = change(
      "mirror = \"\"", "mirror = \"\"\nneighbours = { \"10.53.0.99\" = \"02:00:5e:00:00:01\" }", no_mirror);
  EXPECT_TRUE(
      load_text(change("\"192.168.1.53\"", "\"10.53.0.99\"", neighbour), "shunt.toml").warnings.empty());
}

// Networks.

TEST(Networks, OnePrefixInTwoNetworks) {
  expect_mistake(below("[[network]]\nname = \"lab\"\nclients = [\"10.2.0.0/16\", <!>\"10.1.0.0/16\"]\n"),
                 "[[network]] \"lab\": clients: 10.1.0.0/16 is network \"prod\"'s already, in line 31",
                 "a client belongs to one network");
}

TEST(Networks, OnePrefixTwice) {
  expect_mistake(change("\"10.1.0.0/16\"", "\"10.1.0.0/16\", \"10.0.0.0/8\", <!>\"10.1.0.0/16\""),
                 "10.1.0.0/16 is given twice", "give each prefix once");
}

TEST(Networks, PrefixWithinAnothers) {
  expect_warning(below("[[network]]\nname = \"lab\"\nclients = [<!>\"10.1.64.0/18\"]\n"),
                 "10.1.64.0/18 lies within 10.1.0.0/16 of network \"prod\", in line 31",
                 "the longest prefix wins");
}

TEST(Networks, ManyPrefixesWithinAnothersAreOneWarning) {
  expect_warning(
      below("[[network]]\nname = \"lab\"\nclients = [\"10.1.192.0/18\", <!>\"10.1.64.0/18\", "
            "\"10.1.64.0/20\", \"192.0.2.0/24\"]\n"),
      "10.1.64.0/18 lies within 10.1.0.0/16 of network \"prod\", in line 31, and 1 of its prefixes "
      "more",
      "the longest prefix wins");
}

TEST(Networks, EachPairThatOverlapsIsWarnedAbout) {
  const Loaded loaded = load_text(below("[[network]]\nname = \"a\"\nclients = [\"10.1.64.0/18\"]\n"
                                        "[[network]]\nname = \"b\"\nclients = [\"10.1.64.0/24\", "
                                        "\"10.1.128.0/24\", \"10.0.0.0/8\"]\n"),
                                  "shunt.toml");
  ASSERT_EQ(loaded.warnings.size(), 4u) << to_text(loaded.warnings, "warning");
  EXPECT_NE(
      loaded.warnings[0].message.find("\"prod\": clients: 10.1.0.0/16 lies within 10.0.0.0/8 of network "
                                      "\"b\""),
      std::string::npos);
}

TEST(Networks, AllOfIPv6HoldsNoIPv4) {
  const Loaded loaded = load_text(below("[[network]]\nname = \"six\"\nclients = [\"::/0\"]\n"), "shunt.toml");
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_TRUE(loaded.warnings.empty()) << to_text(loaded.warnings, "warning");
}

TEST(Networks, NestedPrefixesAreComparedWithTheNearest) {
  expect_mistake(below("[[network]]\nname = \"lab\"\nclients = [\"10.0.0.0/8\", \"10.1.64.0/18\", "
                       "\"10.2.0.0/16\", <!>\"10.1.0.0/16\"]\n"),
                 "10.1.0.0/16 is network \"prod\"'s already", "a client belongs to one network");
}

TEST(Networks, RuleSetThatCanBeNone) {
  expect_mistake(change("rules = [\"corp\"]", "rules = [\"corp\", <!>\"no set\"]"),
                 "rules: \"no set\" names no rule set: only letters", "rules = [\"corp\"]");
  expect_mistake(change("rules = [\"corp\"]", "rules = [\"corp\", <!>\"\"]"),
                 "\"\" names no rule set: it is empty", "rules = [\"corp\"]");
}

TEST(Networks, ThatNoQueryBelongsTo) {
  expect_mistake(below("<!>[[network]]\nname = \"lab\"\n"),
                 "[[network]] \"lab\": clients is missing, and no inbound endpoint names",
                 "clients = [\"10.1.0.0/16\"]");
  load_right(change("\n[[outbound]]", "network = \"lab\"\n\n[[outbound]]") + "[[network]]\nname = \"lab\"\n");
}

TEST(Networks, RuleSetNamedTwice) {
  expect_mistake(change("rules = [\"corp\"]", "rules = [\"corp\", <!>\"corp\"]"),
                 "rules: \"corp\" is named twice", "name each rule set once");
}

TEST(Networks, TooManyRuleSets) {
  std::string sets, names = "\"corp\"";
  for (int i = 2; i <= 9; ++i) {
    const std::string name = "\"set" + std::to_string(i) + "\"";
    sets += "[[rules]]\nname = " + name + "\nlist = [\"a.example system\"]\n";
    names += (i == 9 ? ", <!>" : ", ") + name;
  }
  expect_mistake(change("rules = [\"corp\"]", "rules = [" + names + "]") + sets,
                 "there are 9 rule sets, at most 8 are allowed", "join some of them");
}

TEST(Rules, SetThatNobodyUses) {
  expect_warning(below("<!>[[rules]]\nname = \"spare\"\nlist = [\"a.example system\"]\n"),
                 "[[rules]] \"spare\": no network uses it", "rules = [\"spare\"]");
}

TEST(Rules, SetWithoutRules) {
  expect_mistake(change("[[rules]]\nname = \"corp\"\nlist = [\"onprem.corp forward corp-dns\"]",
                        "<!>[[rules]]\nname = \"corp\""),
                 "[[rules]] \"corp\": it has no rules", "give list = [");
}

TEST(Rules, FileThatIsNotThere) {
  expect_mistake(change("list = [\"onprem.corp forward corp-dns\"]", "file = <!>\"no/such.rules\""),
                 "can't read \"no/such.rules\": No such file or directory",
                 "from the folder of the configuration file");
}

TEST(AllDown, WhatOnlyStaleNeeds) {
  expect_warning(change("\n[[rules]]", "ttl = { stale = <!>3600 }\n\n[[rules]]"),
                 "stale has no effect: expired answers are not served", "on_all_down = \"stale\"");
  load_right(change("\n[[rules]]", "on_all_down = \"stale\"\nttl = { stale = 3600 }\n\n[[rules]]"));
}

TEST(AllDown, StaleNeedsSomethingKept) {
  expect_warning(change("\n[[rules]]", "on_all_down = <!>\"stale\"\nttl = { stale = 0 }\n\n[[rules]]"),
                 "stale = 0", "servfail");
  expect_warning(
      change("\n[[rules]]", "on_all_down = <!>\"stale\"\n\n[[rules]]", above("[dataplane]\ncache = \"0\"\n")),
      "the cache is off", "servfail");
}

TEST(AllDown, DefaultNeedsAnotherUpstream) {
  load_right(change("\n[[upstream]]\nname = \"internet\"",
                    "on_all_down = \"default\"\n\n[[upstream]]\nname = \"internet\""));
  expect_warning(change("\n[[rules]]", "on_all_down = <!>\"default\"\n\n[[rules]]"),
                 "no network has another upstream as its default", "give a network a default");
}

}  // namespace
}  // namespace shunt::conf
