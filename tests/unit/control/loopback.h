// The other end of a socket for tests: sends octets as they are told, and takes what comes, while the code
// under test runs on the same thread. Everything is over loopback and Unix sockets.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/bytes.h"

namespace shunt::testing {

/// Runs `io` until `condition` holds; false after `limit`.
template <typename Condition>
bool run_until(asio::io_context& io, Condition condition,
               std::chrono::milliseconds limit = std::chrono::seconds(10)) {
  const auto end = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    io.restart();
    io.run_one_for(std::chrono::milliseconds(1));
  }
  return true;
}

/// Runs `io` for `time`, whatever happens.
inline void run_for(asio::io_context& io, std::chrono::milliseconds time) {
  run_until(
      io, [] { return false; }, time);
}

inline sockaddr_in loopback(std::uint16_t port, std::string_view address = "127.0.0.1") {
  sockaddr_in out{};
  out.sin_family = AF_INET;
  out.sin_port = htons(port);
  inet_pton(AF_INET, std::string(address).c_str(), &out.sin_addr);
  return out;
}

inline std::uint16_t local_port(int fd) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  getsockname(fd, reinterpret_cast<sockaddr*>(&address), &length);
  return ntohs(address.sin_port);
}

inline SocketAddress loopback_address(std::uint16_t port, std::string_view address = "127.0.0.1") {
  return {*IpAddress::parse(address), port};
}

/// A socket bound to 127.0.0.1, or -1 where the port is taken; a stream socket listens.
inline int try_bound_socket(int type, std::uint16_t port) {
  const int fd = ::socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const int on = 1;
  if (type == SOCK_STREAM) setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  const sockaddr_in address = loopback(port);
  if (::bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      (type != SOCK_STREAM || ::listen(fd, 128) == 0)) {
    return fd;
  }
  ::close(fd);
  return -1;
}
/// The same where that must succeed; port 0 is one of the kernel's choice.
inline int bound_socket(int type, std::uint16_t port = 0) {
  const int fd = try_bound_socket(type, port);
  EXPECT_GE(fd, 0) << std::strerror(errno);
  return fd;
}

/// A stream connection driven by poll().
class Peer {
 public:
  explicit Peer(int fd) : fd_(fd) {}
  Peer(Peer&& other) noexcept
      : received(std::move(other.received)), ended(other.ended), fd_(std::exchange(other.fd_, -1)) {}
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;
  ~Peer() { close(); }

  static Peer tcp(std::uint16_t port, int receive_buffer = 0, std::string_view from = "") {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer != 0) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    if (!from.empty()) {
      const sockaddr_in source = loopback(0, from);
      EXPECT_EQ(::bind(fd, reinterpret_cast<const sockaddr*>(&source), sizeof source), 0);
    }
    const sockaddr_in address = loopback(port);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
    return Peer(fd);
  }
  static Peer local(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    EXPECT_EQ(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address), 0)
        << std::strerror(errno);
    return Peer(fd);
  }

  /// Sends what the socket takes; returns the octets.
  std::size_t send(std::string_view text) {
    const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent < 0 ? 0 : static_cast<std::size_t>(sent);
  }
  std::size_t send(std::span<const std::uint8_t> octets) {
    return send(std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
  }
  /// close() resets the connection.
  void linger_none() {
    const linger none{1, 0};
    setsockopt(fd_, SOL_SOCKET, SO_LINGER, &none, sizeof none);
  }
  /// The address at the other end.
  std::string from() const {
    sockaddr_in address{};
    socklen_t length = sizeof address;
    getpeername(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    char text[INET_ADDRSTRLEN] = {};
    inet_ntop(AF_INET, &address.sin_addr, text, sizeof text);
    return text;
  }
  void shut() { ::shutdown(fd_, SHUT_WR); }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

  /// Takes what has come. True, so that it can stand in a condition.
  bool poll() {
    char buffer[65536];
    while (!ended) {
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got > 0) {
        received.append(buffer, static_cast<std::size_t>(got));
      } else {
        if (got == 0 || errno != EAGAIN) ended = true;
        if (got < 0 && errno != EAGAIN) reset = true;
        break;
      }
    }
    return true;
  }

  /// Whole DNS messages at the front of what has come, without their lengths.
  std::vector<std::vector<std::uint8_t>> messages() const {
    std::vector<std::vector<std::uint8_t>> out;
    const auto* data = reinterpret_cast<const std::uint8_t*>(received.data());
    for (std::size_t at = 0; at + 2 <= received.size();) {
      const std::size_t length = load_be16(data + at);
      if (at + 2 + length > received.size()) break;
      out.emplace_back(data + at + 2, data + at + 2 + length);
      at += 2 + length;
    }
    return out;
  }

  std::string received;
  bool ended = false;  ///< the other side has closed, or reset
  bool reset = false;

 private:
  int fd_;
};

/// A folder that is removed with everything in it.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "shunt-test-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

 private:
  std::string path_;
};

}  // namespace shunt::testing
