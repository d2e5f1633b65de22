// Files of trusted certificates.
#pragma once

#include <string>

#include "dataplane/base/result.h"

namespace shunt::conf {

/// Reads a file of PEM certificates and checks each of them. Returns its text, so that what was checked is
/// what is used, whatever happens to the file later. Errors are sentences without the file's name. At most
/// 4 MiB.
Result<std::string> read_trust(const std::string& path);

}  // namespace shunt::conf
