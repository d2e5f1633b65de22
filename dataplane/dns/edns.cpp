#include "dataplane/dns/edns.h"

namespace shunt::dns {

bool is_hop_option(std::uint16_t code) {
  switch (static_cast<OptionCode>(code)) {
    case OptionCode::kNsid:
    case OptionCode::kCookie:
    case OptionCode::kTcpKeepalive:
    case OptionCode::kPadding:
    case OptionCode::kExtendedError:
      return true;
    case OptionCode::kClientSubnet:
      return false;
  }
  return false;
}

bool read_options(std::span<const std::uint8_t> rdata, bool& foreign) {
  for (std::size_t at = 0; at < rdata.size();) {
    if (rdata.size() - at < 4) return false;
    const std::size_t size = load_be16(&rdata[at + 2]);
    if (size > rdata.size() - at - 4) return false;
    foreign |= !is_hop_option(load_be16(&rdata[at]));
    at += 4 + size;
  }
  return true;
}

}  // namespace shunt::dns
