#include "control/mirrors.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "dataplane/base/bytes.h"

namespace shunt::control {
namespace {

constexpr std::size_t kMacs = 12, kTag = 4, kLargestFrame = 2048;
constexpr std::uint16_t kTagProtocol = 0x8100;

InterfaceSettings settings_of(const conf::Port& port) {
  return {port.mtu, port.addresses, port.gateways, port.neighbours};
}

}  // namespace

Result<Mirrors> Mirrors::open(asio::io_context& loop, const conf::Config& config,
                              const std::vector<Port>& ports, OnFrame on_frame) {
  const bool any = std::any_of(config.ports.begin(), config.ports.end(),
                               [](const conf::Port& p) { return !p.mirror.empty(); });
  // Without a mirror no namespace is entered, so that no privilege is needed either.
  auto where = Namespace::open(any ? config.mirror_namespace : "");
  if (!where) return Failure(where.error());
  Mirrors mirrors(std::move(*where));
  mirrors.set_vlans(config);
  for (std::uint8_t i = 0; i < config.ports.size(); ++i) {
    const conf::Port& port = config.ports[i];
    mirrors.carrier_.push_back(true);
    mirrors.mirrors_.emplace_back();
    if (port.mirror.empty()) continue;
    auto mirror = Mirror::open(loop, mirrors.namespace_, port.mirror, ports[i].mac(), settings_of(port),
                               [on_frame, i, vlans = mirrors.vlans_](std::span<const std::uint8_t> frame) {
                                 const std::uint16_t vlan = (*vlans)[i];
                                 if (vlan == 0 || frame.size() < kMacs) return on_frame(i, frame);
                                 // Tags are inserted here: an offload would make drivers leave their vector
                                 // path.
                                 std::array<std::uint8_t, kLargestFrame> tagged;
                                 if (frame.size() + kTag > tagged.size()) return;
                                 std::memcpy(tagged.data(), frame.data(), kMacs);
                                 store_be16(&tagged[kMacs], kTagProtocol);
                                 store_be16(&tagged[kMacs + 2], vlan);
                                 std::memcpy(&tagged[kMacs + kTag], &frame[kMacs], frame.size() - kMacs);
                                 on_frame(i, {tagged.data(), frame.size() + kTag});
                               });
    if (!mirror) return Failure("mirror of port \"" + port.name + "\": " + mirror.error());
    mirrors.mirrors_.back().emplace(std::move(*mirror));
  }
  return mirrors;
}

void Mirrors::write(std::uint8_t port, std::span<const std::uint8_t> frame) {
  if (port >= mirrors_.size() || !mirrors_[port]) return;
  if ((*vlans_)[port] == 0) {
    mirrors_[port]->write(frame);
    return;
  }
  std::array<std::uint8_t, kLargestFrame> plain;
  if (frame.size() < kMacs + kTag || frame.size() - kTag > plain.size()) return;
  std::memcpy(plain.data(), frame.data(), kMacs);
  std::memcpy(&plain[kMacs], &frame[kMacs + kTag], frame.size() - kMacs - kTag);
  mirrors_[port]->write({plain.data(), frame.size() - kTag});
}

Result<void> Mirrors::update(const conf::Config& from, const conf::Config& to) {
  for (std::size_t i = 0; i < mirrors_.size(); ++i) {
    if (!mirrors_[i]) continue;
    auto updated = mirrors_[i]->update(settings_of(to.ports[i]));
    if (updated) continue;
    for (std::size_t j = 0; j < i; ++j) {
      if (mirrors_[j]) static_cast<void>(mirrors_[j]->update(settings_of(from.ports[j])));
    }
    return Failure("mirror of port \"" + to.ports[i].name + "\": " + updated.error());
  }
  set_vlans(to);
  return {};
}

void Mirrors::set_vlans(const conf::Config& config) {
  vlans_->clear();
  for (const conf::Port& port : config.ports)
    vlans_->push_back(port.vlan);
}

void Mirrors::follow_links(const std::vector<Port>& ports) {
  for (std::size_t i = 0; i < mirrors_.size(); ++i) {
    if (!mirrors_[i]) continue;
    const bool up = ports[i].link_up();
    if (up == carrier_[i]) continue;
    carrier_[i] = up;
    spdlog::warn("port device {}: link {}", ports[i].device(), up ? "up" : "down");
    if (auto set = mirrors_[i]->set_carrier(up); !set) spdlog::error("{}", set.error());
  }
}

void Mirrors::close() {
  mirrors_.clear();
  if (auto removed = namespace_.remove(); !removed) spdlog::warn("{}", removed.error());
}

std::vector<RoutePort> Mirrors::route_ports() const {
  std::vector<RoutePort> ports;
  for (std::uint8_t i = 0; i < mirrors_.size(); ++i) {
    if (mirrors_[i]) ports.push_back({mirrors_[i]->ifindex(), i});
  }
  return ports;
}

}  // namespace shunt::control
