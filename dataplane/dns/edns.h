// EDNS(0), RFC 6891: reading the OPT record of a query, writing one of our own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "dataplane/dns/wire.h"

namespace shunt::dns {

/// What a client's or an upstream's OPT record said.
struct Edns {
  bool present = false;
  bool dnssec_ok = false;
  /// Options other than those between two hops (NSID, COOKIE, edns-tcp-keepalive, PADDING, extended error):
  /// such a question is neither shared nor cached, and its options travel on.
  bool foreign_options = false;
  std::uint8_t version = 0;
  std::uint8_t extended_rcode = 0;
  std::uint16_t udp_size = 0;        ///< as sent; values below 512 mean 512
  std::uint16_t record_offset = 0;   ///< of the OPT record in the message
  std::uint16_t options_offset = 0;  ///< of its RDATA in the message
  std::uint16_t options_length = 0;
};

inline constexpr std::size_t kOptSize = 11;           ///< an OPT record without options
inline constexpr std::size_t kExtendedErrorSize = 6;  ///< an EDE option without text

/// An OPT record's RDATA: false where an option runs past its end; sets `foreign` where one is (Edns).
bool read_options(std::span<const std::uint8_t> rdata, bool& foreign);

/// Reads the OPT record whose owner (the root) is at `offset` of `message`. False, and `out` untouched, where
/// there is none or it is malformed: an option that runs past the RDATA, an RDATA that runs past the message,
/// an owner other than the root, another type. What an option says is not looked at.
inline bool read_opt(std::span<const std::uint8_t> message, std::size_t offset, Edns& out) {
  if (offset > message.size() || message.size() - offset < kOptSize) return false;
  const std::uint8_t* const opt = message.data() + offset;
  if (opt[0] != 0 || load_be16(opt + 1) != static_cast<std::uint16_t>(Type::kOpt)) return false;
  const std::size_t length = load_be16(opt + 9);
  const std::size_t begin = offset + kOptSize;
  if (length > message.size() - begin || begin + length > 0xffff) return false;
  bool foreign = false;
  if (length != 0 && !read_options(message.subspan(begin, length), foreign)) return false;
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

struct OptFields {
  std::uint16_t udp_size;
  bool dnssec_ok;
  std::uint8_t extended_rcode = 0;  ///< upper eight bits of the RCODE
  ExtendedError error = ExtendedError::kNone;
};
/// Writes an OPT record of ours; `to` has kOptSize + kExtendedErrorSize octets. Returns the octets written.
inline std::size_t write_opt(std::uint8_t* to, const OptFields& fields) {
  const bool explained = fields.error != ExtendedError::kNone;
  // Owner (the root), type, size, extended RCODE, version, and the upper half of the flags, in one store.
  store_be64(to, std::uint64_t{static_cast<std::uint16_t>(Type::kOpt)} << 40 |
                     std::uint64_t{fields.udp_size} << 24 | std::uint64_t{fields.extended_rcode} << 16 |
                     (fields.dnssec_ok ? 0x80u : 0u));
  to[8] = 0;
  store_be16(to + 9, explained ? kExtendedErrorSize : 0);
  if (!explained) return kOptSize;
  store_be16(to + 11, static_cast<std::uint16_t>(OptionCode::kExtendedError));
  store_be16(to + 13, 2);
  store_be16(to + 15, static_cast<std::uint16_t>(fields.error));
  return kOptSize + kExtendedErrorSize;
}

/// True for options that concern two hops only and are never passed on.
bool is_hop_option(std::uint16_t code);

}  // namespace shunt::dns
