// A UDP datagram inside a frame that somebody else validates, or that is ours: what a capture looks at.
#pragma once

#include <cstdint>
#include <span>

#include "dataplane/base/address.h"

namespace shunt::net {

struct Datagram {
  IpAddress source, destination;
  std::uint16_t source_port, destination_port;
  std::span<const std::uint8_t> payload;  ///< inside the frame; cut where the frame or the packet is
};

/// True where `frame` holds a UDP datagram, or the first fragment of one, over IPv4 or IPv6 without extension
/// headers but the fragment header, with one VLAN tag at most. Reads nothing behind the frame's end; checks
/// neither addresses nor checksums.
bool find_datagram(std::span<const std::uint8_t> frame, Datagram& out);

}  // namespace shunt::net
