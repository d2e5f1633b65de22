// From the parsed file to a Config: one function per table, in tables.cpp.
#pragma once

#include <toml++/toml.h>

#include "conf/config.h"
#include "conf/report.h"

namespace shunt::conf {

/// Reads every table of `root` into `config`. Mistakes go to `report`; what stands right is taken all the
/// same, so that the checks between the parts can go on. `places` learns where each value stands.
void read_tables(const toml::table& root, Report& report, Places& places, Config& config);

}  // namespace shunt::conf
