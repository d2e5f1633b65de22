// rtnetlink in small: messages built and read with bounds checked, requests answered synchronously. The
// kernel handles a request inside the call that sends it, so waiting for the answer is a matter of
// microseconds.
#pragma once

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "control/net/netns.h"
#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// A request under construction. What the callers put in is bounded and far below the buffer; more is a bug
/// and ends the process.
class NetlinkMessage {
 public:
  /// `flags` beside NLM_F_REQUEST and NLM_F_ACK, which are set anyway.
  NetlinkMessage(std::uint16_t type, int flags);
  NetlinkMessage(const NetlinkMessage&) = delete;
  NetlinkMessage& operator=(const NetlinkMessage&) = delete;

  /// The fixed header of the message's type (ndmsg, rtmsg, …), zeroed. Once, before any attribute.
  template <typename Header>
  Header& header() {
    return *static_cast<Header*>(mnl_nlmsg_put_extra_header(message_, sizeof(Header)));
  }
  void put(int type, std::span<const std::uint8_t> value);
  void put_u32(int type, std::uint32_t value);
  void put_u8(int type, std::uint8_t value);
  void put_text(int type, std::string_view value);
  /// Four octets or sixteen, by the address's family.
  void put_address(int type, const IpAddress& address);

  nlmsghdr* get() { return message_; }

 private:
  alignas(nlmsghdr) std::array<char, 1024> buffer_{};
  nlmsghdr* message_;
};

/// The attributes of a received message, by type. Later ones of a type win. Views into the message.
class NetlinkAttributes {
 public:
  static constexpr std::size_t kMaxType = 64;

  NetlinkAttributes(const nlmsghdr& message, std::size_t header_size);
  /// nullopt also where the length does not fit the type.
  std::optional<std::uint32_t> u32(int type) const;
  std::optional<std::uint8_t> u8(int type) const;
  std::optional<IpAddress> address(int type) const;
  std::optional<MacAddress> mac(int type) const;
  std::string text(int type) const;
  const nlattr* find(int type) const;

 private:
  std::array<const nlattr*, kMaxType> attributes_{};
};

/// The fixed header of a received message, or nullptr where it is too short for one.
template <typename Header>
const Header* netlink_header(const nlmsghdr& message) {
  if (mnl_nlmsg_get_payload_len(&message) < sizeof(Header)) return nullptr;
  return static_cast<const Header*>(mnl_nlmsg_get_payload(&message));
}

/// What the kernel said to a request that it refused.
struct NetlinkError {
  int code = 0;      ///< an errno
  std::string text;  ///< for people
};
template <typename T>
using NetlinkResult = tl::expected<T, NetlinkError>;

/// A socket of one thread. Stays in the namespace that the opening thread was in.
class Netlink {
 public:
  using Each = std::function<void(const nlmsghdr&)>;

  /// For requests.
  static Result<Netlink> open();
  /// For the events of these groups (RTNLGRP_…); non-blocking. Groups that the kernel does not know are left
  /// out.
  static Result<Netlink> subscribe(std::initializer_list<unsigned> groups);

  /// Sends, hands over each message of the answer, and returns after the last. A dump that changed while it
  /// was read is an error with EINTR: ask again.
  NetlinkResult<void> request(NetlinkMessage& message, const Each& each = nullptr);

  /// Reads one datagram of events; false where there is none. ENOBUFS as the error's code: events were lost.
  NetlinkResult<bool> receive(const Each& each);

  int fd() const { return fd_.get(); }

 private:
  explicit Netlink(FileDescriptor fd) : fd_(std::move(fd)), buffer_(kBuffer) {}
  /// The octets of one datagram that came from the kernel.
  NetlinkResult<std::size_t> read();

  static constexpr std::size_t kBuffer = 64 * 1024;  // the kernel's dumps use 32 KiB at most
  FileDescriptor fd_;
  std::uint32_t sequence_ = 0;
  std::vector<char> buffer_;
};

/// AF_INET or AF_INET6.
std::uint8_t family_of(const IpAddress& address);

}  // namespace shunt::control
