#include "dataplane/state/source_ports.h"

#include <algorithm>

namespace shunt::state {

PortOwners::PortOwners(unsigned workers) {
  for (unsigned port = 0; port < owner_.size(); ++port) {
    owner_[port] = port < kFirst ? kNobody : static_cast<std::uint8_t>(port % workers);
  }
}

std::vector<std::uint16_t> PortOwners::pool(unsigned worker) const {
  std::vector<std::uint16_t> ports;
  for (unsigned port = 0; port < owner_.size(); ++port) {
    if (owner_[port] == worker) ports.push_back(static_cast<std::uint16_t>(port));
  }
  return ports;
}

SourcePorts::SourcePorts(const PortOwners& owners, unsigned worker) : pool_(owners.pool(worker)) {}

void SourcePorts::select(std::uint16_t first, std::uint16_t last) {
  const auto begin = std::lower_bound(pool_.begin(), pool_.end(), first);
  const auto end = std::upper_bound(begin, pool_.end(), last);
  first_ = first;
  last_ = last;
  begin_ = static_cast<std::uint32_t>(begin - pool_.begin());
  count_ = static_cast<std::uint32_t>(end - begin);
}

}  // namespace shunt::state
