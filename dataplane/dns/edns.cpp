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

bool read_opt(std::span<const std::uint8_t> message, std::size_t offset, Edns& out) {
  if (offset > message.size() || message.size() - offset < kOptSize) return false;
  const std::uint8_t* opt = message.data() + offset;
  if (opt[0] != 0 || load_be16(opt + 1) != static_cast<std::uint16_t>(Type::kOpt)) return false;
  const std::size_t length = load_be16(opt + 9);
  const std::size_t begin = offset + kOptSize;
  if (length > message.size() - begin || begin + length > 0xffff) return false;

  bool foreign = false;
  for (std::size_t at = begin, end = begin + length; at < end;) {
    if (end - at < 4) return false;
    const std::size_t size = load_be16(message.data() + at + 2);
    if (size > end - at - 4) return false;
    foreign |= !is_hop_option(load_be16(message.data() + at));
    at += 4 + size;
  }
  // RFC 6891 section 6.1.3: the TTL field is extended RCODE, version, DO and 15 bits that mean nothing yet.
  out = {.present = true,
         .dnssec_ok = (opt[7] & 0x80) != 0,
         .foreign_options = foreign,
         .version = opt[6],
         .extended_rcode = opt[5],
         .udp_size = load_be16(opt + 3),
         .record_offset = static_cast<std::uint16_t>(offset),
         .options_offset = static_cast<std::uint16_t>(begin),
         .options_length = static_cast<std::uint16_t>(length)};
  return true;
}

}  // namespace shunt::dns
