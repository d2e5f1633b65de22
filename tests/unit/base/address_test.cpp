#include "dataplane/base/address.h"

#include <gtest/gtest.h>

namespace shunt {
namespace {

std::string round_trip(std::string_view text) {
  const Result<IpAddress> a = IpAddress::parse(text);
  return a ? a->to_string() : "error: " + a.error();
}

TEST(IpAddress, ReadsAndPrintsBothFamilies) {
  EXPECT_EQ(round_trip("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(round_trip("0.0.0.0"), "0.0.0.0");
  EXPECT_EQ(round_trip("255.255.255.255"), "255.255.255.255");
  EXPECT_EQ(round_trip("fd00::1"), "fd00::1");
  EXPECT_EQ(round_trip("FD00:0:0:0:0:0:0:1"), "fd00::1");
  EXPECT_EQ(round_trip("::"), "::");
  EXPECT_EQ(round_trip("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff");
}

TEST(IpAddress, Ipv4LivesInTheMappedRange) {
  const IpAddress a = IpAddress::parse("192.0.2.7").value();
  EXPECT_TRUE(a.is_v4());
  const std::array<std::uint8_t, 16> expected = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7};
  EXPECT_EQ(a.octets, expected);
  EXPECT_EQ(a, IpAddress::v4(a.v4_octets()));
  EXPECT_FALSE(IpAddress::parse("fd00::1").value().is_v4());
  EXPECT_FALSE(IpAddress{}.is_v4());
}

TEST(IpAddress, RefusesEverythingElse) {
  for (std::string_view text : {"",
                                " ",
                                "10.0.0",
                                "10.0.0.1.",
                                "10.0.0.256",
                                "010.0.0.1",
                                "10.0.0.1 ",
                                " 10.0.0.1",
                                "10.0.0.1:53",
                                "0x0a.0.0.1",
                                "10.1",
                                "167772161",
                                "fd00::1%eth0",
                                "[fd00::1]",
                                "fd00",
                                "fd00::1::2",
                                "fd00::12345",
                                "1:2:3:4:5:6:7:8:9",
                                ":::",
                                "a",
                                "10.0.0.1/8",
                                "fd00:0000:0000:0000:0000:0000:0000:0000:0000:0000:0001"}) {
    EXPECT_FALSE(IpAddress::parse(text)) << text;
  }
  EXPECT_FALSE(IpAddress::parse(std::string_view("10.0.0.1\0", 9)));
  EXPECT_FALSE(IpAddress::parse(std::string(100000, '1')));
}

TEST(IpAddress, ErrorsQuoteTheTextButNotAllOfIt) {
  EXPECT_EQ(IpAddress::parse("10.0.0.300").error(), "\"10.0.0.300\" is not an IPv4 or IPv6 address");
  EXPECT_LT(IpAddress::parse(std::string(100000, 'x')).error().size(), 200u);
}

TEST(IpAddress, RefusesIpv4InDisguiseAndSaysHowToWriteIt) {
  EXPECT_EQ(IpAddress::parse("::ffff:10.0.0.1").error(),
            "\"::ffff:10.0.0.1\" is IPv4-mapped: write it as 10.0.0.1");
  EXPECT_FALSE(IpAddress::parse("::ffff:a00:1"));
}

TEST(SocketAddress, ReadsTheFourForms) {
  const auto read = [](std::string_view text) { return SocketAddress::parse(text, 53).value().to_string(); };
  EXPECT_EQ(read("192.0.2.1"), "192.0.2.1:53");
  EXPECT_EQ(read("192.0.2.1:5353"), "192.0.2.1:5353");
  EXPECT_EQ(read("fd00::1"), "[fd00::1]:53");
  EXPECT_EQ(read("[fd00::1]:5353"), "[fd00::1]:5353");
  EXPECT_EQ(read("192.0.2.1:65535"), "192.0.2.1:65535");
  EXPECT_EQ(read("192.0.2.1:1"), "192.0.2.1:1");
}

TEST(SocketAddress, RefusesEverythingElse) {
  for (std::string_view text : {"",
                                ":53",
                                "192.0.2.1:",
                                "192.0.2.1:0",
                                "192.0.2.1:65536",
                                "192.0.2.1:99999",
                                "192.0.2.1:100000",
                                "192.0.2.1:-1",
                                "192.0.2.1:+1",
                                "192.0.2.1: 1",
                                "192.0.2.1:053",
                                "192.0.2.1:53x",
                                "[fd00::1]",
                                "[fd00::1]:",
                                "[fd00::1]:0",
                                "[fd00::1",
                                "[192.0.2.1]:53",
                                "[]:53",
                                "fd00::1]:53",
                                "[fd00::1]x:53",
                                "host:53",
                                "192.0.2.1:53:54"}) {
    EXPECT_FALSE(SocketAddress::parse(text, 53)) << text;
  }
}

TEST(Prefix, LengthCountsBitsOfTheMappedForm) {
  EXPECT_EQ(Prefix::parse("10.0.0.0/8").value().length, 104);
  EXPECT_EQ(Prefix::parse("0.0.0.0/0").value().length, 96);
  EXPECT_EQ(Prefix::parse("10.0.0.1").value().length, 128);
  EXPECT_EQ(Prefix::parse("fd00::/8").value().length, 8);
  EXPECT_EQ(Prefix::parse("::/0").value().length, 0);
  EXPECT_EQ(Prefix::parse("fd00::1").value().length, 128);
  EXPECT_FALSE(Prefix::parse("::/0").value().is_v4());
  EXPECT_TRUE(Prefix::parse("0.0.0.0/0").value().is_v4());
}

TEST(Prefix, PrintsAsWritten) {
  for (std::string_view text : {"10.0.0.0/8", "0.0.0.0/0", "10.1.2.3/32", "fd00::/8", "::/0", "fd00::1/128",
                                "10.128.0.0/9", "fd00:8000::/17"}) {
    EXPECT_EQ(Prefix::parse(text).value().to_string(), text);
  }
  EXPECT_EQ(Prefix::parse("10.0.0.1").value().to_string(), "10.0.0.1/32");
}

TEST(Prefix, HostBitsAreAnErrorThatNamesTheNetwork) {
  EXPECT_EQ(Prefix::parse("10.1.2.3/8").error(),
            "\"10.1.2.3/8\" has bits set behind its prefix: the network is 10.0.0.0/8");
  EXPECT_FALSE(Prefix::parse("10.64.0.0/9"));
  EXPECT_FALSE(Prefix::parse("fd00::1/127"));
  EXPECT_FALSE(Prefix::parse("0.0.0.1/0"));
  EXPECT_FALSE(Prefix::parse("8000::/0"));
}

TEST(Prefix, InterfaceAddressesKeepTheirHostBits) {
  const Prefix p = Prefix::parse_interface("10.53.0.53/24").value();
  EXPECT_EQ(p.address.to_string(), "10.53.0.53");
  EXPECT_EQ(p.length, 120);
  EXPECT_TRUE(p.contains(IpAddress::parse("10.53.0.1").value()));
}

TEST(Prefix, RefusesEverythingElse) {
  for (std::string_view text : {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "fd00::/129", "10.0.0.0/08",
                                "10.0.0.0/-1", "10.0.0.0/8/8", "10.0.0.0 /8", "10.0.0.0/8 ", "10/8",
                                "10.0.0.0/255.0.0.0", "::ffff:0:0/96", "fd00::%1/8", "10.0.0.0/4294967304"}) {
    EXPECT_FALSE(Prefix::parse(text)) << text;
  }
}

TEST(Prefix, ContainsComparesBitsNotOctets) {
  const auto in = [](std::string_view prefix, std::string_view address) {
    return Prefix::parse(prefix).value().contains(IpAddress::parse(address).value());
  };
  EXPECT_TRUE(in("10.0.0.0/9", "10.127.255.255"));
  EXPECT_FALSE(in("10.0.0.0/9", "10.128.0.0"));
  EXPECT_TRUE(in("10.0.0.1", "10.0.0.1"));
  EXPECT_FALSE(in("10.0.0.1", "10.0.0.0"));
  EXPECT_TRUE(in("0.0.0.0/0", "255.1.2.3"));
  EXPECT_FALSE(in("0.0.0.0/0", "fd00::1")) << "all of IPv4 is not all of IPv6";
  EXPECT_TRUE(in("fc00::/7", "fd00::1"));
  EXPECT_FALSE(in("fd00::/8", "fc00::1"));
  EXPECT_TRUE(in("fd00:10::/30", "fd00:13::1"));
  EXPECT_FALSE(in("fd00:10::/30", "fd00:14::1"));
}

TEST(MacAddress, ReadsAndPrints) {
  EXPECT_EQ(MacAddress::parse("02:00:5e:00:00:01").value().to_string(), "02:00:5e:00:00:01");
  EXPECT_EQ(MacAddress::parse("AA:bB:Cc:DD:ee:FF").value().to_string(), "aa:bb:cc:dd:ee:ff");
  for (std::string_view text :
       {"", "02:00:5e:00:00", "02:00:5e:00:00:01:", "02-00-5e-00-00-01", "2:0:5e:0:0:1", "02:00:5e:00:00:0g",
        "02:00:5e:00:00:0", "02005e000001", " 2:00:5e:00:00:01", "+2:00:5e:00:00:01"}) {
    EXPECT_FALSE(MacAddress::parse(text)) << text;
  }
}

}  // namespace
}  // namespace shunt
