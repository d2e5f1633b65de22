// Reads the certificates that a configuration names.
#pragma once

#include "conf/config.h"
#include "conf/load.h"
#include "conf/report.h"

namespace shunt::conf {

/// Fills in Tls::loaded of every inbound endpoint that has `tls`, and reports what is wrong with the files:
/// unreadable, no PEM, a key that belongs to another certificate; as warnings, what lets clients or people
/// down: not valid now, a key that everyone may read, no mirror to listen at.
void load_certificates(Config& config, const Places& places, Report& report);

}  // namespace shunt::conf
