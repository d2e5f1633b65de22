// The mirror of a port: a TAP interface with the port's MAC and addresses, on which the kernel plays the slow
// path's network stack (ARP, neighbour discovery, ICMP, TCP). What the dataplane doesn't keep is written to
// it; what the kernel sends comes back out.
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "control/net/interface.h"
#include "control/net/netns.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// Frames through a mirror, since it was made.
struct MirrorStats {
  std::uint64_t to_kernel = 0;          ///< written
  std::uint64_t to_kernel_dropped = 0;  ///< refused by the kernel: too short, no buffer, interface taken down
  std::uint64_t from_kernel = 0;        ///< handed to the callback
  bool gone = false;                    ///< somebody deleted the interface: nothing passes any more
};

/// Belongs to the thread that runs the io_context. The interface goes with the object, and with the process.
class Mirror {
 public:
  /// Gets each frame that the kernel sends, without padding and checksum (FCS), checksums inside finished.
  /// The octets are valid during the call only.
  using OnFrame = std::function<void(std::span<const std::uint8_t> frame)>;

  /// Makes the interface `name` with `mac` (at most 15 characters; an unused TAP of that name, made for this
  /// user beforehand, is taken over), gives it `settings` and brings it up, with carrier. An error leaves
  /// nothing behind.
  static Result<Mirror> open(asio::io_context& loop, const Namespace& where, const std::string& name,
                             const MacAddress& mac, const InterfaceSettings& settings, OnFrame on_frame);
  ~Mirror();
  Mirror(Mirror&&) noexcept;
  Mirror& operator=(Mirror&&) noexcept;

  const std::string& name() const;
  int ifindex() const;

  /// A frame for the kernel, with its Ethernet header and finished or to be verified checksums. Never blocks;
  /// false (and counted) if the kernel does not take it.
  bool write(std::span<const std::uint8_t> frame);

  /// The mirror's carrier follows the port's link.
  Result<void> set_carrier(bool up);

  /// On reload: adds what is new, then removes what is gone; what stays is not touched. After an error all is
  /// as before. Addresses and routes that others put on the interface are left alone.
  Result<void> update(const InterfaceSettings& settings);

  const MirrorStats& stats() const;

 private:
  class Impl;
  explicit Mirror(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;  // shared with the read that waits in the loop
};

}  // namespace shunt::control
