// Record types as people write them.
#pragma once

#include <cstdint>
#include <string_view>

namespace shunt::conf {

/// A type by name or as TYPE123 (RFC 3597), in any letter case; 0 where there is none such.
std::uint16_t read_type(std::string_view text);
/// Likewise, but 0 for what no data can have, and no health check can ask for: ANY, AXFR, OPT, and what else
/// is a question or of the protocol's own (RFC 6895 section 3.1).
std::uint16_t parse_type(std::string_view text);

}  // namespace shunt::conf
