// Which worker owns which UDP source port, and drawing from a worker's pool.
//
// A table of 65,536 entries, shared by all workers and fixed at start, names each port's owner: an answer
// that the NIC's hash leads to another worker is handed to it. Within a pool, draws are uniform (RFC 5452
// section 4.5, RFC 6056 section 3.3.1).
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "dataplane/base/random.h"

namespace shunt::state {

class PortOwners {
 public:
  static constexpr std::uint8_t kNobody = 0xff;
  /// Ports below this are never a source: they belong to services.
  static constexpr std::uint16_t kFirst = 1024;

  /// Deals the ports out in turn: every worker's pool is spread over the whole range, so that any
  /// `source_ports` range gives each its share.
  explicit PortOwners(unsigned workers);

  std::uint8_t owner(std::uint16_t port) const { return owner_[port]; }
  std::vector<std::uint16_t> pool(unsigned worker) const;

 private:
  std::array<std::uint8_t, 65536> owner_;
};

/// One worker's pool. Belongs to that worker.
class SourcePorts {
 public:
  SourcePorts(const PortOwners& owners, unsigned worker);

  /// A random port of this worker within [first, last], or 0 where it owns none there.
  std::uint16_t draw(Random& random, std::uint16_t first, std::uint16_t last) {
    if (first != first_ || last != last_) select(first, last);
    return count_ == 0 ? std::uint16_t{0} : pool_[begin_ + random.below(count_)];
  }

 private:
  void select(std::uint16_t first, std::uint16_t last);

  std::vector<std::uint16_t> pool_;  // ascending
  // The range of the last draw: nearly always the next one's too.
  std::uint16_t first_ = 0, last_ = 0;
  std::uint32_t begin_ = 0, count_ = 0;
};

}  // namespace shunt::state
