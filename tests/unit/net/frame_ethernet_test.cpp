// MAC addresses, VLAN tags, and what goes to the kernel.
#include <gtest/gtest.h>

#include <string_view>
#include <utility>

#include "dataplane/base/bytes.h"
#include "dataplane/net/frame.h"
#include "tests/unit/net/frame_builder.h"

namespace shunt::net {
namespace {

using testing::build;
using testing::fate;
using testing::fix_ip_checksum;
using testing::FrameSpec;
using testing::kBroadcast;
using testing::kIp;
using testing::kOurMac;
using testing::kTheirMac;
using testing::Octets;
using testing::parse;
using testing::Parsed;
using testing::v6;

// Ethernet.

TEST(Frame, AnotherStationsMac) {
  EXPECT_DROP(parse(build({.to = kTheirMac})), not_for_us_mac);
  EXPECT_DROP(parse(build({.to = {{0x02, 0, 0, 0, 0, 0x81}}})), not_for_us_mac);
  EXPECT_DROP(parse(build({.to = {{0x82, 0, 0, 0, 0, 0x01}}})), not_for_us_mac);
}

TEST(Frame, OwnMacAsSource) {
  EXPECT_DROP(parse(build({.from = kOurMac})), own_source_mac);
  EXPECT_DROP(parse(build({.to = kBroadcast, .from = kOurMac})), own_source_mac);
}

TEST(Frame, GroupMacAsSource) {
  EXPECT_DROP(parse(build({.from = kBroadcast})), ip_source);
  EXPECT_DROP(parse(build({.from = {{0x01, 0, 0x5e, 0, 0, 1}}})), ip_source);
}

TEST(Frame, UnknownEtherTypes) {
  for (const int type : {0x0000, 0x05dc, 0x0801, 0x8035, 0x8847, 0x88cc, 0xffff}) {
    Octets frame = build({});
    store_be16(&frame[12], static_cast<std::uint16_t>(type));
    EXPECT_DROP(parse(frame), ethertype) << type;
  }
}

constexpr std::uint32_t tag(std::uint16_t id, std::uint16_t type = kEtherVlan) {
  return std::uint32_t{type} << 16 | id;
}

TEST(Frame, TagsOnAPortWithoutVlan) {
  EXPECT_DROP(parse(build({.tags = {tag(7)}})), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(0xfff)}})), vlan);
}

TEST(Frame, PriorityTagsCountAsNone) {
  for (const std::uint16_t priority : std::initializer_list<std::uint16_t>{0x0000, 0x2000, 0xe000}) {
    const Parsed parsed = parse(build({.tags = {tag(priority)}}));
    ASSERT_EQ(parsed.kind, FrameKind::kUdp);
    EXPECT_EQ(parsed.view.l2_length, 18);
    EXPECT_EQ(parsed.view.payload_offset, 46);
    EXPECT_DROP(parse(build({.tags = {tag(priority)}}), 7), vlan);
  }
}

TEST(Frame, ThePortsOwnVlan) {
  for (FrameSpec spec : {FrameSpec{}, v6()}) {
    spec.tags = {tag(0xa007)};
    const Parsed parsed = parse(build(spec), 7);
    ASSERT_EQ(parsed.kind, FrameKind::kUdp);
    EXPECT_EQ(parsed.view.l2_length, 18);
  }
}

TEST(Frame, AnotherOrNoTagOnAPortWithVlan) {
  EXPECT_DROP(parse(build({.tags = {tag(8)}}), 7), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(0x807)}}), 7), vlan);
  EXPECT_DROP(parse(build({}), 7), vlan);
  EXPECT_DROP(parse(build(v6()), 7), vlan);
}

TEST(Frame, StackedTags) {
  EXPECT_DROP(parse(build({.tags = {tag(7), tag(7)}}), 7), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(0), tag(7)}}), 7), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(0), tag(0)}})), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(7, kEtherQinQ)}}), 7), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(0, kEtherQinQ)}})), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(7, kEtherOldQinQ)}}), 7), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(0, kEtherOldQinQ)}})), vlan);
  EXPECT_DROP(parse(build({.tags = {tag(7), tag(9, kEtherQinQ)}}), 7), vlan);
}

// What goes to the kernel.

Octets arp(std::size_t length) {
  Octets frame = build({.to = kBroadcast});
  store_be16(&frame[12], kEtherArp);
  frame.resize(14 + length);
  return frame;
}

TEST(Frame, ArpIsTheKernelsWithPriority) {
  const Parsed parsed = parse(arp(28));
  EXPECT_EQ(parsed.kind, FrameKind::kNeighbour);
  EXPECT_TRUE(parsed.view.broadcast);
  EXPECT_EQ(parse(arp(46)).kind, FrameKind::kNeighbour) << "padded";
}

TEST(Frame, ShortArpIsARunt) {
  EXPECT_DROP(parse(arp(27)), runt);
}

FrameSpec icmp6(std::uint8_t type) {
  FrameSpec spec = v6();
  spec.protocol = kProtocolIcmp6;
  spec.payload = Octets(24, 0);
  spec.payload[0] = type;
  return spec;
}

TEST(Frame, NeighbourDiscoveryIsTheKernelsWithPriority) {
  for (std::uint8_t type = 133; type <= 137; ++type) {
    EXPECT_EQ(parse(build(icmp6(type))).kind, FrameKind::kNeighbour) << int{type};
  }
  for (const std::uint8_t type : Octets{1, 2, 128, 129, 132, 138, 143}) {
    EXPECT_EQ(parse(build(icmp6(type))).kind, FrameKind::kKernel) << int{type};
  }
}

TEST(Frame, DuplicateAddressDetectionComesFromNobody) {
  FrameSpec spec = icmp6(135);
  spec.to = {{0x33, 0x33, 0xff, 0, 0, 0x01}};
  spec.source = "::";
  spec.destination = "ff02::1:ff00:1";
  EXPECT_EQ(parse(build(spec)).kind, FrameKind::kNeighbour);
}

TEST(Frame, NeighbourDiscoveryThroughARouterHasNoPriority) {
  Octets frame = build(icmp6(135));
  frame[kIp + 7] = 254;
  EXPECT_EQ(parse(frame).kind, FrameKind::kKernel);
}

TEST(Frame, ShortIcmpv6IsARunt) {
  FrameSpec spec = icmp6(135);
  spec.payload.resize(3);
  EXPECT_DROP(parse(build(spec)), runt);
  spec.payload.clear();
  EXPECT_DROP(parse(build(spec)), runt);
}

TEST(Frame, RoutingProtocolsAreTheKernelsWithPriority) {
  for (const std::uint8_t protocol : {kProtocolOspf, kProtocolVrrp}) {
    EXPECT_EQ(
        parse(build({.to = {{0x01, 0, 0x5e, 0, 0, 5}}, .destination = "224.0.0.5", .protocol = protocol}))
            .kind,
        FrameKind::kNeighbour);
    FrameSpec spec = v6();
    spec.protocol = protocol;
    EXPECT_EQ(parse(build(spec)).kind, FrameKind::kNeighbour);
  }
  for (const auto& [source, destination] : {std::pair{179, 40000}, std::pair{40000, 179}}) {
    EXPECT_EQ(parse(build({.protocol = kProtocolTcp,
                           .source_port = static_cast<std::uint16_t>(source),
                           .destination_port = static_cast<std::uint16_t>(destination)}))
                  .kind,
              FrameKind::kNeighbour);
  }
}

TEST(Frame, TcpHasItsPorts) {
  for (FrameSpec spec : {FrameSpec{}, v6()}) {
    spec.protocol = kProtocolTcp;
    const Parsed parsed = parse(build(spec));
    EXPECT_EQ(parsed.kind, FrameKind::kTcp);
    EXPECT_EQ(parsed.view.source_port, 40000);
    EXPECT_EQ(parsed.view.destination_port, 53);
    EXPECT_EQ(parsed.view.source.to_string(), spec.source);
  }
}

TEST(Frame, TcpShorterThanItsHeaderIsARunt) {
  Octets frame = build({.protocol = kProtocolTcp});
  store_be16(&frame[kIp + 2], 39);
  fix_ip_checksum(frame);
  EXPECT_DROP(parse(frame), runt);
}

TEST(Frame, EchoAndOtherProtocolsAreTheKernels) {
  for (const std::uint8_t protocol : Octets{1, 2, 4, 41, 47, 50, 132, 255}) {
    EXPECT_EQ(parse(build({.protocol = protocol})).kind, FrameKind::kKernel) << int{protocol};
  }
  for (const std::uint8_t protocol : Octets{4, 41, 47, 50, 132, 253}) {
    FrameSpec spec = v6();
    spec.protocol = protocol;
    EXPECT_EQ(parse(build(spec)).kind, FrameKind::kKernel) << int{protocol};
  }
}

}  // namespace
}  // namespace shunt::net
