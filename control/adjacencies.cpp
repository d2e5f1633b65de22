#include "control/adjacencies.h"

#include <algorithm>

namespace shunt::control {
namespace {

const conf::Port* port_of(const conf::Config& config, const IpAddress& source, std::uint8_t& index) {
  for (std::size_t i = 0; i < config.ports.size(); ++i) {
    for (const Prefix& p : config.ports[i].addresses) {
      if (p.address != source) continue;
      index = static_cast<std::uint8_t>(i);
      return &config.ports[i];
    }
  }
  return nullptr;
}

// Without a mirror there is no kernel to ask: on-link targets by their own MAC, others by the gateway's, as
// configured.
Hop fixed_hop(const conf::Port& port, std::uint8_t index, const IpAddress& target) {
  Hop hop;
  hop.port = index;
  hop.next_hop = target;
  const bool on_link = std::any_of(port.addresses.begin(), port.addresses.end(), [&](const Prefix& p) {
    return p.is_v4() == target.is_v4() && p.contains(target);
  });
  if (!on_link) {
    const auto gateway = std::find_if(port.gateways.begin(), port.gateways.end(),
                                      [&](const IpAddress& g) { return g.is_v4() == target.is_v4(); });
    if (gateway == port.gateways.end()) {
      hop.why_not = "not on the link of port \"" + port.name + "\", which has no gateway";
      return hop;
    }
    hop.next_hop = *gateway;
  }
  const auto neighbour = std::find_if(port.neighbours.begin(), port.neighbours.end(),
                                      [&](const auto& n) { return n.first == hop.next_hop; });
  if (neighbour == port.neighbours.end()) {
    hop.why_not = "port \"" + port.name + "\" has no mirror, and `neighbours` does not name " +
                  hop.next_hop.to_string();
    return hop;
  }
  hop.mac = neighbour->second;
  hop.usable = true;
  return hop;
}

}  // namespace

bool Adjacencies::all_usable() const {
  return std::all_of(states.begin(), states.end(), [](const PathState& s) { return s.usable; });
}

Adjacencies make_adjacencies(const Generation& generation, const std::vector<Hop>& hops,
                             const std::vector<Port>& ports) {
  Adjacencies result;
  const auto& paths = generation.snapshot->paths;
  for (std::size_t i = 0; i < paths.size(); ++i) {
    std::uint8_t source_port = 0;
    const conf::Port* source = port_of(generation.config, paths[i].source, source_port);
    Hop hop;
    if (source != nullptr && source->mirror.empty()) {
      hop = fixed_hop(*source, source_port, paths[i].target.address);
    } else if (i < hops.size()) {
      hop = hops[i];
    } else {
      hop.why_not = "not asked yet";
    }
    net::Adjacency adjacency;
    if (hop.usable) {
      adjacency = net::make_adjacency(paths[i].source, paths[i].target, ports[hop.port].mac(), hop.mac,
                                      hop.port, generation.config.ports[hop.port].vlan);
      adjacency.usable = true;
    }
    result.headers.push_back(adjacency);
    result.states.push_back({hop.usable, hop.port, hop.next_hop, hop.why_not});
  }
  return result;
}

}  // namespace shunt::control
