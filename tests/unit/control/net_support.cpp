#include "tests/unit/control/net_support.h"

#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "dataplane/base/bytes.h"

namespace shunt::control::test {

namespace {

constexpr std::uint16_t kIpv4 = 0x0800, kArp = 0x0806, kIpv6 = 0x86dd;

/// A mount namespace of the test's own with an empty /run: whatever happens to the test, its namespaces end
/// with it.
class PrivateRun : public ::testing::Environment {
 public:
  void SetUp() override {
    if (::geteuid() != 0) return;  // told by each test
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0) << std::strerror(errno);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0) << std::strerror(errno);
    ASSERT_EQ(::mount("tmpfs", "/run", "tmpfs", 0, nullptr), 0) << std::strerror(errno);
  }
};
const auto* const kPrivateRun = ::testing::AddGlobalTestEnvironment(new PrivateRun);

void append(Frame& frame, std::span<const std::uint8_t> octets) {
  frame.insert(frame.end(), octets.begin(), octets.end());
}
void append16(Frame& frame, std::uint16_t value) {
  frame.push_back(static_cast<std::uint8_t>(value >> 8));
  frame.push_back(static_cast<std::uint8_t>(value));
}

std::span<const std::uint8_t> octets_of(const IpAddress& address) {
  if (address.is_v4()) return {address.v4_octets(), 4};
  return address.octets;
}

/// Of the transport's pseudo-header (RFC 768, RFC 8200 section 8.1), not folded.
std::uint32_t pseudo_sum(const IpAddress& source, const IpAddress& destination, std::uint8_t protocol,
                         std::size_t length) {
  const std::uint32_t addresses = sum(octets_of(source)) + std::uint32_t{sum(octets_of(destination))};
  return addresses + protocol + static_cast<std::uint32_t>(length);
}

}  // namespace

IpAddress ip(const std::string& text) {
  return IpAddress::parse(text).value();
}
Prefix interface_prefix(const std::string& text) {
  return Prefix::parse_interface(text).value();
}
MacAddress mac(const std::string& text) {
  return MacAddress::parse(text).value();
}

std::string shell(const std::string& command) {
  std::string output;
  FILE* pipe = ::popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) {
    ADD_FAILURE() << command << ": " << std::strerror(errno);
    return output;
  }
  std::array<char, 4096> buffer;
  while (std::fgets(buffer.data(), buffer.size(), pipe) != nullptr)
    output += buffer.data();
  EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << output;
  return output;
}

std::uint16_t sum(std::span<const std::uint8_t> octets, std::uint32_t start) {
  std::uint32_t total = start;
  for (std::size_t i = 0; i < octets.size(); ++i)
    total += i % 2 == 0 ? octets[i] * 256u : octets[i];
  while (total > 0xffff)
    total = (total & 0xffff) + (total >> 16);
  return static_cast<std::uint16_t>(total);
}

std::uint16_t transport_sum(const Frame& frame) {
  const Seen seen = parse(frame);
  return sum(seen.payload, pseudo_sum(*seen.source, *seen.destination, seen.protocol, seen.payload.size()));
}

Frame ethernet(const MacAddress& to, const MacAddress& from, std::uint16_t type, const Frame& payload) {
  Frame frame;
  append(frame, to.octets);
  append(frame, from.octets);
  append16(frame, type);
  append(frame, payload);
  return frame;
}

Frame packet(const Station& from, const Station& to, std::uint8_t protocol, Frame payload, int checksum_at) {
  const bool v4 = from.address.is_v4();
  if (checksum_at >= 0) {
    constexpr std::uint8_t kIcmp = 1;  // the one without a pseudo-header
    const std::uint32_t start =
        protocol == kIcmp ? 0 : pseudo_sum(from.address, to.address, protocol, payload.size());
    store_be16(&payload[static_cast<std::size_t>(checksum_at)],
               static_cast<std::uint16_t>(~sum(payload, start)));
  }
  Frame header;
  if (v4) {
    header = {0x45, 0};
    append16(header, static_cast<std::uint16_t>(20 + payload.size()));
    header.insert(header.end(), {0, 1, 0x40, 0, 64, protocol, 0, 0});
  } else {
    header = {0x60, 0, 0, 0};
    append16(header, static_cast<std::uint16_t>(payload.size()));
    header.insert(header.end(), {protocol, 255});
  }
  append(header, octets_of(from.address));
  append(header, octets_of(to.address));
  if (v4) store_be16(&header[10], static_cast<std::uint16_t>(~sum(header)));
  append(header, payload);
  return ethernet(to.mac, from.mac, v4 ? kIpv4 : kIpv6, header);
}

Frame arp(std::uint16_t operation, const Station& from, const Station& to, const MacAddress& frame_to) {
  Frame message{0, 1, 8, 0, 6, 4};
  append16(message, operation);
  append(message, from.mac.octets);
  append(message, octets_of(from.address));
  append(message, to.mac.octets);
  append(message, octets_of(to.address));
  return ethernet(frame_to, from.mac, kArp, message);
}

Frame neighbour_solicitation(const Station& from, const IpAddress& target) {
  // To the solicited-node group (RFC 4291 section 2.7.1) and its MAC address (RFC 2464 section 7).
  Station group{mac("33:33:ff:00:00:00"), ip("ff02::1:ff00:0")};
  std::copy_n(&target.octets[13], 3, &group.mac.octets[3]);
  std::copy_n(&target.octets[13], 3, &group.address.octets[13]);
  Frame message{135, 0, 0, 0, 0, 0, 0, 0};
  append(message, target.octets);
  message.insert(message.end(), {1, 1});
  append(message, from.mac.octets);
  return packet(from, group, 58, message, 2);
}

Frame neighbour_advertisement(const Station& from, const Station& to) {
  constexpr std::uint8_t kSolicited = 0x40, kOverride = 0x20, kMulticast = 0xff;
  const bool solicited = to.address.octets[0] != kMulticast;
  Frame message{136, 0, 0, 0, static_cast<std::uint8_t>(kOverride | (solicited ? kSolicited : 0)), 0, 0, 0};
  append(message, from.address.octets);
  message.insert(message.end(), {2, 1});
  append(message, from.mac.octets);
  return packet(from, to, 58, message, 2);
}

Frame echo_request(const Station& from, const Station& to, std::uint16_t id) {
  const bool v4 = from.address.is_v4();
  Frame message{static_cast<std::uint8_t>(v4 ? 8 : 128), 0, 0, 0};
  append16(message, id);
  append16(message, 1);
  for (std::uint8_t i = 0; i < 33; ++i)
    message.push_back(i);
  return packet(from, to, v4 ? 1 : 58, message, 2);
}

Frame tcp_syn(const Station& from, const Station& to, std::uint16_t from_port, std::uint16_t to_port) {
  Frame segment;
  append16(segment, from_port);
  append16(segment, to_port);
  segment.insert(segment.end(), {0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0x10, 0, 0, 0, 0, 0});
  return packet(from, to, 6, segment, 16);
}

Seen parse(const Frame& frame) {
  Seen seen;
  if (frame.size() < 14) return seen;
  std::copy_n(&frame[0], 6, seen.to.octets.begin());
  std::copy_n(&frame[6], 6, seen.from.octets.begin());
  seen.type = load_be16(&frame[12]);
  if (seen.type == kArp && frame.size() >= 42) {
    seen.source = IpAddress::v4(&frame[28]);
    seen.destination = IpAddress::v4(&frame[38]);
    seen.payload.assign(frame.begin() + 14, frame.begin() + 42);
  } else if (seen.type == kIpv4 && frame.size() >= 34) {
    seen.source = IpAddress::v4(&frame[26]);
    seen.destination = IpAddress::v4(&frame[30]);
    seen.protocol = frame[23];
    seen.payload.assign(frame.begin() + 14 + (frame[14] & 15) * 4,
                        frame.begin() + 14 + load_be16(&frame[16]));
  } else if (seen.type == kIpv6 && frame.size() >= 54) {
    seen.source = IpAddress::v6(&frame[22]);
    seen.destination = IpAddress::v6(&frame[38]);
    seen.protocol = frame[20];
    seen.payload.assign(frame.begin() + 54, frame.begin() + 54 + load_be16(&frame[18]));
  }
  return seen;
}

void NetTest::SetUp() {
  ASSERT_EQ(::geteuid(), 0u) << "this test makes network namespaces and TAP interfaces: run it as root";
  static int count = 0;
  name_ = "shunt-test-" + std::to_string(::getpid()) + "-" + std::to_string(++count);
  auto made = Namespace::open(name_);
  ASSERT_TRUE(made) << made.error();
  namespace_ = std::move(*made);
}

void NetTest::TearDown() {
  const auto removed = namespace_.remove();
  EXPECT_TRUE(removed) << removed.error();
}

Mirror NetTest::open_mirror(const std::string& name, const InterfaceSettings& settings,
                            const MacAddress& mac) {
  auto mirror = Mirror::open(loop_, namespace_, name, mac, settings, [this](auto frame) { receive(frame); });
  EXPECT_TRUE(mirror) << mirror.error();
  return std::move(mirror).value();
}

bool NetTest::run_until(const std::function<bool()>& done, std::chrono::milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    loop_.restart();
    loop_.run_one_for(std::chrono::milliseconds(10));
  }
  return true;
}

void NetTest::run_for(std::chrono::milliseconds time) {
  run_until([] { return false; }, time);
}

std::optional<Seen> NetTest::expect_frame(const std::function<bool(const Seen&)>& wanted,
                                          std::chrono::milliseconds limit) {
  std::optional<Seen> result;
  run_until(
      [&] {
        for (const Frame& frame : std::exchange(frames, {})) {
          if (!result && wanted(parse(frame))) result = parse(frame);
        }
        return result.has_value();
      },
      limit);
  return result;
}

std::optional<Seen> NetTest::exchange(Mirror& mirror, const Frame& request,
                                      const std::function<bool(const Seen&)>& wanted) {
  for (int i = 0; i < 50; ++i) {
    mirror.write(request);
    if (auto answer = expect_frame(wanted, std::chrono::milliseconds(100))) return answer;
  }
  return std::nullopt;
}

std::string NetTest::ip_command(const std::string& arguments) {
  return shell("ip -n " + name_ + " " + arguments);
}

void NetTest::receive(std::span<const std::uint8_t> octets) {
  const Frame frame(octets.begin(), octets.end());
  frames.push_back(frame);
  if (link == nullptr) return;
  const Seen seen = parse(frame);
  const Station asker{seen.from, seen.source.value_or(IpAddress{})};
  if (seen.type == kArp && seen.payload[7] == 1) {
    const auto station = stations.find(*seen.destination);
    if (station == stations.end()) return;
    link->write(arp(2, {station->second, station->first}, asker, seen.from));
  } else if (seen.protocol == 58 && seen.payload.size() >= 24 && seen.payload[0] == 135) {
    const auto station = stations.find(IpAddress::v6(&seen.payload[8]));
    if (station == stations.end()) return;
    link->write(neighbour_advertisement({station->second, station->first}, asker));
  }
}

}  // namespace shunt::control::test
