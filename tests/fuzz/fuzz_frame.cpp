// Any octets as an Ethernet frame. The first octet says what the port is and has checked; with good checksums
// taken for granted the fuzzer gets to what lies behind them.
#include <algorithm>
#include <memory>

#include "dataplane/net/datagram.h"
#include "dataplane/net/frame.h"
#include "dataplane/net/headers.h"
#include "tests/fuzz/require.h"

namespace {

using namespace shunt;
using namespace shunt::net;
using shunt::testing::require;

constexpr MacAddress kOurMac{{0x02, 0, 0, 0, 0, 0x01}};

void check_ip(std::span<const std::uint8_t> frame, const FrameView& view) {
  require(view.l2_length == kEthernetSize || view.l2_length == kEthernetSize + kVlanTagSize);
  require(view.l3_length >= (view.v4 ? kIpv4Size : kIpv6Size));
  require(std::size_t{view.l2_length} + view.l3_length <= frame.size());
  require(view.v4 == view.source.is_v4() && view.v4 == view.destination.is_v4());
  require(!view.v4 || view.l3_length <= 60);
  const std::uint8_t first = view.v4 ? view.source.v4_octets()[0] : view.source.octets[0];
  require(view.v4 ? first != 0 && first != 127 && (first < 224 || first >= 240) : first != 0xff);
}

/// Whole or the first fragment of one.
void check_datagram(std::span<const std::uint8_t> frame, const FrameView& view) {
  check_ip(frame, view);
  require(!view.broadcast);
  require(view.payload_offset == view.l2_length + view.l3_length + kUdpSize);
  require(std::size_t{view.payload_offset} + view.payload_length <= frame.size());
  require(view.source_port != 0 && view.destination_port != 0);
}

void check_udp(std::span<const std::uint8_t> frame, const FrameView& view) {
  check_datagram(frame, view);
  require(view.l3_length == (view.v4 ? kIpv4Size : kIpv6Size));
  require(view.udp_checksum != 0 || view.v4);
}

void check_tcp(std::span<const std::uint8_t> frame, const FrameView& view) {
  check_ip(frame, view);
  require(!view.broadcast);
  require(std::size_t{view.l2_length} + view.l3_length + kTcpSize <= frame.size());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::uint8_t control = data[0];
  const std::size_t length = size - 1;
  const auto octets = std::make_unique<std::uint8_t[]>(length);  // ends where the frame ends
  std::copy(data + 1, data + size, octets.get());
  if ((control & 8) != 0 && length >= 6)
    std::copy(kOurMac.octets.begin(), kOurMac.octets.end(), octets.get());

  const std::span<const std::uint8_t> frame(octets.get(), length);
  const FrameRules rules{kOurMac, static_cast<std::uint16_t>((control & 4) != 0 ? 7 : 0)};
  FrameView view;
  FrameDrop reason = FrameDrop::kCount;
  const FrameKind kind = parse_frame(frame, rules, {(control & 1) != 0, (control & 2) != 0}, view, reason);
  // The short way takes nothing that the long one doesn't take, and sees the same in it.
  FrameView plain;
  if (parse_plain_frame(frame, rules, {(control & 1) != 0, (control & 2) != 0}, plain)) {
    const bool group = plain.destination.v4_octets()[0] >= 224;
    require(kind == FrameKind::kUdp || (group && reason == FrameDrop::ip_destination));
    require(kind != FrameKind::kUdp || equal(plain, view));
  }
  require((kind == FrameKind::kDrop) == (reason != FrameDrop::kCount));
  if (kind == FrameKind::kUdp) check_udp(frame, view);
  if (kind == FrameKind::kUdpFragment) check_datagram(frame, view);
  if (kind == FrameKind::kTcp) check_tcp(frame, view);
  if (kind == FrameKind::kKernel) check_ip(frame, view);
  // A capture sees the same datagram.
  Datagram datagram;
  const bool found = find_datagram(frame, datagram);
  if (found && !datagram.payload.empty()) {
    require(datagram.payload.data() >= frame.data());
    require(datagram.payload.data() + datagram.payload.size() <= frame.data() + frame.size());
  }
  if (kind == FrameKind::kUdp) {
    require(found && datagram.source == view.source && datagram.destination == view.destination);
    require(datagram.payload.size() == view.payload_length);
    require(datagram.payload.data() == frame.data() + view.payload_offset);
  }
  // What is good with checksums verified is good when the port vouches for them.
  if (kind == FrameKind::kUdp) {
    FrameView again;
    require(parse_frame(frame, rules, {true, true}, again, reason) == kind);
    require(again.payload_offset == view.payload_offset && again.payload_length == view.payload_length);
  }
  return 0;
}
