// What a zone says to one name: RFC 1034 section 4.3.2 step 3, with wildcards as RFC 4592 has them, DNAME
// (RFC 6672), and DS on the parent's side of a delegation (RFC 4035 section 3.1.4.1).
#pragma once

#include <cstdint>
#include <span>

#include "conf/zone.h"
#include "dataplane/dns/name.h"

namespace shunt::control {

enum class ZoneVerdict : std::uint8_t {
  kAnswer,    ///< the records that were asked for
  kNoData,    ///< the name is there, or a wildcard in its place; what was asked for isn't
  kNxDomain,  ///< no such name
  kReferral,  ///< at or below a delegation: its NS records
  kCname,     ///< the name is another's alias
  kDname,     ///< a name above it is: so the name is an alias of one below that one's target
};

struct ZoneStep {
  ZoneVerdict verdict = ZoneVerdict::kNxDomain;
  const conf::RrSet* set = nullptr;  ///< null for kNoData, kNxDomain
  std::span<const std::uint8_t>
      owner;  ///< of the set: the name itself or, for kReferral and kDname, one above
};

/// `name` is at or below the zone's apex, and outlives the result. ANY finds one RRset (RFC 8482
/// section 4.1): the first that is no signature.
ZoneStep look_up(const conf::Zone& zone, const dns::Name& name, std::uint16_t type);

/// The last `labels` labels of `name`, in wire format.
inline std::span<const std::uint8_t> suffix_of(const dns::Name& name, unsigned labels) {
  return name.octets().subspan(name.offset[name.labels - labels]);
}

}  // namespace shunt::control
