// The way to each upstream target, as the kernel sees it: route and next hop's MAC address for pairs of
// source and target, asked and followed through rtnetlink (RFC 3549) in the mirrors' namespace. The kernel
// keeps the next hops fresh (NTF_EXT_MANAGED).
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "control/net/netns.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

struct RouteRequest {
  IpAddress source;  ///< an address of a mirror
  IpAddress target;  ///< of the same family
  friend bool operator==(const RouteRequest&, const RouteRequest&) = default;
};

/// A mirror that a route may leave through.
struct RoutePort {
  int ifindex = 0;        ///< of the mirror
  std::uint8_t port = 0;  ///< the caller's index of the port
};

/// Where packets of a request go. Without `usable` the other fields tell as much as is known.
struct Hop {
  bool usable = false;
  int ifindex = 0;        ///< of the interface that the route leaves through; 0: no route
  std::uint8_t port = 0;  ///< of the mirror with that ifindex
  IpAddress next_hop;     ///< the gateway, or the target itself where it is on the link
  MacAddress mac;         ///< of the next hop
  std::string why_not;    ///< a sentence for people, "" while usable
  friend bool operator==(const Hop&, const Hop&) = default;
};

/// Belongs to the thread that runs the io_context.
class Routes {
 public:
  /// Opens the netlink sockets inside `where`, which is needed during the call only.
  static Result<Routes> open(asio::io_context& loop, const Namespace& where);
  ~Routes();
  Routes(Routes&&) noexcept;
  Routes& operator=(Routes&&) noexcept;

  /// The mirrors there are. Routes that leave through other interfaces are not usable: no port of ours
  /// reaches them.
  void set_ports(std::vector<RoutePort> ports);

  /// Replaces the set of requests. Routes are known on return; a next hop that the kernel has not resolved
  /// yet is reported later. Next hops that no request needs any more are no longer kept fresh.
  void want(std::vector<RouteRequest> requests);
  const std::vector<RouteRequest>& wanted() const;

  /// Parallel to wanted().
  const std::vector<Hop>& hops() const;

  /// Called, some milliseconds after the kernel's events, whenever hops() differs from what it was; not from
  /// within the calls above.
  void on_change(std::function<void()> callback);

 private:
  class Impl;
  explicit Routes(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // shared with the reads and timers that wait in the loop
};

}  // namespace shunt::control
