// Checksums of what the stages have just written, without reading it back: a load that spans several stores
// has to wait until they have left the processor's store queue.
#pragma once

#include <cstdint>
#include <cstring>

#include "dataplane/dns/edns.h"
#include "dataplane/net/checksum.h"

namespace shunt {

/// Of a DNS header's twelve octets, read in the two pieces in which dns::store_header() writes them.
inline net::Sum dns_header_sum(const std::uint8_t* wire) {
  std::uint32_t last;
  std::memcpy(&last, wire + 8, sizeof last);
  return net::narrow(load_le64(wire)) + last;
}

/// Of the OPT record that dns::write_opt() makes of `fields`, as if it began at an even offset.
inline net::Sum opt_sum(const dns::OptFields& fields) {
  constexpr unsigned kType = static_cast<unsigned>(dns::Type::kOpt);
  const auto pair = [](unsigned high, unsigned low) {
    return net::word(static_cast<std::uint16_t>((high & 0xff) << 8 | (low & 0xff)));
  };
  // Root and upper octet of the type; then by twos, what is zero left out.
  net::Sum sum = pair(kType, fields.udp_size >> 8) + pair(fields.udp_size, fields.extended_rcode) +
                 pair(0, fields.dnssec_ok ? 0x80 : 0);
  if (fields.error == dns::ExtendedError::kNone) return sum;
  const auto error = static_cast<unsigned>(fields.error);
  constexpr unsigned kOption = static_cast<unsigned>(dns::OptionCode::kExtendedError);
  sum += pair(dns::kExtendedErrorSize, 0) + pair(kOption, 0) + pair(2, error >> 8) + pair(error, 0);
  return sum;
}

}  // namespace shunt
