#include "control/net/netlink.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

namespace shunt::control {

namespace {

NetlinkError system_error(int code) {
  return {code, std::strerror(code)};
}

/// The error of an NLMSG_DONE message, which ends a dump; code 0 is a good end.
NetlinkError dump_error_of(const nlmsghdr& message) {
  const auto* code = netlink_header<std::int32_t>(message);
  return code != nullptr && *code < 0 ? system_error(-*code) : NetlinkError{};
}

/// The error of an NLMSG_ERROR message; code 0 is the acknowledgement.
NetlinkError error_of(const nlmsghdr& message) {
  const auto* body = netlink_header<nlmsgerr>(message);
  if (body == nullptr) return {EPROTO, "a netlink answer without an error code"};
  const int code = body->error < 0 ? -body->error : body->error;
  if (code == 0) return {};
  NetlinkError error = system_error(code);
  // Only the request's header comes back (NETLINK_CAP_ACK), then attributes that explain (NETLINK_EXT_ACK).
  if ((message.nlmsg_flags & NLM_F_ACK_TLVS) != 0) {
    const std::string why = NetlinkAttributes(message, sizeof(nlmsgerr)).text(NLMSGERR_ATTR_MSG);
    if (!why.empty()) error.text = fmt::format("{} ({})", why, error.text);
  }
  return error;
}

Result<FileDescriptor> open_socket(int flags) {
  FileDescriptor fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE));
  if (!fd) return Failure(fmt::format("no netlink socket: {}", std::strerror(errno)));
  sockaddr_nl address{};
  address.nl_family = AF_NETLINK;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Failure(fmt::format("no netlink socket: {}", std::strerror(errno)));
  }
  const int on = 1;  // both are niceties: better error texts
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  ::setsockopt(fd.get(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof on);
  return fd;
}

}  // namespace

NetlinkMessage::NetlinkMessage(std::uint16_t type, int flags)
    : message_(mnl_nlmsg_put_header(buffer_.data())) {
  message_->nlmsg_type = type;
  message_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
}

void NetlinkMessage::put(int type, std::span<const std::uint8_t> value) {
  if (!mnl_attr_put_check(message_, buffer_.size(), static_cast<std::uint16_t>(type), value.size(),
                          value.data())) {
    std::abort();
  }
}

void NetlinkMessage::put_u32(int type, std::uint32_t value) {
  std::array<std::uint8_t, sizeof value> octets;
  std::memcpy(octets.data(), &value, sizeof value);
  put(type, octets);
}

void NetlinkMessage::put_u8(int type, std::uint8_t value) {
  put(type, {&value, 1});
}

void NetlinkMessage::put_text(int type, std::string_view value) {
  std::vector<std::uint8_t> octets(value.begin(), value.end());
  octets.push_back(0);
  put(type, octets);
}

void NetlinkMessage::put_address(int type, const IpAddress& address) {
  if (address.is_v4()) {
    put(type, {address.v4_octets(), 4});
  } else {
    put(type, address.octets);
  }
}

NetlinkAttributes::NetlinkAttributes(const nlmsghdr& message, std::size_t header_size) {
  if (mnl_nlmsg_get_payload_len(&message) < header_size) return;
  const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message));
  const auto* attribute = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, header_size));
  while (mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)))) {
    const std::uint16_t type = mnl_attr_get_type(attribute);
    if (type < kMaxType) attributes_[type] = attribute;
    attribute = mnl_attr_next(attribute);
  }
}

const nlattr* NetlinkAttributes::find(int type) const {
  return type >= 0 && static_cast<std::size_t>(type) < kMaxType ? attributes_[static_cast<std::size_t>(type)]
                                                                : nullptr;
}

std::optional<std::uint32_t> NetlinkAttributes::u32(int type) const {
  const nlattr* attribute = find(type);
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != 4) return std::nullopt;
  return mnl_attr_get_u32(attribute);
}

std::optional<std::uint8_t> NetlinkAttributes::u8(int type) const {
  const nlattr* attribute = find(type);
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != 1) return std::nullopt;
  return mnl_attr_get_u8(attribute);
}

std::optional<IpAddress> NetlinkAttributes::address(int type) const {
  const nlattr* attribute = find(type);
  if (attribute == nullptr) return std::nullopt;
  const auto* octets = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  switch (mnl_attr_get_payload_len(attribute)) {
    case 4:
      return IpAddress::v4(octets);
    case 16:
      return IpAddress::v6(octets);
    default:
      return std::nullopt;
  }
}

std::optional<MacAddress> NetlinkAttributes::mac(int type) const {
  const nlattr* attribute = find(type);
  MacAddress mac;
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) != mac.octets.size()) return std::nullopt;
  std::memcpy(mac.octets.data(), mnl_attr_get_payload(attribute), mac.octets.size());
  return mac;
}

std::string NetlinkAttributes::text(int type) const {
  const nlattr* attribute = find(type);
  if (attribute == nullptr) return {};
  const auto* octets = static_cast<const char*>(mnl_attr_get_payload(attribute));
  return std::string(octets, ::strnlen(octets, mnl_attr_get_payload_len(attribute)));
}

Result<Netlink> Netlink::open() {
  auto fd = open_socket(0);
  if (!fd) return Failure(fd.error());
  // The kernel answers at once; if it ever does not, the control plane must not hang.
  const timeval timeout{.tv_sec = 2, .tv_usec = 0};
  ::setsockopt(fd->get(), SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  return Netlink(std::move(*fd));
}

Result<Netlink> Netlink::subscribe(std::initializer_list<unsigned> groups) {
  auto fd = open_socket(SOCK_NONBLOCK);
  if (!fd) return Failure(fd.error());
  const int size = 1 << 20;  // room for a burst of routes; when it overflows everything is read again
  if (::setsockopt(fd->get(), SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) {
    ::setsockopt(fd->get(), SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  }
  for (const unsigned group : groups) {
    if (::setsockopt(fd->get(), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof group) != 0 &&
        errno != EINVAL) {
      return Failure(fmt::format("no netlink events: {}", std::strerror(errno)));
    }
  }
  return Netlink(std::move(*fd));
}

NetlinkResult<std::size_t> Netlink::read() {
  for (;;) {
    sockaddr_nl from{};
    iovec vector{.iov_base = buffer_.data(), .iov_len = buffer_.size()};
    msghdr header{};
    header.msg_name = &from;
    header.msg_namelen = sizeof from;
    header.msg_iov = &vector;
    header.msg_iovlen = 1;
    const ssize_t size = ::recvmsg(fd_.get(), &header, 0);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return tl::unexpected(system_error(errno));
    if (header.msg_namelen != sizeof from || from.nl_pid != 0) continue;  // not from the kernel
    if ((header.msg_flags & MSG_TRUNC) != 0)
      return tl::unexpected(NetlinkError{ENOBUFS, "netlink message too long"});
    return static_cast<std::size_t>(size);
  }
}

NetlinkResult<void> Netlink::request(NetlinkMessage& message, const Each& each) {
  message.get()->nlmsg_seq = ++sequence_;
  if (::send(fd_.get(), message.get(), message.get()->nlmsg_len, 0) < 0)
    return tl::unexpected(system_error(errno));
  bool interrupted = false;
  for (;;) {
    const auto size = read();
    if (!size) return tl::unexpected(size.error());
    int left = static_cast<int>(*size);
    for (auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
         m = mnl_nlmsg_next(m, &left)) {
      if (m->nlmsg_seq != sequence_) continue;  // of a request that was given up
      if ((m->nlmsg_flags & NLM_F_DUMP_INTR) != 0) interrupted = true;
      if (m->nlmsg_type != NLMSG_ERROR && m->nlmsg_type != NLMSG_DONE) {
        if (each) each(*m);
        continue;
      }
      const NetlinkError error = m->nlmsg_type == NLMSG_ERROR ? error_of(*m) : dump_error_of(*m);
      if (error.code != 0) return tl::unexpected(error);
      if (interrupted) return tl::unexpected(system_error(EINTR));
      return {};
    }
  }
}

NetlinkResult<bool> Netlink::receive(const Each& each) {
  const auto size = read();
  if (!size && (size.error().code == EAGAIN || size.error().code == EWOULDBLOCK)) return false;
  if (!size) return tl::unexpected(size.error());
  int left = static_cast<int>(*size);
  for (auto* m = reinterpret_cast<const nlmsghdr*>(buffer_.data()); mnl_nlmsg_ok(m, left);
       m = mnl_nlmsg_next(m, &left)) {
    if (m->nlmsg_type >= NLMSG_MIN_TYPE) each(*m);
  }
  return true;
}

std::uint8_t family_of(const IpAddress& address) {
  return address.is_v4() ? AF_INET : AF_INET6;
}

}  // namespace shunt::control
