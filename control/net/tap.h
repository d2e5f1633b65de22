// A TAP interface: frames go to the kernel by writing to its descriptor, and come from it by reading.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "control/net/netns.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// The interface goes with the object. Never blocks.
class Tap {
 public:
  /// Makes `name` with `mac` in the calling thread's namespace, down, with carrier, without any offload: what
  /// the kernel sends has finished checksums and fits the MTU. An unused TAP of that name is taken over.
  /// Needs CAP_NET_ADMIN.
  static Result<Tap> open(const std::string& name, const MacAddress& mac);

  int fd() const { return fd_.get(); }
  int ifindex() const { return ifindex_; }

  enum class Read : std::uint8_t { kFrame, kNothing, kGone };
  /// Puts the next frame from the kernel into `buffer` and its length into `length`. kGone: somebody deleted
  /// the interface.
  Read read(std::span<std::uint8_t> buffer, std::size_t& length);
  bool write(std::span<const std::uint8_t> frame);
  Result<void> set_carrier(bool up);

 private:
  FileDescriptor fd_;
  int ifindex_ = 0;
};

}  // namespace shunt::control
