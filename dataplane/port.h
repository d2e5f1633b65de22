// A DPDK port: found by PCI address or device arguments, opened with one queue pair a worker, started.
#pragma once

#include <rte_mempool.h>

#include <cstdint>
#include <string>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt {

struct PortOptions {
  std::string device;    ///< "0000:3b:00.0", or a virtual device with its arguments: "net_af_xdp0,iface=eth1"
  unsigned workers = 1;  ///< queue pairs
  rte_mempool* pool = nullptr;
};

/// An opened port. Move-only; closes the device at its end, when no worker polls it any more.
class Port {
 public:
  /// Errors say what the device can't do, and what would help.
  static Result<Port> open(const PortOptions& options);
  Port(Port&& other) noexcept;
  Port& operator=(Port&& other) noexcept;
  ~Port();

  std::uint16_t ethdev() const { return ethdev_; }
  MacAddress mac() const { return mac_; }
  const std::string& device() const { return device_; }
  /// The driver's name, "net_af_xdp".
  const std::string& driver() const { return driver_; }
  bool link_up() const;

 private:
  Port() = default;
  Result<void> start(const PortOptions& options);

  static constexpr std::uint16_t kNone = 0xffff;
  std::uint16_t ethdev_ = kNone;
  bool attached_ = false;  ///< hot-plugged here: detached at the end
  MacAddress mac_;
  std::string device_, driver_;
};

}  // namespace shunt
