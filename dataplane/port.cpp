#include "dataplane/port.h"

#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_ethdev.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace shunt {
namespace {

constexpr std::uint16_t kDescriptors = 1024;

std::string device_name(const std::string& device) {
  return device.substr(0, device.find(','));
}

Failure failed(const std::string& device, const std::string& what, int error) {
  return Failure("port device \"" + device + "\": " + what + ": " + rte_strerror(error < 0 ? -error : error));
}

// What helps when a device of this kind doesn't come up.
std::string advice(const std::string& device) {
  if (device.starts_with("net_af_xdp"))
    return " (does the interface exist here, and does it have as many queues as there are workers?)";
  if (device.starts_with("net_af_packet")) return " (does the interface exist here, and is it up?)";
  if (device.starts_with("net_memif"))
    return " (a stale socket file of a process that was killed must be removed)";
  if (device.starts_with("net_")) return "";
  return " (is the device bound to vfio-pci? see dpdk-devbind.py --status)";
}

}  // namespace

Result<Port> Port::open(const PortOptions& options) {
  Port port;
  port.device_ = options.device;
  const std::string name = device_name(options.device);
  if (rte_eth_dev_get_port_by_name(name.c_str(), &port.ethdev_) != 0) {
    if (const int error = rte_dev_probe(options.device.c_str()); error != 0) {
      return failed(options.device, "cannot be opened" + advice(options.device), error);
    }
    port.attached_ = true;
    if (rte_eth_dev_get_port_by_name(name.c_str(), &port.ethdev_) != 0) {
      port.ethdev_ = kNone;
      return failed(options.device, "is no network device", ENODEV);
    }
  }
  if (auto started = port.start(options); !started) return Failure(started.error());
  return port;
}

Result<void> Port::start(const PortOptions& options) {
  rte_eth_dev_info info{};
  if (const int error = rte_eth_dev_info_get(ethdev_, &info); error != 0)
    return failed(device_, "gives no information", error);
  driver_ = info.driver_name;
  const std::uint16_t most = std::min(info.max_rx_queues, info.max_tx_queues);
  if (most < options.workers) {
    return Failure("port device \"" + device_ + "\": has " + std::to_string(most) +
                   " queue pair(s), but there are " + std::to_string(options.workers) +
                   " workers, each of which needs one");
  }
  rte_eth_conf conf{};
  if (options.workers > 1 && info.flow_type_rss_offloads != 0) {
    conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf.rx_adv_conf.rss_conf.rss_hf =
        (RTE_ETH_RSS_IP | RTE_ETH_RSS_UDP | RTE_ETH_RSS_TCP) & info.flow_type_rss_offloads;
  }
  constexpr std::uint64_t kChecksums = RTE_ETH_RX_OFFLOAD_IPV4_CKSUM | RTE_ETH_RX_OFFLOAD_UDP_CKSUM;
  conf.rxmode.offloads = kChecksums & info.rx_offload_capa;
  const auto queues = static_cast<std::uint16_t>(options.workers);
  if (const int error = rte_eth_dev_configure(ethdev_, queues, queues, &conf); error != 0) {
    return failed(device_, "cannot be configured with " + std::to_string(queues) + " queue pair(s)", error);
  }
  // The most that a configuration allows: less is the mirror's, for what the kernel sends. Some virtual
  // devices have an MTU of their own; that is no reason not to run.
  static_cast<void>(rte_eth_dev_set_mtu(ethdev_, RTE_ETHER_MTU));
  std::uint16_t receive = kDescriptors, transmit = kDescriptors;
  rte_eth_dev_adjust_nb_rx_tx_desc(ethdev_, &receive, &transmit);
  const int socket = rte_eth_dev_socket_id(ethdev_);
  const unsigned numa = socket < 0 ? 0 : static_cast<unsigned>(socket);
  for (std::uint16_t q = 0; q < queues; ++q) {
    int error = rte_eth_rx_queue_setup(ethdev_, q, receive, numa, nullptr, options.pool);
    if (error == 0) error = rte_eth_tx_queue_setup(ethdev_, q, transmit, numa, nullptr);
    if (error != 0) return failed(device_, "cannot set up queue " + std::to_string(q), error);
  }
  if (const int error = rte_eth_dev_start(ethdev_); error != 0)
    return failed(device_, "cannot be started", error);
  rte_ether_addr mac{};
  if (const int error = rte_eth_macaddr_get(ethdev_, &mac); error != 0)
    return failed(device_, "has no MAC", error);
  std::memcpy(mac_.octets.data(), mac.addr_bytes, 6);
  // A TAP's MAC is its kernel side's own: our station on that link needs another.
  if (driver_ == "net_tap") {
    mac_.octets[0] |= 0x02;
    mac_.octets[5] ^= 0xff;
  }
  // Neighbour discovery comes by multicast; a device that can't be told so takes everything.
  if (driver_ == "net_tap" || rte_eth_allmulticast_enable(ethdev_) != 0) rte_eth_promiscuous_enable(ethdev_);
  return {};
}

Port::Port(Port&& other) noexcept {
  *this = std::move(other);
}

Port& Port::operator=(Port&& other) noexcept {
  std::swap(ethdev_, other.ethdev_);
  std::swap(attached_, other.attached_);
  std::swap(mac_, other.mac_);
  std::swap(device_, other.device_);
  std::swap(driver_, other.driver_);
  return *this;
}

Port::~Port() {
  if (ethdev_ == kNone) return;
  rte_eth_dev_stop(ethdev_);
  rte_eth_dev_info info{};
  const bool known = rte_eth_dev_info_get(ethdev_, &info) == 0;
  rte_eth_dev_close(ethdev_);
  if (attached_ && known && info.device != nullptr) rte_dev_remove(info.device);
}

bool Port::link_up() const {
  rte_eth_link link{};
  return rte_eth_link_get_nowait(ethdev_, &link) == 0 && link.link_status == RTE_ETH_LINK_UP;
}

}  // namespace shunt
