// Files of trusted certificates.
#pragma once

#include <string>

#include "dataplane/base/result.h"

namespace shunt::conf {

/// A file of them is at most this large: there are many authorities.
inline constexpr std::size_t kMaxTrustOctets = 4 << 20;

/// Reads a file of PEM certificates and checks each of them. Returns its text, so that what was checked is
/// what is used, whatever happens to the file later. Errors are sentences without the file's name.
Result<std::string> read_trust(const std::string& path);

}  // namespace shunt::conf
