// Mirrors: the kernel answers for the port, through frames that the test writes and reads in the port's
// place.
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <memory>

#include "control/net/mirror.h"
#include "tests/unit/control/net_support.h"

namespace shunt::control::test {
namespace {

constexpr std::uint16_t kArp = 0x0806;
constexpr std::uint8_t kIcmp = 1, kTcp = 6, kIcmp6 = 58;

class Mirrors : public NetTest {
 protected:
  const Station client4{mac("02:00:00:00:00:99"), ip("10.53.0.99")};
  const Station client6{mac("02:00:00:00:00:99"), ip("fd53::99")};
  const Station port4{kPortMac, ip("10.53.0.53")};
  const Station port6{kPortMac, ip("fd53::53")};
  const InterfaceSettings settings{
      .addresses = {interface_prefix("10.53.0.53/24"), interface_prefix("fd53::53/64")},
      .neighbours = {{client4.address, client4.mac}, {client6.address, client6.mac}}};
};

std::function<bool(const Seen&)> arp_from(const IpAddress& sender) {
  return [sender](const Seen& s) { return s.type == kArp && s.source == sender && s.payload[7] == 2; };
}

TEST_F(Mirrors, AnswerArp) {
  Mirror mirror = open_mirror("lan", settings);
  ASSERT_TRUE(mirror.write(arp(1, client4, {{}, port4.address}, mac("ff:ff:ff:ff:ff:ff"))));
  const auto reply = expect_frame(arp_from(port4.address));
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->from, kPortMac);
  EXPECT_EQ(reply->to, client4.mac);
}

TEST_F(Mirrors, AnswerNeighbourSolicitations) {
  Mirror mirror = open_mirror("lan", settings);
  ASSERT_TRUE(mirror.write(neighbour_solicitation(client6, port6.address)));
  const auto reply = expect_frame(
      [](const Seen& s) { return s.protocol == kIcmp6 && !s.payload.empty() && s.payload[0] == 136; });
  ASSERT_TRUE(reply) << "the address must be usable at once, without duplicate detection";
  EXPECT_EQ(reply->source, port6.address);
  EXPECT_EQ(reply->to, client6.mac);
}

TEST_F(Mirrors, AnswerEcho) {
  Mirror mirror = open_mirror("lan", settings);
  ASSERT_TRUE(mirror.write(echo_request(client4, port4, 7)));
  const auto reply4 = expect_frame([](const Seen& s) { return s.protocol == kIcmp; });
  ASSERT_TRUE(reply4);
  EXPECT_EQ(reply4->payload[0], 0);
  EXPECT_EQ(sum(reply4->payload), 0xffff);
  EXPECT_EQ(reply4->to, client4.mac) << "the fixed neighbour";
  ASSERT_TRUE(mirror.write(echo_request(client6, port6, 7)));
  const auto reply6 = expect_frame(
      [](const Seen& s) { return s.protocol == kIcmp6 && !s.payload.empty() && s.payload[0] == 129; });
  ASSERT_TRUE(reply6);
  EXPECT_EQ(reply6->to, client6.mac);
}

TEST_F(Mirrors, SendFinishedChecksums) {
  Mirror mirror = open_mirror("lan", settings);
  const auto listener = namespace_.run([]() -> Result<FileDescriptor> {
    FileDescriptor fd(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(53);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(fd.get(), 5) != 0) {
      return Failure(std::strerror(errno));
    }
    return fd;
  });
  ASSERT_TRUE(listener) << listener.error();
  for (const auto& pair : {std::pair{client4, port4}, std::pair{client6, port6}}) {
    const auto& client = pair.first;  // clang 14: a lambda can't take a structured binding
    const auto& port = pair.second;
    ASSERT_TRUE(mirror.write(tcp_syn(client, port, 40000, 53)));
    std::optional<Frame> answer;
    run_until([&] {
      for (const Frame& frame : frames) {
        if (parse(frame).protocol == kTcp && parse(frame).destination == client.address) answer = frame;
      }
      return answer.has_value();
    });
    ASSERT_TRUE(answer);
    EXPECT_EQ(parse(*answer).payload[13], 0x12) << "SYN and ACK";
    EXPECT_EQ(transport_sum(*answer), 0xffff);
  }
}

TEST_F(Mirrors, SpeakForTheirOwnAddressesOnly) {
  Mirror lan = open_mirror("lan", settings);
  Mirror wan =
      open_mirror("wan", {.addresses = {interface_prefix("10.54.0.53/24")}}, mac("02:53:00:00:00:02"));
  ASSERT_TRUE(lan.write(arp(1, client4, {{}, ip("10.54.0.53")}, mac("ff:ff:ff:ff:ff:ff"))));
  ASSERT_TRUE(lan.write(arp(1, client4, {{}, port4.address}, mac("ff:ff:ff:ff:ff:ff"))));
  ASSERT_TRUE(expect_frame([&](const Seen& s) {
    EXPECT_FALSE(arp_from(ip("10.54.0.53"))(s)) << "lan answered for wan's address";
    return arp_from(port4.address)(s);
  }));
}

TEST_F(Mirrors, PassNothingOn) {
  // Somebody else's packet to our MAC address, with a route to its destination.
  Mirror lan = open_mirror("lan", settings);
  Mirror wan = open_mirror("wan",
                           {.addresses = {interface_prefix("10.54.0.53/24")},
                            .neighbours = {{ip("10.54.0.1"), mac("02:00:00:00:00:01")}}},
                           mac("02:53:00:00:00:02"));
  ASSERT_TRUE(lan.write(echo_request(client4, {kPortMac, ip("10.54.0.1")}, 9)));
  ASSERT_TRUE(lan.write(echo_request(client4, port4, 10)));
  ASSERT_TRUE(expect_frame([&](const Seen& s) {
    EXPECT_FALSE(s.protocol == kIcmp && s.destination == ip("10.54.0.1")) << "forwarded";
    return s.protocol == kIcmp && s.destination == client4.address;
  }));
}

TEST_F(Mirrors, FollowTheLink) {
  Mirror mirror = open_mirror("lan", settings);
  EXPECT_NE(ip_command("link show lan").find("LOWER_UP"), std::string::npos);
  ASSERT_TRUE(mirror.set_carrier(false));
  EXPECT_NE(ip_command("link show lan").find("NO-CARRIER"), std::string::npos);
  ASSERT_TRUE(mirror.set_carrier(true));
  EXPECT_TRUE(exchange(mirror, echo_request(client4, port4, 7), [](const Seen& s) {
    return s.protocol == kIcmp;
  })) << "addresses and neighbours stay";
  EXPECT_TRUE(exchange(mirror, echo_request(client6, port6, 7),
                       [](const Seen& s) { return s.protocol == kIcmp6 && s.payload[0] == 129; }));
}

TEST_F(Mirrors, HaveTheirMacAndMtu) {
  const Mirror mirror = open_mirror("lan", {.mtu = 1400, .addresses = settings.addresses});
  EXPECT_EQ(mirror.name(), "lan");
  const std::string shown = ip_command("link show lan");
  EXPECT_NE(shown.find("mtu 1400"), std::string::npos) << shown;
  EXPECT_NE(shown.find("02:53:00:00:00:01"), std::string::npos) << shown;
  EXPECT_NE(ip_command("link show").find(std::to_string(mirror.ifindex()) + ": lan"), std::string::npos);
  EXPECT_NE(ip_command("addr show lan").find("fe80::53:ff:fe00:1/64"), std::string::npos)
      << "made from the MAC";
}

TEST_F(Mirrors, GoWithTheirObject) {
  { const Mirror mirror = open_mirror("lan", settings); }
  EXPECT_EQ(ip_command("link show").find("lan"), std::string::npos);
  run_for(std::chrono::milliseconds(20));  // a wait that was cancelled must not touch what is gone
}

TEST_F(Mirrors, MayEndWithinTheirCallback) {
  std::unique_ptr<Mirror> mirror;
  int calls = 0;
  auto made = Mirror::open(loop_, namespace_, "lan", kPortMac, settings, [&](auto) {
    ++calls;
    mirror.reset();
  });
  ASSERT_TRUE(made) << made.error();
  mirror = std::make_unique<Mirror>(std::move(*made));
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(mirror->write(echo_request(client4, port4, 1)));
  EXPECT_TRUE(run_until([&] { return mirror == nullptr; }));
  run_for(std::chrono::milliseconds(20));
  EXPECT_EQ(calls, 1);
}

TEST_F(Mirrors, AFloodTakesTurns) {
  int frames_seen = 0, others = 0;
  auto mirror = Mirror::open(loop_, namespace_, "lan", kPortMac, settings, [&](auto) { ++frames_seen; });
  ASSERT_TRUE(mirror) << mirror.error();
  for (int i = 0; i < 400; ++i)
    ASSERT_TRUE(mirror->write(arp(1, client4, {{}, port4.address}, kPortMac)));
  int most_in_a_turn = 0;
  run_until([&] {
    ++others;
    const int before = frames_seen;
    loop_.restart();
    loop_.run_one_for(std::chrono::milliseconds(10));
    most_in_a_turn = std::max(most_in_a_turn, frames_seen - before);
    return frames_seen >= 400;
  });
  EXPECT_GE(frames_seen, 400);
  EXPECT_LE(most_in_a_turn, 64);
}

TEST_F(Mirrors, CountWhatTheKernelRefuses) {
  Mirror mirror = open_mirror("lan", settings);
  const Frame runt(10, 0);
  EXPECT_FALSE(mirror.write(runt));
  EXPECT_FALSE(mirror.write({}));
  EXPECT_EQ(mirror.stats().to_kernel_dropped, 2u);
  ip_command("link set lan down");
  EXPECT_FALSE(mirror.write(echo_request(client4, port4, 1)));
  EXPECT_EQ(mirror.stats().to_kernel_dropped, 3u);
  EXPECT_EQ(mirror.stats().to_kernel, 0u);
}

TEST_F(Mirrors, NoticeThatTheyWereDeleted) {
  Mirror mirror = open_mirror("lan", settings);
  ip_command("link del lan");
  EXPECT_TRUE(run_until([&] { return mirror.stats().gone; }));
  EXPECT_FALSE(mirror.write(echo_request(client4, port4, 1)));
}

TEST_F(Mirrors, SayWhyTheyCannotBe) {
  const auto error = [&](const std::string& name, const InterfaceSettings& with) -> std::string {
    const auto made = Mirror::open(loop_, namespace_, name, kPortMac, with, [](auto) {});
    return made ? "" : made.error();
  };
  const Mirror mirror = open_mirror("lan", settings);
  EXPECT_NE(error("lan", settings).find("another process uses it"), std::string::npos)
      << error("lan", settings);
  EXPECT_NE(error("lo", settings).find("no TAP"), std::string::npos) << error("lo", settings);
  EXPECT_NE(error("sixteen-letters-", settings).find("15 characters"), std::string::npos);
  EXPECT_NE(error("tap%d", settings).find("15 characters"), std::string::npos);
  const InterfaceSettings wrong{.gateways = {ip("224.0.0.1")}};
  EXPECT_NE(error("wan", wrong).find("the gateway 224.0.0.1"), std::string::npos) << error("wan", wrong);
  EXPECT_EQ(ip_command("link show").find("wan"), std::string::npos) << "left behind";
}

TEST_F(Mirrors, TakeOverATapThatNobodyUses) {
  ip_command("tuntap add dev lan mode tap");
  Mirror mirror = open_mirror("lan", settings);
  ASSERT_TRUE(mirror.write(echo_request(client4, port4, 7)));
  EXPECT_TRUE(expect_frame([](const Seen& s) { return s.protocol == kIcmp; }));
}

TEST_F(Mirrors, LargeFramesPass) {
  Mirror mirror =
      open_mirror("lan", {.mtu = 9000, .addresses = settings.addresses, .neighbours = settings.neighbours});
  Frame ping{8, 0, 0, 0, 0, 1, 0, 1};
  ping.resize(8000);
  ASSERT_TRUE(mirror.write(packet(client4, port4, kIcmp, ping, 2)));
  const auto reply = expect_frame([](const Seen& s) { return s.protocol == kIcmp; });
  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->payload.size(), 8000u);
  EXPECT_EQ(sum(reply->payload), 0xffff);
}

}  // namespace
}  // namespace shunt::control::test
