// Private zones: whose they are, and what their files say.
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "conf/check.h"
#include "conf/zone.h"
#include "conf/zone_file.h"
#include "dataplane/base/limits.h"

namespace shunt::conf {
namespace {

/// One network has one zone of a name.
void check_apexes(const Config& config, const Places& places, Report& report) {
  std::map<std::pair<std::string_view, std::string_view>, std::size_t> taken;
  for (std::size_t i = 0; i < config.zones.size(); ++i) {
    const ZoneFile& file = config.zones[i];
    if (file.zone == nullptr) continue;
    const std::string apex = dns::to_text(file.zone->apex().octets());
    for (std::size_t n = 0; n < file.networks.size(); ++n) {
      const auto [other, is_new] =
          taken.try_emplace({as_text(file.zone->apex().octets()), file.networks[n]}, i);
      if (is_new || other->second == i) continue;
      report.error(places.at("zone", i, "networks", n),
                   fmt::format("[[zone]]: network {} has a zone {} already, from {} (line {})",
                               in_quotes(file.networks[n]), apex, in_quotes(config.zones[other->second].file),
                               places.at("zone", other->second, "file").line),
                   "join the files, or give each network one of them");
    }
  }
}

}  // namespace

void check_zones(const Checking& c) {
  const Names networks(c.config.networks);
  if (c.config.zones.size() > kMaxZones)
    c.report.error(
        c.config.zones[kMaxZones].position,
        fmt::format("there are {} [[zone]], at most {} are allowed", c.config.zones.size(), kMaxZones),
        "take some out");
  for (std::size_t i = 0; i < c.config.zones.size(); ++i) {
    std::set<std::string_view> seen;
    const std::vector<std::string>& names = c.config.zones[i].networks;
    for (std::size_t n = 0; n < names.size(); ++n) {
      const Position where = c.places.at("zone", i, "networks", n);
      check_reference(c, networks, names[n], "network", "[[zone]]: networks", where);
      if (!seen.insert(names[n]).second)
        c.report.error(where, fmt::format("[[zone]]: networks: {} is named twice", in_quotes(names[n])),
                       "name each network once");
    }
  }
}

void load_zones(Config& config, const Places& places, Report& report) {
  std::map<std::string_view, std::shared_ptr<const Zone>> read;
  for (std::size_t i = 0; i < config.zones.size(); ++i) {
    ZoneFile& file = config.zones[i];
    if (file.file.empty()) continue;
    if (const auto known = read.find(file.file); known != read.end()) {
      file.zone = known->second;
      continue;
    }
    std::vector<Diagnostic> errors;
    file.zone = read_zone_file(file.file, errors);
    read.emplace(file.file, file.zone);
    for (Diagnostic& error : errors) {
      if (error.hint.empty()) error.hint = "what a zone file may say is in shunt.toml(5), ZONES";
      // What concerns the file as a whole is told where it is named.
      if (error.position.line != 0) continue;
      error.message = fmt::format("[[zone]]: {}: {}", in_quotes(file.file), error.message);
      error.file = report.path();
      error.position = places.at("zone", i, "file");
    }
    report.add_errors(std::move(errors));
  }
  check_apexes(config, places, report);
}

}  // namespace shunt::conf
