#include "bench/perf/neighbours.h"

#include <algorithm>
#include <cstring>

#include "bench/perf/frames.h"

namespace shunt::perf {
namespace {

// ARP behind the Ethernet header.
constexpr std::size_t kArp = net::kEthernetSize;
constexpr std::size_t kArpOperation = kArp + 6, kArpSender = kArp + 8, kArpSenderIp = kArp + 14;
constexpr std::size_t kArpTarget = kArp + 18, kArpTargetIp = kArp + 24;
constexpr std::uint8_t kArpHead[6] = {0, 1, 8, 0, 6, 4};  // Ethernet, IPv4, address sizes
constexpr std::uint16_t kRequest = 1, kReply = 2;

// ICMPv6 behind the IPv6 header.
using L6 = Layout<false>;
constexpr std::size_t kIcmp = L6::kUdp;
constexpr std::size_t kFlags = kIcmp + 4, kTarget = kIcmp + 8, kOption = kIcmp + 24;
constexpr std::size_t kMessageSize = 32;  // with the one option
constexpr std::uint8_t kSolicitation = 135, kAdvertisement = 136;
constexpr std::uint8_t kSourceOption = 1, kTargetOption = 2;
constexpr std::uint8_t kSolicitedOverride = 0x60;
constexpr std::uint8_t kHopLimit = 255;

void write_icmp(std::uint8_t* f, std::uint8_t type, std::uint8_t flags, std::uint8_t option,
                const MacAddress& mac) {
  f[kIcmp] = type;
  f[kIcmp + 1] = 0;
  std::memset(f + kFlags, 0, 4);
  f[kFlags] = flags;
  f[kOption] = option;
  f[kOption + 1] = 1;  // in units of eight octets
  std::memcpy(f + kOption + 2, mac.octets.data(), 6);
  std::memset(f + L6::kIp, 0, 4);
  f[L6::kIp] = 0x60;
  store_be16(f + L6::kLength, kMessageSize);
  f[L6::kProtocol] = net::kProtocolIcmp6;
  f[L6::kTimeToLive] = kHopLimit;
  std::memset(f + kIcmp + 2, 0, 2);
  const net::Sum sum = net::word(net::kProtocolIcmp6) + net::word(kMessageSize);
  const std::uint16_t checksum = net::finish(net::add_octets(sum, f + L6::kSource, 32 + kMessageSize));
  std::memcpy(f + kIcmp + 2, &checksum, 2);
}

// The place of an address in a family's order; the clients are a run of them.
std::uint32_t low_part(const IpAddress& a) {
  return load_be32(&a.octets[12]);
}

}  // namespace

Neighbours::Neighbours(const Options& options, const MacAddress& own)
    : options_(options), own_(own), peer_(options.client.peer_mac) {
  resolved_ = !options.has_clients() || peer_ != MacAddress{};
}

bool Neighbours::owns(const IpAddress& address) const {
  if (options_.has_servers()) {
    const auto& mine = options_.server.addresses;
    if (std::find(mine.begin(), mine.end(), address) != mine.end()) return true;
  }
  if (!options_.has_clients()) return false;
  const IpAddress& first = options_.client.first;
  return std::memcmp(first.octets.data(), address.octets.data(), 12) == 0 &&
         low_part(address) - low_part(first) < options_.client.clients;
}

void Neighbours::learn(const IpAddress& address, const std::uint8_t* mac) {
  if (!options_.has_clients() || address != options_.client.target.address || (mac[0] & 1) != 0) return;
  std::memcpy(peer_.octets.data(), mac, 6);
  resolved_ = true;
}

Neighbours::Outcome Neighbours::receive(std::uint8_t* frame, std::size_t& length) {
  const std::uint16_t type = load_be16(frame + 12);
  if (type == net::kEtherArp && length >= kArp + net::kArpSize) return receive_arp(frame, length);
  if (type == net::kEtherIpv6 && length >= kOption && frame[L6::kProtocol] == net::kProtocolIcmp6)
    return receive_discovery(frame, length);
  return Outcome::kNotMine;
}

Neighbours::Outcome Neighbours::receive_arp(std::uint8_t* f, std::size_t& length) {
  if (std::memcmp(f + kArp, kArpHead, sizeof kArpHead) != 0) return Outcome::kNotMine;
  const std::uint16_t operation = load_be16(f + kArpOperation);
  if (operation == kReply) {
    learn(IpAddress::v4(f + kArpSenderIp), f + kArpSender);
    return Outcome::kTaken;
  }
  if (operation != kRequest || !owns(IpAddress::v4(f + kArpTargetIp))) return Outcome::kTaken;
  std::uint8_t asked[4];
  std::memcpy(asked, f + kArpTargetIp, 4);
  std::memcpy(f + kArpTarget, f + kArpSender, 10);  // MAC and address
  std::memcpy(f + kArpSender, own_.octets.data(), 6);
  std::memcpy(f + kArpSenderIp, asked, 4);
  store_be16(f + kArpOperation, kReply);
  std::memcpy(f, f + kArpTarget, 6);
  std::memcpy(f + 6, own_.octets.data(), 6);
  length = kArp + net::kArpSize;
  return Outcome::kReply;
}

Neighbours::Outcome Neighbours::receive_discovery(std::uint8_t* f, std::size_t& length) {
  if (f[L6::kTimeToLive] != kHopLimit) return Outcome::kNotMine;
  const IpAddress target = IpAddress::v6(f + kTarget);
  if (f[kIcmp] == kAdvertisement) {
    const bool has_mac = length >= kOption + 8 && f[kOption] == kTargetOption;
    learn(target, has_mac ? f + kOption + 2 : f + 6);
    return Outcome::kTaken;
  }
  if (f[kIcmp] != kSolicitation) return Outcome::kNotMine;
  const IpAddress asker = IpAddress::v6(f + L6::kSource);
  if (!owns(target) || asker == IpAddress{})
    return Outcome::kTaken;  // "::" looks for duplicates: there are none
  std::memcpy(f, f + 6, 6);
  std::memcpy(f + 6, own_.octets.data(), 6);
  std::memcpy(f + L6::kDestination, asker.octets.data(), 16);
  std::memcpy(f + L6::kSource, target.octets.data(), 16);
  write_icmp(f, kAdvertisement, kSolicitedOverride, kTargetOption, own_);
  length = kIcmp + kMessageSize;
  return Outcome::kReply;
}

std::size_t Neighbours::write_request(std::uint8_t* f) const {
  const IpAddress& asker = options_.client.first;
  const IpAddress& target = options_.client.target.address;
  std::memcpy(f + 6, own_.octets.data(), 6);
  if (target.is_v4()) {
    std::memset(f, 0xff, 6);
    store_be16(f + 12, net::kEtherArp);
    std::memcpy(f + kArp, kArpHead, sizeof kArpHead);
    store_be16(f + kArpOperation, kRequest);
    std::memcpy(f + kArpSender, own_.octets.data(), 6);
    std::memcpy(f + kArpSenderIp, asker.v4_octets(), 4);
    std::memset(f + kArpTarget, 0, 6);
    std::memcpy(f + kArpTargetIp, target.v4_octets(), 4);
    return kArp + net::kArpSize;
  }
  // To the solicited-node group of the target (RFC 4291 section 2.7.1).
  std::uint8_t* group = f + L6::kDestination;
  std::memset(group, 0, 16);
  group[0] = 0xff;
  group[1] = 0x02;
  group[11] = 1;
  group[12] = 0xff;
  std::memcpy(group + 13, &target.octets[13], 3);
  f[0] = f[1] = 0x33;
  std::memcpy(f + 2, group + 12, 4);
  store_be16(f + 12, net::kEtherIpv6);
  std::memcpy(f + L6::kSource, asker.octets.data(), 16);
  std::memcpy(f + kTarget, target.octets.data(), 16);
  write_icmp(f, kSolicitation, 0, kSourceOption, own_);
  return kIcmp + kMessageSize;
}

}  // namespace shunt::perf
