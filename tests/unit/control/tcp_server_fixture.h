// A TcpServer whose owner is the test.
#pragma once

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "control/tcp_server.h"
#include "tests/support/dns_messages.h"
#include "tests/unit/control/loopback.h"

namespace shunt::control {

using namespace shunt::testing;
using std::chrono::milliseconds;

inline Bytes query(unsigned id, std::string_view name = "www.example.com") {
  return MessageBuilder(id).question(wire_name(name)).build();
}

/// With the length in front, as it goes over TCP.
inline Bytes framed(const Bytes& message) {
  Bytes out;
  append16(out, static_cast<unsigned>(message.size()));
  append(out, message);
  return out;
}

inline Bytes answer_to(const Bytes& message, std::size_t octets = 0) {
  Bytes out = message;
  out[2] |= 0x80;
  out.resize(std::max(out.size(), octets));
  return out;
}

inline TcpLimits quick() {
  TcpLimits limits;
  limits.idle_ms = 5000;
  limits.pressed_idle_ms = 5000;
  limits.message_ms = 5000;
  limits.write_ms = 5000;
  limits.linger_ms = 100;
  return limits;
}

class TcpServerTest : public ::testing::Test {
 protected:
  struct Taken {
    TcpTicket ticket;
    SocketAddress client;
    std::uint16_t endpoint;
    Bytes message;
  };

  void start(const TcpLimits& limits) {
    server_.emplace(
        io_, limits,
        TcpServer::Owner{[this](const SocketAddress& address) -> Result<int> {
                           ++opened_;
                           if (address.port == 1) return Failure("no such port here");
                           const int fd = bound_socket(SOCK_STREAM, address.port);
                           last_port_ = local_port(fd);
                           if (port_ == 0) port_ = last_port_;
                           return fd;
                         },
                         [this](std::uint16_t endpoint, const IpAddress& client) {
                           return endpoint != forbidden_ && client != forbidden_client_;
                         },
                         [this](TcpTicket ticket, const SocketAddress& client, std::uint16_t endpoint,
                                std::span<const std::uint8_t> message) {
                           if (overloaded_) return false;
                           taken_.push_back({ticket, client, endpoint, {message.begin(), message.end()}});
                           return true;
                         },
                         [this](const TcpAnswered& a) {
                           answered_.push_back({a.client, a.server, a.kind, a.asked, a.end, {}});
                         }});
    ASSERT_TRUE(server_->set_endpoints({{loopback_address(0), 7}}));
  }
  bool run(auto condition) { return run_until(io_, condition); }
  bool taken(std::size_t count) {
    return run([&] { return taken_.size() >= count; });
  }
  bool ended(Peer& peer) {
    return run([&] { return peer.poll() && peer.ended; });
  }
  bool connected(std::size_t count) {
    return run([&] { return server_->connections() == count; });
  }
  std::uint64_t counter(TcpCounter which) const { return server_->counters()[which]; }
  static bool connects(std::uint16_t port) {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(port);
    const int result = ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    ::close(fd);
    return result == 0;
  }
  Peer connect() { return Peer::tcp(port_); }

  asio::io_context io_;
  std::optional<TcpServer> server_;
  std::vector<Taken> taken_;
  std::vector<TcpAnswered> answered_;  ///< without their messages
  std::uint16_t port_ = 0;             ///< of the first listener
  std::uint16_t last_port_ = 0;        ///< of the latest
  int opened_ = 0;
  bool overloaded_ = false;
  std::uint16_t forbidden_ = 0xffff;
  IpAddress forbidden_client_;
};

}  // namespace shunt::control
