// Mistakes in single values: syntax, keys, types, ranges, words, addresses; and what this version doesn't
// have.
#include "tests/unit/conf/config_text.h"

namespace shunt::conf {
namespace {

// Syntax: the first mistake ends the reading.

TEST(Syntax, TextWithoutQuotes) {
  expect_mistake("[[port]]\nname = <!>lan\n", "syntax: ", "text stands in quotes");
}

TEST(Syntax, KeyGivenTwice) {
  expect_mistake("[dataplane]\npending = 64\npending = <!>128\n", "cannot redefine", "each key");
}

TEST(Syntax, BracketNotClosed) {
  expect_mistake("[dataplane<!>\n", "expected ']'", "the file is TOML");
}

TEST(Syntax, NotUtf8) {
  const Loaded loaded = load_text("name = \"\xff\xfe\"\n", "shunt.toml");
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_EQ(loaded.errors[0].position.line, 1u);
  EXPECT_EQ(loaded.errors[0].source_line, "name = \"??\"");
  EXPECT_EQ(loaded.errors[0].hint, "the file must be UTF-8 text");
}

TEST(Syntax, KeyOfAMillionParts) {
  std::string deep = "[";
  for (int i = 0; i < 1'000'000; ++i)
    deep += "a.";
  const Loaded loaded = load_text(deep + "a]\n", "shunt.toml");
  ASSERT_EQ(loaded.errors.size(), 1u);
  EXPECT_NE(loaded.errors[0].message.find("more than 16 dots"), std::string::npos);
  EXPECT_EQ(loaded.errors[0].position.line, 1u);
  EXPECT_EQ(loaded.errors[0].position.column, 35u);
}

TEST(Syntax, DotsInQuotesAndCommentsAreNotKeys) {
  load_right(
      above("# a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t\n") +
      "[[rules]]\nname = \"dots\"\nlist = [\"a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r block nodata\"] # \"\n");
}

// Keys.

TEST(Keys, Misspelt) {
  expect_mistake(above("[dataplane]\n<!>wrokers = [1]\nworkers = [1]\n"),
                 "[dataplane]: unknown key \"wrokers\"", "did you mean \"workers\"?");
}

TEST(Keys, NothingNearIsAnsweredByTheList) {
  expect_mistake(change("gateways = ", "<!>zebra = 1\ngateways = "),
                 "[[port]] \"lan\": unknown key \"zebra\"",
                 "known keys: \"addresses\", \"device\", \"gateways\"");
}

TEST(Keys, UnknownTable) {
  expect_mistake(above("[<!>metrisc]\nlisten = \"127.0.0.1:9153\"\n"), "unknown key \"metrisc\"",
                 "did you mean \"metrics\"?");
}

TEST(Keys, UnknownKeyInTtl) {
  expect_mistake(change("\n[[rules]]", "ttl = { <!>mni = 3 }\n\n[[rules]]"),
                 "[[upstream]] \"internet\": ttl: unknown key \"mni\"", "did you mean \"min\"?");
}

TEST(Keys, Missing) {
  expect_mistake(
      change("[[port]]\nname = \"lan\"\ndevice = \"net_memif0\"\n", "<!>[[port]]\nname = \"lan\"\n"),
      "[[port]] \"lan\": device is missing", "device = \"0000:3b:00.0\"");
}

TEST(Keys, NameMissing) {
  expect_mistake(change("[[outbound]]\nname = \"to-onprem\"\n",
                        "[[outbound]]\nname = \"to-onprem\"\naddresses = [\"10.53.0.53\"]\n"
                        "\n<!>[[outbound]]\n"),
                 "[[outbound]]: name is missing", "name = ");
}

TEST(Keys, OneBracketForAList) {
  expect_mistake(change("[[port]]", "<!>[port]"), "\"port\" must be a list of tables, not a table",
                 "write [[port]] in double brackets");
}

TEST(Keys, TwoBracketsForASingleTable) {
  expect_mistake(above("<!>[[dataplane]]\nworkers = [1]\n"),
                 "\"dataplane\" must be a single table, not an array", "write [dataplane], once");
}

TEST(Keys, ListOfTablesThatHoldsNumbers) {
  expect_mistake(
      "rules = [<!>7]\n" + change("[[rules]]\nname = \"corp\"\nlist = [\"onprem.corp forward corp-dns\"]\n",
                                  "", change("rules = [\"corp\"]\n", "")),
      "\"rules\" must be a list of tables, not of an integer", "[[rules]]");
}

// Types.

TEST(Types, NumberForAList) {
  expect_mistake(above("[dataplane]\nworkers = <!>1\n"),
                 "[dataplane]: workers must be an array of integers, not an integer", "workers = [1, 2]");
}

TEST(Types, TextInAListOfNumbers) {
  expect_mistake(above("[dataplane]\nworkers = [1, <!>\"2\"]\n"),
                 "every entry must be an integer, not a string", "workers = [1, 2]");
}

TEST(Types, TextForANumber) {
  expect_mistake(above("[dataplane]\npending = <!>\"65536\"\n"), "pending must be an integer, not a string",
                 "pending = 65536");
}

TEST(Types, FractionForANumber) {
  expect_mistake(above("[dataplane]\npending = <!>4096.0\n"),
                 "pending must be an integer, not a floating-point number", "pending = 65536");
}

TEST(Types, TextForABoolean) {
  expect_mistake(above("[dataplane]\nhugepages = <!>\"yes\"\n"),
                 "hugepages must be true or false, not a string", "hugepages = true");
}

TEST(Types, NumberForText) {
  expect_mistake(change("name = \"prod\"", "name = <!>7"),
                 "[[network]]: name must be a string, not an integer", "name = ");
}

TEST(Types, TextForAList) {
  expect_mistake(change("allow = [\"10.0.0.0/8\"]", "allow = <!>\"10.0.0.0/8\""),
                 "[[inbound]] \"from-onprem\": allow must be an array of strings, not a string",
                 "allow = [\"10.0.0.0/8\"]");
}

TEST(Types, NumberInAListOfTexts) {
  expect_mistake(change("rules = [\"corp\"]", "rules = [\"corp\", <!>3]"),
                 "rules: every entry must be a string, not an integer", "rules = [\"corp\"]");
}

TEST(Types, DateForAList) {
  expect_mistake(change("gateways = [\"10.53.0.1\"]", "gateways = <!>2024-02-29"), "not a date or time",
                 "gateways = ");
}

TEST(Types, ListForATable) {
  expect_mistake(change("gateways = [\"10.53.0.1\"]", "neighbours = <!>[\"10.53.0.1\"]"),
                 "neighbours must be a table in braces, not an array", "neighbours = { \"10.53.0.1\"");
}

TEST(Types, ControlCharacter) {
  expect_mistake(change("device = \"net_memif0\"", "device = <!>\"net_memif0\\u0000\""),
                 "without control characters", "device = ");
}

TEST(Types, EmptyListWhereOneIsNeeded) {
  expect_mistake(change("targets = [\"192.0.2.53\"]", "targets = <!>[]"),
                 "[[upstream]] \"internet\": targets is empty, it needs at least one entry",
                 "targets = [\"192.168.1.53\"");
}

// Ranges.

TEST(Ranges, NegativeNumber) {
  expect_mistake(above("[limits]\ntcp_connections = <!>-1\n"),
                 "[limits]: tcp_connections is -1, it must be from 1 to 100000", "tcp_connections = 1000");
}

TEST(Ranges, NegativeCore) {
  expect_mistake(above("[dataplane]\nworkers = [<!>-1]\n"), "workers is -1, it must be from 0 to 1023",
                 "workers = [1, 2]");
}

TEST(Ranges, CoreBeyondAnyMachine) {
  expect_mistake(above("[dataplane]\nworkers = [1, <!>1024]\n"), "from 0 to 1023", "workers = ");
}

TEST(Ranges, VlanTooLarge) {
  expect_mistake(change("[[inbound]]", "vlan = <!>4095\n[[inbound]]"),
                 "[[port]] \"lan\": vlan is 4095, it must be from 0 to 4094", "vlan = 100");
}

TEST(Ranges, MtuTooLarge) {
  expect_mistake(change("[[inbound]]", "mtu = <!>9000\n[[inbound]]"),
                 "mtu is 9000, it must be from 1280 to 1500", "mtu = 1500");
}

TEST(Ranges, TimeoutTooLong) {
  expect_mistake(change("\n[[rules]]", "timeout_ms = <!>2001\n\n[[rules]]"),
                 "timeout_ms is 2001, it must be from 1 to 2000", "timeout_ms = 800");
}

TEST(Ranges, SourcePortsReversed) {
  expect_mistake(change("\n[[upstream]]\nname = \"corp-dns\"",
                        "source_ports = <!>[60000, 2000]\n\n[[upstream]]\nname = \"corp-dns\""),
                 "the first, 60000, is larger than the last, 2000", "source_ports = [1024, 65535]");
}

TEST(Ranges, SourcePortsBelow1024) {
  expect_mistake(change("\n[[upstream]]\nname = \"corp-dns\"",
                        "source_ports = [<!>53, 65535]\n\n[[upstream]]\nname = \"corp-dns\""),
                 "source_ports is 53, it must be from 1024 to 65535", "source_ports = [1024, 65535]");
}

TEST(Ranges, OneSourcePort) {
  expect_mistake(change("\n[[upstream]]\nname = \"corp-dns\"",
                        "source_ports = <!>[5353]\n\n[[upstream]]\nname = \"corp-dns\""),
                 "must have two integers, the first and the last; it has 1", "source_ports = ");
}

TEST(Ranges, PendingNotAPowerOfTwo) {
  expect_mistake(above("[dataplane]\npending = <!>50000\n"), "pending is 50000, it must be a power of two",
                 "the next one is 65536");
}

TEST(Ranges, TtlMinAboveMax) {
  expect_mistake(change("\n[[rules]]", "ttl = { min = <!>600, max = 60 }\n\n[[rules]]"),
                 "[[upstream]] \"internet\": ttl: min is 600, more than max, 60", "ttl = {");
}

// Sizes.

TEST(Sizes, UnitMissing) {
  expect_mistake(above("[dataplane]\nmemory = <!>\"512\"\n"), "\"512\" has no unit: KiB, MiB, GiB or TiB",
                 "memory = \"512MiB\"");
}

TEST(Sizes, UnitUnknown) {
  expect_mistake(above("[dataplane]\nrules_memory = <!>\"4GB\"\n"),
                 "\"4GB\" has the unit \"GB\"; there are KiB, MiB, GiB and TiB", "rules_memory = \"4GiB\"");
}

TEST(Sizes, Negative) {
  expect_mistake(above("[dataplane]\ncache = <!>\"-1MiB\"\n"), "\"-1MiB\" is not a size",
                 "cache = \"256MiB\"");
}

TEST(Sizes, NumberWithoutQuotes) {
  expect_mistake(above("[dataplane]\nmemory = <!>536870912\n"), "memory must be a string, not an integer",
                 "memory = \"512MiB\"");
}

TEST(Sizes, TooLarge) {
  expect_mistake(above("[dataplane]\nrules_memory = <!>\"99999999TiB\"\n"), "is too large",
                 "rules_memory = \"4GiB\"");
  expect_mistake(above("[dataplane]\nrules_memory = <!>\"99999999999999999999MiB\"\n"), "is too large",
                 "rules_memory = ");
}

TEST(Sizes, EveryUnit) {
  const auto rules_memory = [](std::string_view size) {
    return load_right(above("[dataplane]\nrules_memory = \"" + std::string(size) + "\"\n"))
        .dataplane.rules_memory;
  };
  EXPECT_EQ(rules_memory("0"), 0u);
  EXPECT_EQ(rules_memory("3KiB"), 3u << 10);
  EXPECT_EQ(rules_memory("5MiB"), 5u << 20);
  EXPECT_EQ(rules_memory("7GiB"), 7ull << 30);
  EXPECT_EQ(rules_memory("2TiB"), 2ull << 40);
}

// Words.

TEST(Words, Misspelt) {
  expect_mistake(change("\n[[rules]]", "policy = <!>\"odrered\"\n\n[[rules]]"),
                 "policy is \"odrered\", it must be \"random\", \"ordered\" or \"fastest\"",
                 "did you mean \"ordered\"?");
}

TEST(Words, OnAllDown) {
  expect_mistake(change("\n[[rules]]", "on_all_down = <!>\"stail\"\n\n[[rules]]"),
                 "it must be \"servfail\", \"stale\" or \"default\"", "did you mean \"stale\"?");
}

TEST(Words, LogLevel) {
  expect_mistake(above("[log]\nlevel = <!>\"loud\"\n"),
                 "level is \"loud\", it must be \"debug\", \"info\", \"warning\" or \"error\"",
                 "known values");
}

// Names and texts with a form.

TEST(Forms, NameWithASpace) {
  expect_mistake(change("name = \"lan\"", "name = <!>\"my lan\"\nmirror = \"shunt-lan\""),
                 "name \"my lan\": only letters, digits, dot, underscore and hyphen are allowed", "name = ");
}

TEST(Forms, NameTooLong) {
  expect_mistake(change("name = \"prod\"", "name = <!>\"" + std::string(65, 'x') + "\""),
                 "it has 65 characters, at most 64", "name = ");
}

TEST(Forms, DeviceIsAKernelInterface) {
  expect_mistake(change("\"net_memif0\"", "<!>\"eth1\""), "neither a PCI address nor a DPDK virtual device",
                 "net_af_xdp0,iface=eth1");
}

TEST(Forms, DeviceIsNoPciAddress) {
  expect_mistake(change("\"net_memif0\"", "<!>\"0000:3b:00.9\""), "neither a PCI address (\"0000:3b:00.0\")",
                 "device = ");
}

TEST(Forms, MirrorTooLong) {
  expect_mistake(change("[[inbound]]", "mirror = <!>\"shunt-datacentre\"\n[[inbound]]"),
                 "it has 16 characters", "mirror = ");
}

TEST(Forms, SocketIsRelative) {
  expect_mistake(above("[control]\nsocket = <!>\"control.sock\"\n"), "it must be an absolute path",
                 "socket = \"/run/shunt");
}

TEST(Forms, SocketTooLong) {
  expect_mistake(above("[control]\nsocket = <!>\"/" + std::string(107, 's') + "\"\n"),
                 "a socket's path has at most 107", "socket = ");
}

TEST(Forms, NamespaceIsAPath) {
  expect_mistake(above("[mirror]\nnamespace = <!>\"../other\"\n"), "only letters", "namespace = \"shunt\"");
}

TEST(Forms, FiguresForTooManyRules) {
  expect_mistake(above("[metrics]\nrules = <!>4001\n"), "4000", "rules = 1000");
}

TEST(Forms, ListenWithoutPort) {
  expect_mistake(above("[metrics]\nlisten = <!>\"127.0.0.1\"\n"), "\"127.0.0.1\" has no port",
                 "listen = \"127.0.0.1:9153\"");
}

TEST(Forms, ProbeWithoutType) {
  expect_mistake(change("\n[[rules]]", "probe = <!>\"health.corp\"\n\n[[rules]]"),
                 "a name and a type are needed", "probe = \"health.onprem.corp A\"");
}

TEST(Forms, ProbeOfUnknownType) {
  expect_mistake(change("\n[[rules]]", "probe = <!>\"health.corp AAAAA\"\n\n[[rules]]"),
                 "\"AAAAA\" is not a record type", "probe = ");
}

TEST(Forms, ProbeOfATypeBeyondSixteenBits) {
  for (const std::string type : {"TYPE65537", "TYPE4294967291", "TYPE-1", "TYPE6x"}) {
    expect_mistake(change("\n[[rules]]", "probe = <!>\"health.corp " + type + "\"\n\n[[rules]]"),
                   "\"" + type + "\" is not a record type", "probe = ");
  }
}

TEST(Forms, ProbeThatIsATransfer) {
  expect_mistake(change("\n[[rules]]", "probe = <!>\"health.corp AXFR\"\n\n[[rules]]"),
                 "\"AXFR\" can't be asked for", "probe = ");
}

TEST(Forms, ProbeOfABadName) {
  expect_mistake(change("\n[[rules]]", "probe = <!>\"health..corp A\"\n\n[[rules]]"), "health..corp",
                 "probe = ");
}

// Addresses.

TEST(Addresses, PortAddressWithoutLength) {
  expect_mistake(change("\"fd53::53/64\"", "<!>\"fd53::53\""), "\"fd53::53\" has no prefix length",
                 "addresses = [\"10.53.0.53/24\"]");
}

TEST(Addresses, PortAddressIsTheNetwork) {
  expect_mistake(change("\"fd53::53/64\"", "<!>\"10.54.0.0/24\""), "is the network's own address",
                 "addresses = ");
}

TEST(Addresses, PortAddressIsTheBroadcast) {
  expect_mistake(change("\"fd53::53/64\"", "<!>\"10.54.0.255/24\""), "is the network's broadcast address",
                 "addresses = ");
}

TEST(Addresses, OctetTooLarge) {
  expect_mistake(change("gateways = [\"10.53.0.1\"]", "gateways = [<!>\"10.53.0.256\"]"),
                 "\"10.53.0.256\" is not an IPv4 or IPv6 address", "gateways = [\"10.53.0.1\"]");
}

TEST(Addresses, PrefixTooLong) {
  expect_mistake(change("\"10.1.0.0/16\"", "<!>\"10.1.0.0/33\""),
                 "the prefix length must be a number from 0 to 32", "clients = ");
}

TEST(Addresses, PrefixWithHostBits) {
  expect_mistake(change("\"10.1.0.0/16\"", "<!>\"10.1.2.0/16\""), "the network is 10.1.0.0/16",
                 "clients = [\"10.1.0.0/16\"]");
}

TEST(Addresses, TargetPortTooLarge) {
  expect_mistake(change("\"192.0.2.53\"", "<!>\"192.0.2.53:65536\""), "is not a port from 1 to 65535",
                 "192.168.2.53:5353");
}

TEST(Addresses, TargetIsAName) {
  expect_mistake(change("\"192.0.2.53\"", "<!>\"dns.example\""),
                 "\"dns.example\" is not an IPv4 or IPv6 address", "targets = ");
}

TEST(Addresses, TargetIsMulticast) {
  expect_mistake(change("\"192.0.2.53\"", "<!>\"224.0.0.251:5353\""), "is a multicast address", "targets = ");
}

TEST(Addresses, TargetIsUnspecified) {
  expect_mistake(change("\"192.0.2.53\"", "<!>\"0.0.0.0\""), "is no host's address", "targets = ");
}

TEST(Addresses, NeighbourWithBadMac) {
  expect_mistake(change("[[inbound]]", "neighbours = { \"10.53.0.9\" = <!>\"02:00:5e:00:00\" }\n[[inbound]]"),
                 "\"02:00:5e:00:00\" is not an Ethernet address", "neighbours = ");
}

TEST(Addresses, NeighbourWithGroupMac) {
  expect_mistake(
      change("[[inbound]]", "neighbours = { \"10.53.0.9\" = <!>\"01:00:5e:00:00:01\" }\n[[inbound]]"),
      "is a group address", "neighbours = ");
}

TEST(Addresses, NeighbourIsNoAddress) {
  expect_mistake(change("[[inbound]]", "neighbours = { <!>router = \"02:00:5e:00:00:01\" }\n[[inbound]]"),
                 "\"router\" is not an IPv4 or IPv6 address", "neighbours = ");
}

TEST(Health, WrongValues) {
  expect_mistake(change("\n[[rules]]", "health = { fall = <!>0 }\n\n[[rules]]"), "health: fall", "fall = 3");
  expect_mistake(change("\n[[rules]]", "health = { rise = <!>101 }\n\n[[rules]]"), "health: rise",
                 "rise = 2");
  expect_mistake(change("\n[[rules]]", "health = { interval_ms = <!>99 }\n\n[[rules]]"),
                 "health: interval_ms", "interval_ms = 1000");
  expect_mistake(change("\n[[rules]]", "health = { <!>raise = 1 }\n\n[[rules]]"), "raise", "rise");
}

TEST(QueryLog, WrongValues) {
  expect_mistake(above("[log]\nqueries = <!>\"yes\"\n"),
                 "[log]: queries is \"yes\", it must be \"off\", \"json\" or \"dnstap\"", "dnstap");
  expect_mistake(above("[log]\nqueries = \"json\"\nqueries_to = <!>\"\"\n"), "[log]: queries_to",
                 "queries_to = \"/var/log/shunt/queries.json\"");
  expect_mistake(above("[log]\nqueries = \"dnstap\"\nqueries_to = <!>\"a.sock\"\n"),
                 "queries_to \"a.sock\": it must be an absolute path", "/run/shunt/dnstap.sock");
  expect_mistake(above("[log]\nqueries = \"dnstap\"\nqueries_to = <!>\"/" + std::string(120, 'x') + "\"\n"),
                 "it has 121 octets, a socket's path has at most 107", "queries_to");
}

TEST(QueryLog, Places) {
  const auto log = [](const std::string& text, const std::string& path = "/etc/shunt/shunt.toml") {
    return load_text(above("[log]\n" + text + "\n"), path).config.value_or(Config{}).query_log;
  };
  EXPECT_EQ(log("queries = \"json\""), (conf::QueryLog{QueryLogFormat::kJson, "-"}));
  EXPECT_EQ(log("queries = \"json\"\nqueries_to = \"q.json\""),
            (conf::QueryLog{QueryLogFormat::kJson, "/etc/shunt/q.json"}));
  EXPECT_EQ(log("queries = \"json\"\nqueries_to = \"/var/q.json\""),
            (conf::QueryLog{QueryLogFormat::kJson, "/var/q.json"}));
  EXPECT_EQ(log("queries = \"dnstap\""), (conf::QueryLog{QueryLogFormat::kDnstap, "/run/shunt/dnstap.sock"}));
  EXPECT_EQ(log("queries = \"dnstap\"\nqueries_to = \"/tmp/a\""),
            (conf::QueryLog{QueryLogFormat::kDnstap, "/tmp/a"}));
  EXPECT_EQ(log("queries_to = \"/tmp/a\""), conf::QueryLog{});
}

// What the format has and this version doesn't.

TEST(Unavailable, RepliesByRoute) {
  expect_mistake(change("[[inbound]]", "replies = <!>\"route\"\n[[inbound]]"),
                 "\"route\" is not available in this version; use \"reflect\"", "replies = \"reflect\"");
}

}  // namespace
}  // namespace shunt::conf
