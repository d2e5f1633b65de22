// The next hops that shunt sends through, in the kernel's neighbour tables (ARP, RFC 826; neighbour
// discovery, RFC 4861): kept fresh by the kernel, and followed.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "control/net/netlink.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

struct NextHop {
  int ifindex = 0;
  IpAddress address;
  friend auto operator<=>(const NextHop&, const NextHop&) = default;
};

/// What the kernel knows of a next hop.
struct Neighbour {
  std::uint16_t state = 0;  ///< NUD_…; 0: no entry
  bool managed = false;     ///< the kernel resolves it and keeps it fresh by itself
  MacAddress mac;           ///< zero where not known

  /// The MAC address may be sent to: confirmed, or not refuted yet.
  bool usable() const;
  friend bool operator==(const Neighbour&, const Neighbour&) = default;
};

/// Shares the netlink socket for requests with its owner, and its thread.
class Neighbours {
 public:
  /// `managed` false: as on kernels before 5.16, which have no NTF_EXT_MANAGED; refresh() does that work
  /// then.
  explicit Neighbours(bool managed = true) : managed_(managed) {}

  /// Replaces the set of next hops to be kept. Those that are no longer in it are left to the kernel's
  /// garbage collection.
  void keep(Netlink& netlink, std::set<NextHop> next_hops);
  /// nullptr for one that is not kept.
  const Neighbour* find(const NextHop& next_hop) const;

  /// Takes RTM_NEWNEIGH and RTM_DELNEIGH; true if a next hop's usability or MAC address changed, or its entry
  /// was lost.
  bool handle(const nlmsghdr& message);
  /// Reads everything again, after events were lost.
  void resync(Netlink& netlink);
  /// Makes entries again that somebody deleted.
  void repair(Netlink& netlink);
  /// Every few seconds: asks for what the kernel does not refresh by itself.
  void refresh(Netlink& netlink);

 private:
  void read_all(Netlink& netlink);
  void start(Netlink& netlink, const NextHop& next_hop, Neighbour& neighbour);
  void stop(Netlink& netlink, const NextHop& next_hop);

  bool managed_;
  bool lost_ = false;  ///< an entry was deleted since the last repair()
  std::map<NextHop, Neighbour> kept_;
};

}  // namespace shunt::control
