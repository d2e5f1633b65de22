// The record of an `answer` rule: text to wire and back, through ldns.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/result.h"

namespace shunt::conf {

struct AnswerRecord {
  std::uint16_t type = 0;
  std::vector<std::uint8_t> rdata;  ///< uncompressed
};

/// Names to suggest for an unknown type.
std::span<const std::string_view> common_types();

/// "A", or "TYPE123".
std::string type_text(std::uint16_t type);
/// Whether `rdata` is what data of this type can be: read and written back it is the same, and no name in it
/// is compressed; service parameters (RFC 9460) are in order.
bool is_well_formed(std::uint16_t type, std::span<const std::uint8_t> rdata);

/// `rdata` as in a zone file; names in it are absolute, with or without a trailing dot.
Result<AnswerRecord> parse_record(std::uint16_t type, std::string_view rdata);

/// "A 192.0.2.1"; reads back as the same octets, in the generic form of RFC 3597 where no other does.
std::string record_text(std::uint16_t type, std::span<const std::uint8_t> rdata);

}  // namespace shunt::conf
