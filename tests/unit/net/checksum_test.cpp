#include "dataplane/net/checksum.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <vector>

namespace shunt::net {
namespace {

// RFC 1071 section 4.1, in network order.
std::uint16_t reference(const std::uint8_t* octets, std::size_t length) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i < length; ++i)
    sum += i % 2 == 0 ? octets[i] * 256u : octets[i];
  while (sum > 0xffff)
    sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(sum);
}

// At every length, in a buffer that ends right behind it.
TEST(Checksum, AgreesWithTheRfc) {
  std::mt19937 random(1);
  for (std::size_t length = 0; length < 1600; ++length) {
    const auto octets = std::make_unique<std::uint8_t[]>(length);
    for (std::size_t i = 0; i < length; ++i)
      octets[i] = static_cast<std::uint8_t>(random());
    EXPECT_EQ(fold(add_octets(0, octets.get(), length)), __builtin_bswap16(reference(octets.get(), length)))
        << length;
  }
}

TEST(Checksum, CarriesOfAllOnesAreKept) {
  for (const std::size_t length : {2u, 64u, 1500u, 65535u}) {
    const std::vector<std::uint8_t> octets(length, 0xff);
    const std::uint16_t expected = reference(octets.data(), length);
    EXPECT_EQ(fold(add_octets(0, octets.data(), length)), __builtin_bswap16(expected)) << length;
  }
}

TEST(Checksum, EvenPiecesAddUp) {
  std::vector<std::uint8_t> octets(501);
  for (std::size_t i = 0; i < octets.size(); ++i)
    octets[i] = static_cast<std::uint8_t>(i * 31 + 200);
  const std::uint16_t whole = fold(add_octets(0, octets.data(), octets.size()));
  for (std::size_t cut = 0; cut < octets.size(); cut += 2) {
    const Sum first = add_octets(0, octets.data(), cut);
    EXPECT_EQ(fold(add_octets(first, octets.data() + cut, octets.size() - cut)), whole) << cut;
  }
}

TEST(Checksum, WordsCountAsOctetsInNetworkOrder) {
  const std::uint8_t octets[] = {0x12, 0x34};
  EXPECT_EQ(fold(word(0x1234)), fold(add_octets(0, octets, 2)));
}

TEST(Checksum, ZeroIsSentAsAllOnesOverUdp) {
  EXPECT_EQ(finish(0xffff), 0);
  EXPECT_EQ(finish_udp(0xffff), 0xffff);
  EXPECT_EQ(finish_udp(0x1234), finish(0x1234));
}

// The header of RFC 1624 section 3's example family: a well-known packet with checksum 0xb861.
TEST(Checksum, AKnownIpv4Header) {
  const std::uint8_t header[] = {0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
                                 0x00, 0x00, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7};
  EXPECT_EQ(finish(add_octets(0, header, sizeof header)), __builtin_bswap16(0xb861));
}

TEST(Checksum, PseudoHeaders) {
  const IpAddress a = IpAddress::parse("10.1.2.3").value(), b = IpAddress::parse("192.168.255.254").value();
  const std::uint8_t v4[] = {10, 1, 2, 3, 192, 168, 255, 254, 0, 17};
  EXPECT_EQ(fold(pseudo_sum(a, b, true, 17)), fold(add_octets(0, v4, sizeof v4)));
  const IpAddress c = IpAddress::parse("fd00::1").value(), d = IpAddress::parse("2001:db8::ffff").value();
  std::vector<std::uint8_t> v6(c.octets.begin(), c.octets.end());
  v6.insert(v6.end(), d.octets.begin(), d.octets.end());
  v6.insert(v6.end(), {0, 17});
  EXPECT_EQ(fold(pseudo_sum(c, d, false, 17)), fold(add_octets(0, v6.data(), v6.size())));
}

}  // namespace
}  // namespace shunt::net
