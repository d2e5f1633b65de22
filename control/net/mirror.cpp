#include "control/net/mirror.h"

#include <fmt/format.h>

#include <asio/posix/stream_descriptor.hpp>
#include <utility>

#include "control/net/tap.h"

namespace shunt::control {

namespace {

/// Frames per wake-up: a flood lets the rest of the loop have its turn.
constexpr int kFramesPerTurn = 64;
constexpr std::size_t kMaxFrame = 65536 + 18;

struct Setting {
  const char* path;  // with the interface's name for {}
  const char* value;
};
constexpr Setting kSettings[] = {
    // What arrives for other addresses than the port's is not ours to pass on.
    {"ipv4/conf/{}/forwarding", "0"},
    {"ipv6/conf/{}/forwarding", "0"},
    // Each port speaks for its own addresses only.
    {"ipv4/conf/{}/arp_ignore", "1"},
    {"ipv4/conf/{}/arp_announce", "2"},
    {"ipv4/conf/{}/rp_filter", "0"},
    // Routes come from the configuration and from who administers the host, not from whoever is on the link.
    {"ipv4/conf/{}/accept_redirects", "0"},
    {"ipv4/conf/{}/send_redirects", "0"},
    {"ipv6/conf/{}/accept_redirects", "0"},
    {"ipv6/conf/{}/accept_ra", "0"},
    {"ipv6/conf/{}/router_solicitations", "0"},
    // A reload that takes an address away must not take the others of its subnet along.
    {"ipv4/conf/{}/promote_secondaries", "1"},
    // Addresses are usable at once, and outlive `ip link set … down`.
    {"ipv6/conf/{}/accept_dad", "0"},
    {"ipv6/conf/{}/dad_transmits", "0"},
    {"ipv6/conf/{}/keep_addr_on_down", "1"},
    {"ipv6/conf/{}/disable_ipv6", "0"},
};

}  // namespace

class Mirror::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, std::string name, Tap tap, Interface interface, OnFrame on_frame)
      : name_(std::move(name)),
        tap_(std::move(tap)),
        interface_(std::move(interface)),
        on_frame_(std::move(on_frame)),
        readable_(loop, tap_.fd()),
        buffer_(kMaxFrame) {}
  ~Impl() { (void)readable_.release(); }  // the descriptor is the TAP's

  void close() {
    closed_ = true;
    readable_.cancel();
    interface_.forget_rules();
  }

  void wait() {
    readable_.async_wait(asio::posix::descriptor_base::wait_read,
                         [weak = weak_from_this()](const std::error_code& error) {
                           // Once closed, the object is gone, or goes with the last reference that a running
                           // turn holds.
                           const auto self = weak.lock();
                           if (error || !self || self->closed_) return;
                           if (self->read()) self->wait();
                         });
  }

  /// One turn; false when there is nothing more to come.
  bool read() {
    for (int i = 0; i < kFramesPerTurn && !closed_; ++i) {
      std::size_t length = 0;
      switch (tap_.read(buffer_, length)) {
        case Tap::Read::kNothing:
          return true;
        case Tap::Read::kGone:
          stats_.gone = true;
          return false;
        case Tap::Read::kFrame:
          ++stats_.from_kernel;
          on_frame_(std::span<const std::uint8_t>(buffer_).first(length));
          break;
      }
    }
    return !closed_;
  }

  bool write(std::span<const std::uint8_t> frame) {
    const bool done = tap_.write(frame);
    ++(done ? stats_.to_kernel : stats_.to_kernel_dropped);
    return done;
  }

  const std::string name_;
  Tap tap_;
  Interface interface_;
  MirrorStats stats_;

 private:
  OnFrame on_frame_;
  asio::posix::stream_descriptor readable_;
  std::vector<std::uint8_t> buffer_;
  bool closed_ = false;
};

Mirror::Mirror(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Mirror::Mirror(Mirror&&) noexcept = default;
Mirror& Mirror::operator=(Mirror&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
Mirror::~Mirror() {
  if (impl_) impl_->close();
}

Result<Mirror> Mirror::open(asio::io_context& loop, const Namespace& where, const std::string& name,
                            const MacAddress& mac, const InterfaceSettings& settings, OnFrame on_frame) {
  return where.run([&]() -> Result<Mirror> {
    auto tap = Tap::open(name, mac);
    if (!tap) return Failure(tap.error());
    auto netlink = Netlink::open();
    if (!netlink) return Failure(netlink.error());
    // As far as the kernel and its keepers allow: without IPv6 there are no such files, and containers see
    // them read-only.
    for (const Setting& setting : kSettings) {
      (void)where.set(fmt::format(fmt::runtime(setting.path), name), setting.value);
    }
    Interface interface(std::move(*netlink), tap->ifindex(), name);
    auto impl =
        std::make_shared<Impl>(loop, name, std::move(*tap), std::move(interface), std::move(on_frame));
    Mirror mirror(std::move(impl));
    if (auto done = mirror.update(settings); !done) return Failure(done.error());
    mirror.impl_->wait();
    return mirror;
  });
}

const std::string& Mirror::name() const {
  return impl_->name_;
}
int Mirror::ifindex() const {
  return impl_->tap_.ifindex();
}
bool Mirror::write(std::span<const std::uint8_t> frame) {
  return impl_->write(frame);
}
Result<void> Mirror::set_carrier(bool up) {
  return impl_->tap_.set_carrier(up);
}
Result<void> Mirror::update(const InterfaceSettings& settings) {
  return impl_->interface_.change(settings);
}
const MirrorStats& Mirror::stats() const {
  return impl_->stats_;
}

}  // namespace shunt::control
