#include "dataplane/net/datagram.h"

#include <gtest/gtest.h>

#include <memory>

#include "tests/unit/net/frame_builder.h"

namespace shunt::net::testing {
namespace {

/// In a copy of exactly the frame's size, so that the sanitizer sees any read beyond it.
std::optional<Octets> payload_of(const Octets& frame) {
  const auto copy = std::make_unique<std::uint8_t[]>(frame.size());
  std::copy(frame.begin(), frame.end(), copy.get());
  Datagram d;
  if (!find_datagram({copy.get(), frame.size()}, d)) return std::nullopt;
  return Octets(d.payload.begin(), d.payload.end());
}

std::vector<FrameSpec> both_families() {
  std::vector<FrameSpec> specs(2);
  specs[1] = v6();
  return specs;
}

Octets plain() {
  return build(both_families()[0]);
}

TEST(Datagram, IsFoundOverBothFamilies) {
  for (const FrameSpec& spec : both_families()) {
    const Octets frame = build(spec);
    Datagram d;
    ASSERT_TRUE(find_datagram(frame, d));
    EXPECT_EQ(d.source, *IpAddress::parse(spec.source));
    EXPECT_EQ(d.destination, *IpAddress::parse(spec.destination));
    EXPECT_EQ(payload_of(frame), spec.payload);
  }
}

TEST(Datagram, BehindATagAndBehindOptions) {
  FrameSpec tagged = both_families()[0];
  tagged.tags = {0x8100'0007};
  EXPECT_EQ(payload_of(build(tagged)), tagged.payload);
  FrameSpec options = both_families()[0];
  options.options = {1, 1, 1, 1};
  EXPECT_EQ(payload_of(build(options)), options.payload);
}

TEST(Datagram, PaddingIsNoPayload) {
  FrameSpec spec = both_families()[0];
  spec.padding = 13;
  EXPECT_EQ(payload_of(build(spec)), spec.payload);
}

TEST(Datagram, FirstFragmentsCountAndLaterOnesDoNot) {
  FrameSpec spec = both_families()[0];
  spec.payload = Octets(64, 7);
  const Octets first = first_fragment(build(spec), 16);
  EXPECT_EQ(payload_of(first), Octets(16, 7));
  Octets later = first;
  store_be16(&later[kIp + 6], 3);
  EXPECT_EQ(payload_of(later), std::nullopt);

  FrameSpec six = v6();
  six.payload = Octets(64, 7);
  six.first_extension = kProtocolFragment;
  six.extensions = {kProtocolUdp, 0, 0, 1, 0, 0, 0, 1};
  Octets frame = first_fragment(build(six), 16, kUdp6 + kFragmentSize);
  EXPECT_EQ(payload_of(frame), Octets(16, 7));
  store_be16(&frame[kIp + kIpv6Size + 2], 8);
  EXPECT_EQ(payload_of(frame), std::nullopt);
}

TEST(Datagram, OtherProtocolsAreNone) {
  for (FrameSpec spec : both_families()) {
    spec.protocol = kProtocolTcp;
    EXPECT_EQ(payload_of(build(spec)), std::nullopt);
  }
  Octets arp = plain();
  store_be16(&arp[12], kEtherArp);
  EXPECT_EQ(payload_of(arp), std::nullopt);
}

TEST(Datagram, NothingIsReadBehindTheEnd) {
  std::vector<FrameSpec> specs = both_families();
  specs.emplace_back().tags = {0x8100'0007};
  for (const FrameSpec& spec : specs) {
    const Octets whole = build(spec);
    for (std::size_t length = 0; length < whole.size(); ++length)
      EXPECT_EQ(payload_of({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)}),
                std::nullopt)
          << length;
  }
}

TEST(Datagram, LengthsThatLieAreCutOrRefused) {
  Octets frame = plain();
  store_be16(&frame[kUdp4 + 4], 60000);
  EXPECT_EQ(payload_of(frame), both_families()[0].payload);
  store_be16(&frame[kUdp4 + 4], 7);
  EXPECT_EQ(payload_of(frame), std::nullopt);
  frame = plain();
  frame[kIp] = 0x44;
  EXPECT_EQ(payload_of(frame), std::nullopt);
  frame = plain();
  store_be16(&frame[kIp + 2], 60000);
  EXPECT_EQ(payload_of(frame), std::nullopt);
}

}  // namespace
}  // namespace shunt::net::testing
