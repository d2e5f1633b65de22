#include "tests/unit/net/frame_builder.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "dataplane/base/bytes.h"

namespace shunt::net::testing {
namespace {

void put16(Octets& to, std::size_t value) {
  to.push_back(static_cast<std::uint8_t>(value >> 8));
  to.push_back(static_cast<std::uint8_t>(value));
}
void put(Octets& to, std::span<const std::uint8_t> what) {
  to.insert(to.end(), what.begin(), what.end());
}

// RFC 1071 word by word, to have nothing in common with checksum.h.
std::uint32_t add_words(std::uint32_t sum, std::span<const std::uint8_t> octets) {
  for (std::size_t i = 0; i < octets.size(); ++i)
    sum += i % 2 == 0 ? octets[i] * 256u : octets[i];
  return sum;
}
std::uint16_t complement(std::uint32_t sum) {
  while (sum > 0xffff)
    sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

std::span<const std::uint8_t> part(const Octets& frame, std::size_t from, std::size_t length) {
  return std::span(frame).subspan(from, length);
}

std::uint16_t udp_checksum(std::span<const std::uint8_t> addresses, std::span<const std::uint8_t> datagram) {
  const std::uint32_t start = kProtocolUdp + static_cast<std::uint32_t>(datagram.size());
  const std::uint16_t sum = complement(add_words(add_words(start, addresses), datagram));
  return sum == 0 ? 0xffff : sum;
}

Octets build_l4(const FrameSpec& spec, std::span<const std::uint8_t> addresses) {
  Octets l4;
  if (spec.protocol == kProtocolUdp) {
    put16(l4, spec.source_port);
    put16(l4, spec.destination_port);
    put16(l4, kUdpSize + spec.payload.size());
    put16(l4, 0);
    put(l4, spec.payload);
    if (spec.udp_checksum) store_be16(l4.data() + 6, udp_checksum(addresses, l4));
  } else if (spec.protocol == kProtocolTcp) {
    put16(l4, spec.source_port);
    put16(l4, spec.destination_port);
    put(l4, Octets{0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0xff, 0xff, 0, 0, 0, 0});
    put(l4, spec.payload);
  } else {
    put(l4, spec.payload);
  }
  return l4;
}

void put_ipv4(Octets& frame, const FrameSpec& spec, std::span<const std::uint8_t> addresses,
              const Octets& l4) {
  const std::size_t ip = frame.size();
  const std::size_t header = kIpv4Size + spec.options.size();
  put(frame, Octets{static_cast<std::uint8_t>(0x40 | header / 4), 0});
  put16(frame, header + l4.size());
  put(frame, Octets{0x12, 0x34, 0x40, 0, 64, spec.protocol, 0, 0});
  put(frame, addresses);
  put(frame, spec.options);
  fix_ip_checksum(frame, ip);
}

void put_ipv6(Octets& frame, const FrameSpec& spec, std::span<const std::uint8_t> addresses,
              const Octets& l4) {
  put(frame, Octets{0x60, 0, 0, 0});
  put16(frame, spec.extensions.size() + l4.size());
  put(frame, Octets{spec.extensions.empty() ? spec.protocol : spec.first_extension, 255});
  put(frame, addresses);
  put(frame, spec.extensions);
}

}  // namespace

Octets build(const FrameSpec& spec) {
  const IpAddress source = IpAddress::parse(spec.source).value();
  const IpAddress destination = IpAddress::parse(spec.destination).value();
  const bool v4 = destination.is_v4();
  Octets addresses;
  put(addresses, std::span(source.octets).subspan(v4 ? 12 : 0));
  put(addresses, std::span(destination.octets).subspan(v4 ? 12 : 0));

  Octets frame;
  put(frame, spec.to.octets);
  put(frame, spec.from.octets);
  for (const std::uint32_t tag : spec.tags) {
    put16(frame, tag >> 16);
    put16(frame, tag & 0xffff);
  }
  put16(frame, v4 ? kEtherIpv4 : kEtherIpv6);
  const Octets l4 = build_l4(spec, addresses);
  if (v4) put_ipv4(frame, spec, addresses, l4);
  if (!v4) put_ipv6(frame, spec, addresses, l4);
  put(frame, l4);
  frame.resize(frame.size() + spec.padding, 0xee);
  return frame;
}

void fix_ip_checksum(Octets& frame, std::size_t ip) {
  store_be16(frame.data() + ip + 10, 0);
  store_be16(frame.data() + ip + 10,
             complement(add_words(0, part(frame, ip, std::size_t{4} * (frame[ip] & 15)))));
}

void fix_udp_checksum(Octets& frame) {
  const bool v4 = frame[kIp] >> 4 == 4;
  const std::size_t udp = v4 ? kUdp4 : kUdp6;
  store_be16(frame.data() + udp + 6, 0);
  store_be16(frame.data() + udp + 6, udp_checksum(v4 ? part(frame, kIp + 12, 8) : part(frame, kIp + 8, 32),
                                                  part(frame, udp, load_be16(frame.data() + udp + 4))));
}

Octets first_fragment(Octets frame, std::size_t length, std::size_t udp) {
  frame.resize(udp + kUdpSize + length);
  if (frame[kIp] >> 4 == 4) {
    store_be16(&frame[kIp + 2], static_cast<std::uint16_t>(frame.size() - kIp));
    store_be16(&frame[kIp + 6], 0x2000);
    fix_ip_checksum(frame);
  } else {
    store_be16(&frame[kIp + 4], static_cast<std::uint16_t>(frame.size() - kUdp6));
  }
  return frame;
}

Parsed parse(const Octets& frame, std::uint16_t vlan, ChecksumsKnown known) {
  const auto exact = std::make_unique<std::uint8_t[]>(frame.size());
  std::copy(frame.begin(), frame.end(), exact.get());
  Parsed parsed{};
  parsed.reason = FrameDrop::kCount;
  parsed.kind = parse_frame({exact.get(), frame.size()}, {kOurMac, vlan}, known, parsed.view, parsed.reason);
  // The short way takes nothing that the long one doesn't, but for group addresses, and sees the same in it.
  FrameView plain;
  const bool is_plain = parse_plain_frame({exact.get(), frame.size()}, {kOurMac, vlan}, known, plain);
  if (is_plain && parsed.reason != FrameDrop::ip_destination) {
    EXPECT_EQ(parsed.kind, FrameKind::kUdp);
    EXPECT_TRUE(equal(plain, parsed.view));
  }
  return parsed;
}

std::string_view fate(const Parsed& parsed) {
  if (parsed.kind != FrameKind::kDrop) return "taken";
  return kFrameDropText[static_cast<std::size_t>(parsed.reason)].name;
}

}  // namespace shunt::net::testing
