// Fragments, options, extension headers, addresses and ports.
#include <gtest/gtest.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "dataplane/base/bytes.h"
#include "dataplane/net/frame.h"
#include "tests/unit/net/frame_builder.h"

namespace shunt::net {
namespace {

using testing::build;
using testing::fate;
using testing::first_fragment;
using testing::fix_ip_checksum;
using testing::fix_udp_checksum;
using testing::FrameSpec;
using testing::kBroadcast;
using testing::kIp;
using testing::kUdp4;
using testing::kUdp6;
using testing::Octets;
using testing::parse;
using testing::Parsed;
using testing::v6;

// Fragments, options, extension headers.

TEST(Frame, Ipv4Fragments) {
  for (const std::uint8_t protocol : {kProtocolUdp, kProtocolTcp, std::uint8_t{1}}) {
    for (const int field :
         {0x2000, 0x0001, 0x1fff, 0x6000, 0x20b9}) {  // of a datagram that has all its octets
      Octets frame = build({.protocol = protocol});
      store_be16(&frame[kIp + 6], static_cast<std::uint16_t>(field));
      fix_ip_checksum(frame);
      EXPECT_DROP(parse(frame), ip_fragment);
    }
  }
}

void expect_first_fragment(const Parsed& parsed, std::size_t payload) {
  ASSERT_EQ(parsed.kind, FrameKind::kUdpFragment) << fate(parsed);
  EXPECT_EQ(parsed.view.source_port, 40000);
  EXPECT_EQ(parsed.view.destination_port, 53);
  EXPECT_EQ(parsed.view.payload_offset, payload);
  EXPECT_EQ(parsed.view.payload_length, 4);
  EXPECT_EQ(parsed.view.udp_checksum, 0);
}

TEST(Frame, FirstFragmentOfADatagram) {
  expect_first_fragment(parse(first_fragment(build({}), 4)), kUdp4 + kUdpSize);
  Octets padded = first_fragment(build({}), 4);
  padded.resize(padded.size() + 9);
  expect_first_fragment(parse(padded), kUdp4 + kUdpSize);
  EXPECT_DROP(parse(first_fragment(build({.destination_port = 0}), 4)), udp_port_zero);
  EXPECT_DROP(parse(first_fragment(build({.options = {1, 1, 1, 0}}), 4, kUdp4 + 4)), ip_fragment);
  EXPECT_DROP(parse(first_fragment(build({.source = "224.0.0.1"}), 4)), ip_source);
  EXPECT_DROP(parse(first_fragment(build({.to = kBroadcast}), 4)), ip_destination);
}

TEST(Frame, DontFragmentIsNoFragment) {
  for (const int field : {0x0000, 0x4000, 0x8000}) {
    Octets frame = build({});
    store_be16(&frame[kIp + 6], static_cast<std::uint16_t>(field));
    fix_ip_checksum(frame);
    EXPECT_EQ(parse(frame).kind, FrameKind::kUdp);
  }
}

FrameSpec with_extension(std::uint8_t first, std::uint8_t protocol, Octets extension) {
  FrameSpec spec = v6();
  spec.first_extension = first;
  spec.protocol = protocol;
  spec.extensions = std::move(extension);
  return spec;
}
Octets extension(std::uint8_t next) {
  return {next, 0, 1, 4, 0, 0, 0, 0};
}

TEST(Frame, Ipv6Fragments) {
  EXPECT_DROP(parse(build(with_extension(kProtocolFragment, kProtocolUdp, {17, 0, 0, 1, 0, 0, 0, 9}))),
              ip_fragment);
  EXPECT_DROP(parse(build(with_extension(kProtocolFragment, kProtocolTcp, {6, 0, 0, 0, 0, 0, 0, 9}))),
              ip_fragment);
  Octets chain = extension(kProtocolFragment);
  chain.insert(chain.end(), {58, 0, 0, 9, 0, 0, 0, 9});
  EXPECT_DROP(parse(build(with_extension(kProtocolHopByHop, kProtocolIcmp6, chain))), ip_fragment);
}

TEST(Frame, FirstFragmentOfADatagramOverIpv6) {
  constexpr std::size_t kUdp = kUdp6 + kFragmentSize;
  const auto fragment = [](Octets header, std::size_t length = 4) {
    return first_fragment(build(with_extension(kProtocolFragment, kProtocolUdp, std::move(header))), length,
                          kUdp);
  };
  const Octets first = {17, 0, 0, 1, 0, 0, 0, 9}, with_reserved_bits = {17, 0, 0, 7, 0, 0, 0, 9};
  expect_first_fragment(parse(fragment(first)), kUdp + kUdpSize);
  expect_first_fragment(parse(fragment(with_reserved_bits)), kUdp + kUdpSize);
  EXPECT_DROP(parse(fragment({17, 0, 0, 0, 0, 0, 0, 9}, 5)), ip_fragment) << "whole";
  EXPECT_DROP(parse(fragment({17, 0, 0, 9, 0, 0, 0, 9})), ip_fragment) << "a later one";
  EXPECT_DROP(parse(fragment({6, 0, 0, 1, 0, 0, 0, 9})), ip_fragment) << "TCP";
  Octets chain = extension(kProtocolFragment);
  chain.insert(chain.end(), first.begin(), first.end());
  EXPECT_DROP(
      parse(first_fragment(build(with_extension(kProtocolHopByHop, kProtocolUdp, chain)), 4, kUdp + 8)),
      ip_fragment);
  Octets cut = fragment(first, 0);
  while (cut.size() > kUdp6) {
    cut.pop_back();
    store_be16(&cut[kIp + 4], static_cast<std::uint16_t>(cut.size() - kUdp6));
    EXPECT_DROP(parse(cut), ip_fragment) << cut.size();
  }
}

TEST(Frame, UdpBehindIpv4Options) {
  EXPECT_DROP(parse(build({.options = {1, 1, 1, 0}})), ip_options);
  EXPECT_DROP(parse(build({.options = Octets(40, 1)})), ip_options);
}

TEST(Frame, OthersBehindIpv4OptionsAreTheKernels) {
  EXPECT_EQ(parse(build({.options = {1, 1, 1, 0}, .protocol = 1})).kind, FrameKind::kKernel);
  const Parsed parsed = parse(build({.options = Octets(40, 1), .protocol = kProtocolTcp}));
  EXPECT_EQ(parsed.kind, FrameKind::kTcp);
  EXPECT_EQ(parsed.view.l3_length, 60);
  EXPECT_EQ(parsed.view.destination_port, 53);
}

TEST(Frame, UdpBehindIpv6ExtensionHeaders) {
  for (const std::uint8_t first :
       {kProtocolHopByHop, kProtocolRouting, kProtocolDestination, kProtocolMobility}) {
    EXPECT_DROP(parse(build(with_extension(first, kProtocolUdp, extension(17)))), ip_extension);
  }
}

TEST(Frame, ExtensionHeaderBeyondThePacket) {
  Octets long_one = extension(58);
  long_one[1] = 200;
  EXPECT_DROP(parse(build(with_extension(kProtocolDestination, kProtocolIcmp6, long_one))), ip_extension);
  Octets frame = build(with_extension(kProtocolHopByHop, kProtocolIcmp6, extension(58)));
  store_be16(&frame[kIp + 4], 7);
  frame.resize(kUdp6 + 7);
  EXPECT_DROP(parse(frame), ip_extension);
  store_be16(&frame[kIp + 4], 0);
  EXPECT_DROP(parse(frame), ip_extension);
}

Octets chain_of(unsigned headers) {
  Octets chain;
  for (unsigned i = 1; i <= headers; ++i) {
    const Octets one = extension(i < headers ? kProtocolDestination : kProtocolIcmp6);
    chain.insert(chain.end(), one.begin(), one.end());
  }
  return chain;
}

TEST(Frame, EndlessExtensionHeaders) {
  EXPECT_EQ(parse(build(with_extension(kProtocolDestination, kProtocolIcmp6, chain_of(3)))).kind,
            FrameKind::kKernel);
  EXPECT_DROP(parse(build(with_extension(kProtocolDestination, kProtocolIcmp6, chain_of(100)))),
              ip_extension);
}

TEST(Frame, NothingBehindTheHeaders) {
  FrameSpec spec = v6();
  spec.protocol = kProtocolNone;
  EXPECT_DROP(parse(build(spec)), ip_extension);
}

TEST(Frame, OthersBehindExtensionHeadersAreTheKernels) {
  // A report of multicast listeners (MLD, RFC 3810) always stands behind a hop-by-hop header.
  FrameSpec report = with_extension(kProtocolHopByHop, kProtocolIcmp6, {58, 0, 5, 2, 0, 0, 1, 0});
  report.to = {{0x33, 0x33, 0, 0, 0, 0x16}};
  report.source = "::";
  report.destination = "ff02::16";
  report.payload = Octets(28, 0);
  report.payload[0] = 143;
  EXPECT_EQ(parse(build(report)).kind, FrameKind::kKernel);

  const Parsed tcp = parse(build(with_extension(kProtocolDestination, kProtocolTcp, extension(6))));
  EXPECT_EQ(tcp.kind, FrameKind::kTcp);
  EXPECT_EQ(tcp.view.l3_length, 48);
  EXPECT_EQ(tcp.view.destination_port, 53);

  // Authentication headers count in words of four octets.
  Octets authenticated(12, 0);
  authenticated[0] = 58;
  authenticated[1] = 1;
  FrameSpec spec = with_extension(kProtocolAuthentication, kProtocolIcmp6, authenticated);
  spec.payload = {128, 0, 0, 0};
  const Parsed echo = parse(build(spec));
  EXPECT_EQ(echo.kind, FrameKind::kKernel);
  EXPECT_EQ(echo.view.l3_length, 52);
}

// Addresses and ports.

TEST(Frame, SourcesThatNobodyCanAnswerTo) {
  for (const std::string_view source : {"255.255.255.255", "224.0.0.1", "239.255.255.255", "0.0.0.0",
                                        "0.1.2.3", "127.0.0.1", "127.255.0.1"}) {
    for (const std::uint8_t protocol : {kProtocolUdp, kProtocolTcp, std::uint8_t{1}}) {
      EXPECT_DROP(parse(build({.source = source, .protocol = protocol})), ip_source) << source;
    }
  }
  for (const std::string_view source : {"ff02::1", "ff0e::1234", "::1", "::"}) {
    FrameSpec spec = v6();
    spec.source = source;
    EXPECT_DROP(parse(build(spec)), ip_source) << source;
    spec.protocol = kProtocolTcp;
    EXPECT_DROP(parse(build(spec)), ip_source) << source;
  }
}

TEST(Frame, SourcesBesideThoseAreTaken) {
  for (const std::string_view source :
       {"1.0.0.0", "126.255.255.255", "128.0.0.0", "223.255.255.255", "240.0.0.1"}) {
    EXPECT_EQ(parse(build({.source = source})).kind, FrameKind::kUdp) << source;
  }
  for (const std::string_view source : {"::2", "fe80::1", "2001:db8::1", "64:ff9b::a00:1"}) {
    FrameSpec spec = v6();
    spec.source = source;
    EXPECT_EQ(parse(build(spec)).kind, FrameKind::kUdp) << source;
  }
}

TEST(Frame, Ipv4MappedAddressesInIpv6) {
  const Octets mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1};
  Octets frame = build(v6());
  std::copy(mapped.begin(), mapped.end(), frame.begin() + kIp + 8);
  fix_udp_checksum(frame);
  EXPECT_DROP(parse(frame), ip_source);
  frame = build(v6());
  std::copy(mapped.begin(), mapped.end(), frame.begin() + kIp + 24);
  fix_udp_checksum(frame);
  EXPECT_DROP(parse(frame), ip_destination);
}

TEST(Frame, PortZero) {
  for (FrameSpec spec : {FrameSpec{}, v6()}) {
    spec.source_port = 0;
    EXPECT_DROP(parse(build(spec)), udp_port_zero);
    spec.source_port = 40000;
    spec.destination_port = 0;
    EXPECT_DROP(parse(build(spec)), udp_port_zero);
  }
}

TEST(Frame, UdpToGroups) {
  EXPECT_DROP(parse(build({.to = kBroadcast, .destination = "255.255.255.255"})), ip_destination);
  EXPECT_DROP(parse(build({.to = kBroadcast})), ip_destination) << "a group's MAC with our address";
  EXPECT_DROP(parse(build({.destination = "224.0.0.251"})), ip_destination);
  EXPECT_DROP(parse(build({.destination = "255.255.255.255"})), ip_destination);
  FrameSpec spec = v6();
  spec.destination = "ff02::fb";
  EXPECT_DROP(parse(build(spec)), ip_destination);
  spec.to = {{0x33, 0x33, 0, 0, 0, 0xfb}};
  EXPECT_DROP(parse(build(spec)), ip_destination);
}

TEST(Frame, TcpToGroups) {
  EXPECT_DROP(parse(build({.to = kBroadcast, .protocol = kProtocolTcp})), ip_destination);
  EXPECT_DROP(parse(build({.destination = "224.0.0.1", .protocol = kProtocolTcp})), ip_destination);
  FrameSpec spec = v6();
  spec.destination = "ff02::1";
  spec.protocol = kProtocolTcp;
  EXPECT_DROP(parse(build(spec)), ip_destination);
}

}  // namespace
}  // namespace shunt::net
