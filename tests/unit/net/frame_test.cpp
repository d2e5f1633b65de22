// What a whole UDP frame is, and lengths and checksums that are wrong.
#include <gtest/gtest.h>

#include <string_view>

#include "dataplane/base/bytes.h"
#include "dataplane/net/frame.h"
#include "tests/unit/net/frame_builder.h"

namespace shunt::net {
namespace {

using testing::build;
using testing::fate;
using testing::fix_ip_checksum;
using testing::fix_udp_checksum;
using testing::FrameSpec;
using testing::is_v6;
using testing::kIp;
using testing::kUdp4;
using testing::kUdp6;
using testing::Octets;
using testing::parse;
using testing::Parsed;
using testing::v6;

TEST(Frame, TheShortWayTakesWhatIsPlain) {
  const auto is_plain = [](const FrameSpec& spec) {
    const Octets frame = build(spec);
    FrameView view;
    return parse_plain_frame(frame, {testing::kOurMac, 0}, {}, view);
  };
  EXPECT_TRUE(is_plain({}));
  EXPECT_TRUE(is_plain({.udp_checksum = false}));
  EXPECT_TRUE(is_plain({.padding = 9}));
  EXPECT_FALSE(is_plain(v6()));
  EXPECT_FALSE(is_plain({.tags = {0x81000007}}));
  EXPECT_FALSE(is_plain({.source = "224.0.0.1"}));
  EXPECT_FALSE(is_plain({.protocol = kProtocolTcp}));
}

TEST(Frame, UdpOverIpv4) {
  const Parsed parsed = parse(build({}));
  ASSERT_EQ(parsed.kind, FrameKind::kUdp);
  EXPECT_EQ(parsed.view.source.to_string(), "10.0.0.2");
  EXPECT_EQ(parsed.view.destination.to_string(), "10.0.0.1");
  EXPECT_EQ(parsed.view.source_port, 40000);
  EXPECT_EQ(parsed.view.destination_port, 53);
  EXPECT_EQ(parsed.view.l2_length, 14);
  EXPECT_EQ(parsed.view.l3_length, 20);
  EXPECT_EQ(parsed.view.payload_offset, 42);
  EXPECT_EQ(parsed.view.payload_length, 5);
  EXPECT_TRUE(parsed.view.v4);
  EXPECT_NE(parsed.view.udp_checksum, 0);
  EXPECT_FALSE(parsed.view.broadcast);
}

TEST(Frame, UdpOverIpv6) {
  const Parsed parsed = parse(build(v6()));
  ASSERT_EQ(parsed.kind, FrameKind::kUdp);
  EXPECT_EQ(parsed.view.source.to_string(), "fd00::2");
  EXPECT_EQ(parsed.view.destination.to_string(), "fd00::1");
  EXPECT_EQ(parsed.view.l3_length, 40);
  EXPECT_EQ(parsed.view.payload_offset, 62);
  EXPECT_EQ(parsed.view.payload_length, 5);
  EXPECT_FALSE(parsed.view.v4);
}

TEST(Frame, PayloadsOfEveryLength) {
  for (std::size_t length = 0; length < 300; ++length) {
    for (FrameSpec spec : {FrameSpec{}, v6()}) {
      spec.payload.assign(length, static_cast<std::uint8_t>(length * 7 + 1));
      const Parsed parsed = parse(build(spec));
      ASSERT_EQ(parsed.kind, FrameKind::kUdp) << length;
      ASSERT_EQ(parsed.view.payload_length, length);
    }
  }
}

// Runts and lengths that disagree.

TEST(Frame, EveryTruncationIsARunt) {
  FrameSpec tcp{.protocol = kProtocolTcp};
  FrameSpec tagged{.tags = {std::uint32_t{kEtherVlan} << 16}};
  for (const FrameSpec& spec : {FrameSpec{}, v6(), tcp, tagged}) {
    const Octets whole = build(spec);
    for (std::size_t length = 0; length < whole.size(); ++length) {
      const Parsed parsed = parse(Octets(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
      ASSERT_EQ(parsed.kind, FrameKind::kDrop) << length;
      // Cut inside its tag, a frame carries a tag that cannot be read.
      if (!spec.tags.empty() && length >= 14 && length < 18) continue;
      ASSERT_EQ(parsed.reason, FrameDrop::runt) << length;
    }
  }
}

TEST(Frame, PaddingIsNotPayload) {
  for (FrameSpec spec : {FrameSpec{}, v6()}) {
    spec.padding = 13;
    const Parsed parsed = parse(build(spec));
    ASSERT_EQ(parsed.kind, FrameKind::kUdp);
    EXPECT_EQ(parsed.view.payload_length, 5);
  }
}

TEST(Frame, IpTotalLengthBeyondTheFrame) {
  Octets frame = build({});
  store_be16(&frame[kIp + 2], static_cast<std::uint16_t>(frame.size() - kIp + 1));
  fix_ip_checksum(frame);
  EXPECT_DROP(parse(frame), runt);
  frame = build(v6());
  store_be16(&frame[kIp + 4], static_cast<std::uint16_t>(frame.size() - kIp - 40 + 1));
  EXPECT_DROP(parse(frame), runt);
}

TEST(Frame, IpTotalLengthBelowItsHeader) {
  Octets frame = build({});
  store_be16(&frame[kIp + 2], 19);
  fix_ip_checksum(frame);
  EXPECT_DROP(parse(frame), ip_header);
}

TEST(Frame, IpTotalLengthThatCutsTheDatagram) {
  Octets frame = build({});
  store_be16(&frame[kIp + 2], load_be16(&frame[kIp + 2]) - 1);
  fix_ip_checksum(frame);
  EXPECT_DROP(parse(frame), udp_length);
  frame = build(v6());
  store_be16(&frame[kIp + 4], load_be16(&frame[kIp + 4]) - 1);
  EXPECT_DROP(parse(frame), udp_length);
}

TEST(Frame, IpPacketTooShortForUdp) {
  Octets frame = build({});
  store_be16(&frame[kIp + 2], 27);
  fix_ip_checksum(frame);
  EXPECT_DROP(parse(frame), udp_length);
  frame.resize(kIp + 27);
  EXPECT_DROP(parse(frame), udp_length);
  frame = build(v6());
  store_be16(&frame[kIp + 4], 7);
  EXPECT_DROP(parse(frame), udp_length);
  frame.resize(kUdp6 + 7);
  EXPECT_DROP(parse(frame), udp_length);
  store_be16(&frame[kIp + 4], 0);  // a jumbogram without its option, or nothing at all
  EXPECT_DROP(parse(frame), udp_length);
}

TEST(Frame, UdpLengthThatLies) {
  for (const FrameSpec& spec : {FrameSpec{}, v6()}) {
    for (const int length : {0, 7, 14, 65535}) {
      Octets frame = build(spec);
      frame.resize(frame.size() + 40);
      store_be16(&frame[(is_v6(spec) ? kUdp6 : kUdp4) + 4], static_cast<std::uint16_t>(length));
      EXPECT_DROP(parse(frame), udp_length) << length;
    }
  }
}

TEST(Frame, UdpLengthBelowTheIpPacketRules) {
  for (const FrameSpec& spec : {FrameSpec{}, v6()}) {
    Octets frame = build(spec);
    store_be16(&frame[(is_v6(spec) ? kUdp6 : kUdp4) + 4], 10);
    fix_udp_checksum(frame);
    const Parsed parsed = parse(frame);
    ASSERT_EQ(parsed.kind, FrameKind::kUdp);
    EXPECT_EQ(parsed.view.payload_length, 2);
  }
}

TEST(Frame, IpVersionThatContradictsTheEtherType) {
  Octets frame = build({});
  frame[kIp] = 0x65;
  fix_ip_checksum(frame);
  EXPECT_DROP(parse(frame), ip_header);
  frame = build(v6());
  frame[kIp] = 0x45;
  EXPECT_DROP(parse(frame), ip_header);
}

TEST(Frame, Ipv4HeaderLengthBelowFiveWords) {
  for (const unsigned words : {0u, 1u, 4u}) {
    Octets frame = build({});
    frame[kIp] = static_cast<std::uint8_t>(0x40 | words);
    EXPECT_DROP(parse(frame), ip_header);
  }
}

TEST(Frame, Ipv4HeaderLengthBeyondTheFrame) {
  Octets frame = build({.payload = {}});
  frame[kIp] = 0x4f;
  EXPECT_DROP(parse(frame), runt);
}

// Checksums.

TEST(Frame, EveryFlippedBitOfTheIpHeaderIsSeen) {
  for (std::size_t octet = kIp; octet < kUdp4; ++octet) {
    for (unsigned bit = 0; bit < 8; ++bit) {
      Octets frame = build({});
      frame[octet] ^= static_cast<std::uint8_t>(1u << bit);
      ASSERT_EQ(parse(frame).kind, FrameKind::kDrop) << octet << '.' << bit;
    }
  }
}

TEST(Frame, BadIpChecksum) {
  Octets frame = build({});
  frame[kIp + 10] ^= 1;
  EXPECT_DROP(parse(frame), ip_checksum);
  EXPECT_EQ(parse(frame, 0, {.ip_good = true}).kind, FrameKind::kUdp) << "the port has checked it";
}

TEST(Frame, BadIpChecksumBehindOptions) {
  Octets frame = build({.options = {1, 1, 1, 0}, .protocol = 1});
  ASSERT_EQ(parse(frame).kind, FrameKind::kKernel);
  frame[kIp + 22] ^= 1;
  EXPECT_DROP(parse(frame), ip_checksum);
}

TEST(Frame, EveryFlippedBitOfTheDatagramIsSeen) {
  for (const FrameSpec& spec : {FrameSpec{}, v6()}) {
    const Octets whole = build(spec);
    for (std::size_t octet = is_v6(spec) ? kUdp6 : kUdp4; octet < whole.size(); ++octet) {
      for (unsigned bit = 0; bit < 8; ++bit) {
        Octets frame = whole;
        frame[octet] ^= static_cast<std::uint8_t>(1u << bit);
        ASSERT_EQ(parse(frame).kind, FrameKind::kDrop) << octet << '.' << bit;
      }
    }
  }
}

TEST(Frame, BadUdpChecksum) {
  for (const FrameSpec& spec : {FrameSpec{}, v6()}) {
    Octets frame = build(spec);
    frame.back() ^= 1;
    EXPECT_DROP(parse(frame), udp_checksum);
    EXPECT_EQ(parse(frame, 0, {.l4_good = true}).kind, FrameKind::kUdp) << "the port has checked it";
  }
}

TEST(Frame, BadAddressInThePseudoHeader) {
  Octets frame = build(v6());
  frame[kIp + 23] ^= 1;
  EXPECT_DROP(parse(frame), udp_checksum);
}

TEST(Frame, Ipv4UdpChecksumOfZeroIsFine) {
  const Parsed parsed = parse(build({.udp_checksum = false}));
  EXPECT_EQ(parsed.kind, FrameKind::kUdp);
  EXPECT_EQ(parsed.view.udp_checksum, 0);
}

TEST(Frame, Ipv6UdpChecksumOfZeroIsNot) {
  FrameSpec spec = v6();
  spec.udp_checksum = false;
  EXPECT_DROP(parse(build(spec)), udp_checksum);
  EXPECT_DROP(parse(build(spec), 0, {.l4_good = true}), udp_checksum);
}

// A sum of 0xffff is sent as 0xffff, as 0 would mean "none".
TEST(Frame, UdpChecksumOfAllOnes) {
  bool seen = false;
  for (unsigned i = 0; i <= 0xffff && !seen; ++i) {
    FrameSpec spec = v6();
    spec.payload = {static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)};
    const Octets frame = build(spec);
    if (load_be16(&frame[kUdp6 + 6]) != 0xffff) continue;
    seen = true;
    EXPECT_EQ(parse(frame).kind, FrameKind::kUdp);
  }
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace shunt::net
