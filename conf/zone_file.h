// Zone files (RFC 1035 section 5) into zones. Records are read by ldns; what stands around them (lines,
// parentheses, comments, $ORIGIN, $TTL) here, so that every mistake has its line.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "conf/load.h"
#include "conf/zone.h"

namespace shunt::conf {

/// A zone file is at most this large, in octets.
inline constexpr std::size_t kMaxZoneFileOctets = std::size_t{1} << 30;

/// The zone in the file at `path`; null after mistakes, which go to `errors` (at most `max_errors` of them,
/// then a line that tells how many more). The file's first record is the zone's SOA, whose name is the
/// zone's; where no $ORIGIN stands before it, it must be written whole, and is the origin from there on. A
/// record without TTL has that of $TTL; without that, of the last record with one; without that, the SOA's
/// MINIMUM. $INCLUDE and $GENERATE are mistakes.
std::shared_ptr<const Zone> read_zone_file(const std::string& path, std::vector<Diagnostic>& errors,
                                           std::size_t max_errors = 50);
/// The same for text that is already here; `path` names it in diagnostics.
std::shared_ptr<const Zone> read_zone_text(std::string_view text, const std::string& path,
                                           std::vector<Diagnostic>& errors, std::size_t max_errors = 50);

}  // namespace shunt::conf
