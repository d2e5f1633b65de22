#include "dataplane/net/checksum.h"

namespace shunt::net {

Sum pseudo_sum(const IpAddress& source, const IpAddress& destination, bool v4, std::uint8_t protocol) {
  const Sum sum = word(protocol);
  if (v4) return add_octets(add_octets(sum, source.v4_octets(), 4), destination.v4_octets(), 4);
  return add_octets(add_octets(sum, source.octets.data(), 16), destination.octets.data(), 16);
}

}  // namespace shunt::net
