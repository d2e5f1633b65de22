// What must hold between the parts of a configuration: names that are referred to exist, addresses belong to
// ports, nothing is there twice.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "conf/config.h"
#include "conf/load.h"
#include "conf/report.h"

namespace shunt::conf {

/// What all checks read and write.
struct Checking {
  const Config& config;
  const Places& places;
  Report& report;
};

/// Everything below.
void check(const Checking& c, const LoadOptions& options, Loaded& loaded);

void check_dataplane(const Checking& c);
/// Ports, their addresses, gateways, neighbours and mirrors.
void check_ports(const Checking& c);
/// Inbound and outbound endpoints.
void check_endpoints(const Checking& c);
void check_upstreams(const Checking& c);
void check_networks(const Checking& c);
/// Zones, their files aside.
void check_zones(const Checking& c);
/// Builds every rule set that isn't known, into `loaded`.
void check_rules(const Checking& c, const LoadOptions& options, Loaded& loaded);
/// Warns of rules that are allowed and probably not meant; after the zones were read.
void check_meaning(const Checking& c, const BuiltRuleSets& built);

/// Reads the zone files into `config`, whose names were checked; a file that several zones name is read once.
void load_zones(Config& config, const Places& places, Report& report);

/// The index of the port that has `address`, or -1.
int port_of(const Config& config, const IpAddress& address);

/// The names of one kind of table, by which others refer to it.
class Names {
 public:
  template <typename T>
  explicit Names(const std::vector<T>& items) {
    for (const T& item : items)
      if (!item.name.empty() && index_.try_emplace(item.name, index_.size()).second)
        list_.push_back(item.name);
  }
  bool contains(std::string_view name) const { return index_.contains(name); }
  const std::vector<std::string_view>& list() const { return list_; }

 private:
  std::unordered_map<std::string_view, std::size_t> index_;
  std::vector<std::string_view> list_;
};

/// `[[kind]] "name"`, as in the reader's messages.
inline std::string title(std::string_view kind, const std::string& name) {
  return name.empty() ? fmt::format("[[{}]]", kind) : fmt::format("[[{}]] {}", kind, in_quotes(name));
}

/// Reports `name` where `names` doesn't have it. `what` is what is looked for in words: "rule set".
void check_reference(const Checking& c, const Names& names, std::string_view name, std::string_view what,
                     const std::string& label, Position where);

}  // namespace shunt::conf
