#include "control/net/tap.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace shunt::control {

namespace {

bool valid_name(const std::string& name) {
  // The kernel would replace '%d' by a number.
  return !name.empty() && name.size() < IFNAMSIZ && name != "." && name != ".." &&
         std::ranges::all_of(name,
                             [](char c) { return c > ' ' && c < 0x7f && c != '/' && c != ':' && c != '%'; });
}

std::string attach_error(int code) {
  switch (code) {
    case EBUSY:
      return "it exists, and another process uses it (another shuntd?)";
    case EINVAL:
      return "an interface of that name exists that is no TAP";
    case EPERM:
      return "not permitted: this needs CAP_NET_ADMIN, or a TAP that was made for this user";
    default:
      return std::strerror(code);
  }
}

}  // namespace

Result<Tap> Tap::open(const std::string& name, const MacAddress& mac) {
  const auto failed = [&name](const std::string& why) {
    return Failure(fmt::format("cannot make the mirror interface '{}': {}", name, why));
  };
  if (!valid_name(name)) return failed("a name has 1 to 15 characters, and no space, '/', ':' or '%'");
  Tap tap;
  tap.fd_ = FileDescriptor(::open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tap.fd_) return failed(fmt::format("/dev/net/tun: {}", std::strerror(errno)));
  ifreq request{};
  name.copy(request.ifr_name, IFNAMSIZ - 1);
  request.ifr_flags = IFF_TAP | IFF_NO_PI;
  if (::ioctl(tap.fd(), TUNSETIFF, &request) != 0) return failed(attach_error(errno));
  if (::ioctl(tap.fd(), TUNSETOFFLOAD, 0) != 0)
    return failed(fmt::format("offloads: {}", std::strerror(errno)));
  // The index before the MAC: this ioctl answers by name in the thread's namespace, where the interface was
  // just made.
  tap.ifindex_ = static_cast<int>(::if_nametoindex(name.c_str()));
  if (tap.ifindex_ == 0) return failed(std::strerror(errno));
  if (auto done = tap.set_carrier(true); !done) return failed(done.error());
  ifreq hardware{};
  name.copy(hardware.ifr_name, IFNAMSIZ - 1);
  hardware.ifr_hwaddr.sa_family = ARPHRD_ETHER;
  std::memcpy(hardware.ifr_hwaddr.sa_data, mac.octets.data(), mac.octets.size());
  if (::ioctl(tap.fd(), SIOCSIFHWADDR, &hardware) != 0) {
    return failed(fmt::format("MAC address {}: {}", mac.to_string(), std::strerror(errno)));
  }
  return tap;
}

Tap::Read Tap::read(std::span<std::uint8_t> buffer, std::size_t& length) {
  for (;;) {
    const ssize_t size = ::read(fd(), buffer.data(), buffer.size());
    if (size >= 0) {
      length = static_cast<std::size_t>(size);
      return Read::kFrame;
    }
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == EWOULDBLOCK ? Read::kNothing : Read::kGone;
  }
}

bool Tap::write(std::span<const std::uint8_t> frame) {
  for (;;) {
    const ssize_t size = ::write(fd(), frame.data(), frame.size());
    if (size < 0 && errno == EINTR) continue;
    return size == static_cast<ssize_t>(frame.size());
  }
}

Result<void> Tap::set_carrier(bool up) {
  int value = up ? 1 : 0;
  if (::ioctl(fd(), TUNSETCARRIER, &value) != 0) {
    return Failure(fmt::format("cannot set the carrier: {}", std::strerror(errno)));
  }
  return {};
}

}  // namespace shunt::control
