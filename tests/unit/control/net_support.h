// For tests of the kernel side: a namespace of the test's own, frames built and read by hand, and a host that
// plays the other end of a port's link.
#pragma once

#include <gtest/gtest.h>

#include <asio/io_context.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "control/net/mirror.h"
#include "control/net/netns.h"
#include "dataplane/base/address.h"

namespace shunt::control::test {

using Frame = std::vector<std::uint8_t>;

IpAddress ip(const std::string& text);
Prefix interface_prefix(const std::string& text);
MacAddress mac(const std::string& text);

/// Runs `command` in a shell; its output. Fails the test where the command fails.
std::string shell(const std::string& command);

/// Sum of RFC 1071 over `octets`, folded; 0xffff for a range that holds its own right checksum.
std::uint16_t sum(std::span<const std::uint8_t> octets, std::uint32_t start = 0);
/// The sum over the pseudo-header and payload of an IP packet (Ethernet frame): 0xffff where the checksum is
/// right.
std::uint16_t transport_sum(const Frame& frame);

struct Station {
  MacAddress mac;
  IpAddress address;
};
Frame ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type, const Frame& payload);
/// An IPv4 or IPv6 packet in its frame; a checksum at `checksum_at` of the payload is filled in (-1: none).
Frame packet(const Station& from, const Station& to, std::uint8_t protocol, Frame payload, int checksum_at);
Frame arp(std::uint16_t operation, const Station& from, const Station& to, const MacAddress& frame_to);
Frame neighbour_solicitation(const Station& from, const IpAddress& target);
Frame neighbour_advertisement(const Station& from, const Station& to);
Frame echo_request(const Station& from, const Station& to, std::uint16_t id);
Frame tcp_syn(const Station& from, const Station& to, std::uint16_t from_port, std::uint16_t to_port);

/// What the tests look at in a frame.
struct Seen {
  MacAddress to, from;
  std::uint16_t type = 0;
  std::optional<IpAddress> source, destination;  ///< of IP packets; of ARP the sender's and the target's
  std::uint8_t protocol = 0;                     ///< of IP packets
  Frame payload;                                 ///< behind the IP header, or the ARP message
};
Seen parse(const Frame& frame);

/// A namespace made for one test, a loop, and the frames that come out of its mirrors.
class NetTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  static inline const MacAddress kPortMac{{0x02, 0x53, 0, 0, 0, 0x01}};

  /// A mirror whose frames are kept in `frames`, and shown to the stations below.
  Mirror open_mirror(const std::string& name, const InterfaceSettings& settings,
                     const MacAddress& mac = kPortMac);
  /// Runs the loop until `done` says so; false after `limit`.
  bool run_until(const std::function<bool()>& done,
                 std::chrono::milliseconds limit = std::chrono::seconds(5));
  void run_for(std::chrono::milliseconds time);
  /// Runs the loop until a frame that `wanted` accepts has come, and takes it.
  std::optional<Seen> expect_frame(const std::function<bool(const Seen&)>& wanted,
                                   std::chrono::milliseconds limit = std::chrono::seconds(5));
  /// As a client would: sends `request` again until the answer comes.
  std::optional<Seen> exchange(Mirror& mirror, const Frame& request,
                               const std::function<bool(const Seen&)>& wanted);
  /// `ip -n NAMESPACE …`
  std::string ip_command(const std::string& arguments);

  std::string name_;
  Namespace namespace_;
  asio::io_context loop_;
  std::vector<Frame> frames;
  /// Hosts on the link: they answer ARP and neighbour solicitations through `link`, the mirror they are at.
  std::map<IpAddress, MacAddress> stations;
  Mirror* link = nullptr;

 private:
  void receive(std::span<const std::uint8_t> frame);
};

}  // namespace shunt::control::test
