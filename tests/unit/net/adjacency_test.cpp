#include "dataplane/net/adjacency.h"

#include <gtest/gtest.h>

#include <cstring>

#include "dataplane/base/bytes.h"
#include "dataplane/net/checksum.h"
#include "tests/unit/net/frame_builder.h"

namespace shunt::net {
namespace {

using testing::kOurMac;
using testing::kTheirMac;
using testing::Octets;

Adjacency make(std::string_view source, std::string_view target, std::uint16_t vlan) {
  return make_adjacency(IpAddress::parse(source).value(), SocketAddress::parse(target, 53).value(), kOurMac,
                        kTheirMac, 3, vlan);
}

// As a worker does it.
Octets send(const Adjacency& adjacency, const Octets& payload, std::uint16_t source_port) {
  Octets frame(adjacency.headers.begin(), adjacency.headers.begin() + adjacency.length);
  frame.insert(frame.end(), payload.begin(), payload.end());
  std::uint8_t* const ip = frame.data() + adjacency.l2_length;
  const auto udp_length = static_cast<std::uint16_t>(kUdpSize + payload.size());
  std::uint8_t* udp = nullptr;
  if (adjacency.v4) {
    udp = ip + kIpv4Size;
    const auto total = static_cast<std::uint16_t>(kIpv4Size + udp_length);
    store_be16(ip + 2, total);
    const std::uint16_t checksum = finish(adjacency.ip_sum + word(total));
    std::memcpy(ip + 10, &checksum, 2);
  } else {
    udp = ip + kIpv6Size;
    store_be16(ip + 4, udp_length);
  }
  store_be16(udp, source_port);
  store_be16(udp + 4, udp_length);
  const std::uint16_t checksum =
      finish_udp(add_octets(adjacency.pseudo_sum + word(udp_length), udp, udp_length));
  std::memcpy(udp + 6, &checksum, 2);
  return frame;
}

// The other end takes the frame, checksums and all.
void expect_arrives(const Adjacency& adjacency, std::uint16_t vlan, std::string_view source,
                    std::string_view target) {
  const Octets frame = send(adjacency, {1, 2, 3}, 54321);
  FrameView view;
  FrameDrop reason{};
  ASSERT_EQ(parse_frame(frame, {kTheirMac, vlan}, {}, view, reason), FrameKind::kUdp)
      << static_cast<int>(reason);
  EXPECT_EQ(view.source.to_string(), source);
  EXPECT_EQ(view.destination.to_string(), target);
  EXPECT_EQ(view.source_port, 54321);
  EXPECT_EQ(view.destination_port, 5353);
  EXPECT_EQ(view.payload_length, 3);
  EXPECT_EQ(view.payload_offset, adjacency.length);
  EXPECT_EQ(view.l2_length, adjacency.l2_length);
}

TEST(Adjacency, Ipv4) {
  const Adjacency adjacency = make("10.53.0.53", "192.168.1.53:5353", 0);
  EXPECT_TRUE(adjacency.v4);
  EXPECT_FALSE(adjacency.usable) << "that is the caller's to say";
  EXPECT_EQ(adjacency.port, 3);
  EXPECT_EQ(adjacency.l2_length, 14);
  EXPECT_EQ(adjacency.length, 42);
  expect_arrives(adjacency, 0, "10.53.0.53", "192.168.1.53");
  const std::uint8_t* const ip = &adjacency.headers[14];
  EXPECT_EQ(load_be16(ip + 4), 0) << "id";
  EXPECT_EQ(load_be16(ip + 6), 0x4000) << "don't fragment";
  EXPECT_EQ(ip[8], 64) << "time to live";
}

TEST(Adjacency, Ipv6) {
  const Adjacency adjacency = make("fd53::53", "[2001:db8::53]:5353", 0);
  EXPECT_FALSE(adjacency.v4);
  EXPECT_EQ(adjacency.length, 62);
  EXPECT_EQ(adjacency.headers[14 + 7], 64) << "hop limit";
  expect_arrives(adjacency, 0, "fd53::53", "2001:db8::53");
}

TEST(Adjacency, Tagged) {
  const Adjacency four = make("10.53.0.53", "192.168.1.53:5353", 4094);
  EXPECT_EQ(four.l2_length, 18);
  expect_arrives(four, 4094, "10.53.0.53", "192.168.1.53");
  const Adjacency six = make("fd53::53", "[2001:db8::53]:5353", 1);
  EXPECT_EQ(six.length, kMaxHeaders);
  expect_arrives(six, 1, "fd53::53", "2001:db8::53");
}

}  // namespace
}  // namespace shunt::net
