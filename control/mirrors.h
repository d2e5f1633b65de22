// The mirrors of all ports that have one, in their namespace.
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "conf/config.h"
#include "control/net/mirror.h"
#include "control/net/netns.h"
#include "control/net/routes.h"
#include "dataplane/base/result.h"
#include "dataplane/port.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class Mirrors {
 public:
  /// Gets a frame that the kernel sends out of a port, tagged as the port wants it.
  using OnFrame = std::function<void(std::uint8_t port, std::span<const std::uint8_t> frame)>;

  static Result<Mirrors> open(asio::io_context& loop, const conf::Config& config,
                              const std::vector<Port>& ports, OnFrame on_frame);
  Mirrors(Mirrors&&) = default;

  /// A frame for the kernel, as it came from the wire.
  void write(std::uint8_t port, std::span<const std::uint8_t> frame);
  /// Moves addresses, gateways, neighbours, MTUs and VLANs to those of another configuration; after an error
  /// all is as before.
  Result<void> update(const conf::Config& from, const conf::Config& to);
  /// Carries the ports' link states over.
  void follow_links(const std::vector<Port>& ports);
  /// Removes the namespace where it was ours, after the mirrors.
  void close();

  const Namespace& where() const { return namespace_; }
  std::vector<RoutePort> route_ports() const;
  bool has(std::uint8_t port) const { return mirrors_[port].has_value(); }

 private:
  explicit Mirrors(Namespace where)
      : namespace_(std::move(where)), vlans_(std::make_shared<std::vector<std::uint16_t>>()) {}
  void set_vlans(const conf::Config& config);

  Namespace namespace_;
  std::vector<std::optional<Mirror>> mirrors_;         ///< by port
  std::shared_ptr<std::vector<std::uint16_t>> vlans_;  ///< by port; shared with what the mirrors call
  std::vector<bool> carrier_;
};

}  // namespace shunt::control
