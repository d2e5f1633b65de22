// Numbers that outlive a configuration: what a pending slot or a cached answer may hold while the snapshot
// that it came from is gone. One thread at a time (the builder's).
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "conf/config.h"
#include "control/tls_context.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"
#include "dataplane/state/cache.h"

namespace shunt::control {

class Registry {
 public:
  /// The handle of an upstream's name, for as long as the process lives: rule sets hold it.
  Result<std::uint32_t> handle(const std::string& upstream);

  /// The origin of answers from an upstream: equal for equal outbound addresses, targets, TTL bounds,
  /// protocols and TLS names, whatever the name.
  state::Origin origin(const conf::Upstream& upstream, const std::vector<IpAddress>& sources);

  /// A number that no network's routing had before. They come round after 2^32, which is more reloads of a
  /// thousand networks than one a second for a month; a cached answer remembers one for its lifetime at most.
  state::Routing next_routing() {
    if (++last_routing_ == state::kNoRouting) ++last_routing_;
    return last_routing_;
  }

  /// The entry of a target in the health array. Targets are told apart by upstream name and address. An entry
  /// is given to another target when no generation of the last two named its own.
  Result<std::uint32_t> target(std::uint64_t generation, const std::string& upstream,
                               const SocketAddress& address);

  /// What serves an endpoint's `tls`: that of an earlier generation while that is kept and the files say the
  /// same, so that a reload ends no session.
  Result<std::shared_ptr<const TlsContext>> tls(const conf::Tls& tls);

 private:
  using OriginKey = std::tuple<std::vector<IpAddress>, std::vector<SocketAddress>, std::uint32_t,
                               std::uint32_t, conf::Protocol, std::string>;
  struct TargetEntry {
    std::uint32_t id;
    std::uint64_t generation;
  };
  std::map<std::string, std::uint32_t> handles_;
  std::map<OriginKey, state::Origin> origins_;
  state::Origin next_origin_ = 1;
  state::Routing last_routing_ = state::kNoRouting;
  std::map<std::pair<std::string, SocketAddress>, TargetEntry> targets_;
  std::uint32_t next_target_ = 0;
  std::vector<std::weak_ptr<const TlsContext>> contexts_;
};

}  // namespace shunt::control
