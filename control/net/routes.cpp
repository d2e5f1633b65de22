#include "control/net/routes.h"

#include <fmt/format.h>
#include <linux/neighbour.h>

#include <array>
#include <asio/error.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <cerrno>
#include <chrono>
#include <map>
#include <set>
#include <utility>

#include "control/net/links.h"
#include "control/net/neighbours.h"
#include "control/net/netlink.h"
#include "control/net/route_lookup.h"

namespace shunt::control {

namespace {

using std::chrono::milliseconds;

/// Events come in bursts: one look afterwards is enough.
constexpr milliseconds kCoalesce{2};
/// How often the neighbours that the kernel does not refresh by itself are asked for, as its own interval is.
constexpr milliseconds kRefresh{5000};
/// Every so many refreshes all routes are looked up again: some changes have no event (redirects, path
/// exceptions).
constexpr unsigned kSweep = 6;
/// Work per turn of the loop, a few milliseconds at most.
constexpr int kDatagramsPerTurn = 64;
constexpr int kLookupsPerTurn = 512;

/// The octets of `address` with the bits after `length` set to `bit`: the ends of a prefix's range.
IpAddress fill(IpAddress address, unsigned length, bool bit) {
  for (unsigned i = length; i < 128; ++i) {
    const auto mask = static_cast<std::uint8_t>(0x80u >> (i % 8));
    std::uint8_t& octet = address.octets[i / 8];
    octet = static_cast<std::uint8_t>(bit ? octet | mask : octet & ~mask);
  }
  return address;
}

}  // namespace

class Routes::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, Netlink requests, Netlink events)
      : loop_(loop),
        requests_(std::move(requests)),
        events_(std::move(events)),
        readable_(loop, events_.fd()),
        coalesce_(loop),
        refresh_(loop) {}
  ~Impl() { (void)readable_.release(); }  // the descriptor is the socket's

  void start() {
    links_.resync(requests_);
    wait_for_events();
    wait_for_refresh();
  }
  void close() { closed_ = true; }

  void set_ports(std::vector<RoutePort> ports) {
    ports_.clear();
    for (const RoutePort& port : ports)
      ports_.insert_or_assign(port.ifindex, port.port);
    look_up_all();
  }

  void want(std::vector<RouteRequest> requests) {
    wanted_ = std::move(requests);
    routes_.assign(wanted_.size(), {});
    by_target_.clear();
    for (std::size_t i = 0; i < wanted_.size(); ++i)
      by_target_.emplace(wanted_[i].target, i);
    dirty_.clear();
    look_up_all();
  }

  std::function<void()> callback_;
  std::vector<RouteRequest> wanted_;
  std::vector<Hop> hops_;

 private:
  /// Wraps a handler of this object's: nothing happens once it is closed or gone.
  template <typename Function>
  auto guarded(Function function) {
    return [weak = weak_from_this(), function](const std::error_code& error = {}) {
      const auto self = weak.lock();
      if (!error && self && !self->closed_) function(*self);
    };
  }

  void wait_for_events() {
    readable_.async_wait(asio::posix::descriptor_base::wait_read, guarded([](Impl& self) {
                           self.read_events();
                           self.wait_for_events();
                         }));
  }

  void wait_for_refresh() {
    refresh_.expires_after(kRefresh);
    refresh_.async_wait(guarded([](Impl& self) {
      self.neighbours_.refresh(self.requests_);
      if (++self.refreshes_ % kSweep == 0) {
        self.mark_all();
        self.schedule();
      }
      self.wait_for_refresh();
    }));
  }

  /// Runs turn() soon, and once for all events until then.
  void schedule() {
    if (std::exchange(scheduled_, true)) return;
    coalesce_.expires_after(kCoalesce);
    coalesce_.async_wait(guarded([](Impl& self) { self.turn(); }));
  }

  void turn() {
    scheduled_ = false;
    if (look_up()) {  // the rest in the next turn, so that the loop's other work is not kept waiting
      scheduled_ = true;
      asio::post(loop_, guarded([](Impl& self) { self.turn(); }));
      return;
    }
    neighbours_.repair(requests_);
    std::vector<Hop> now = settle();
    if (now == hops_) return;
    hops_ = std::move(now);
    if (const auto callback = callback_) callback();
  }

  void read_events() {
    for (int i = 0; i < kDatagramsPerTurn; ++i) {
      const auto more = events_.receive([this](const nlmsghdr& m) { handle(m); });
      if (more && !*more) return;
      if (!more) {
        resync();
        return;
      }
    }
  }

  /// Events were lost.
  void resync() {
    links_.resync(requests_);
    neighbours_.resync(requests_);
    mark_all();
    schedule();
  }

  void handle(const nlmsghdr& message) {
    switch (message.nlmsg_type) {
      case RTM_NEWNEIGH:
      case RTM_DELNEIGH:
        if (neighbours_.handle(message)) schedule();
        return;
      case RTM_NEWLINK:
      case RTM_DELLINK:
        if (!links_.handle(message)) return;
        break;
      case RTM_NEWROUTE:
      case RTM_DELROUTE:
        mark_route(message);
        return;
      default:  // addresses, rules, next hop objects: may change any route
        break;
    }
    mark_all();
    schedule();
  }

  void mark_all() {
    for (std::size_t i = 0; i < wanted_.size(); ++i)
      dirty_.insert(i);
  }

  /// Only targets within the prefix of a route are affected by it: a routing daemon may bring many thousands.
  void mark_route(const nlmsghdr& message) {
    const auto* header = netlink_header<rtmsg>(message);
    if (header == nullptr || (header->rtm_family != AF_INET && header->rtm_family != AF_INET6)) return;
    const bool v4 = header->rtm_family == AF_INET;
    const unsigned length = header->rtm_dst_len + (v4 ? 96u : 0u);
    if (length > 128) return;
    static constexpr std::array<std::uint8_t, 4> kAnyV4{};
    const IpAddress any = v4 ? IpAddress::v4(kAnyV4.data()) : IpAddress{};
    const IpAddress prefix = NetlinkAttributes(message, sizeof(rtmsg)).address(RTA_DST).value_or(any);
    const auto first = by_target_.lower_bound(fill(prefix, length, false));
    const auto last = by_target_.upper_bound(fill(prefix, length, true));
    for (auto i = first; i != last; ++i)
      dirty_.insert(i->second);
    if (first != last) schedule();
  }

  /// At once, for the caller's calls: it may have made or removed mirrors just now, whose events are still on
  /// the way.
  void look_up_all() {
    links_.resync(requests_);
    mark_all();
    while (look_up()) {
    }
    hops_ = settle();
  }

  /// Looks up some of what may have changed; true if more is left.
  bool look_up() {
    std::map<IpAddress, bool> local;
    for (int i = 0; i < kLookupsPerTurn && !dirty_.empty(); ++i) {
      const std::size_t index = *dirty_.begin();
      dirty_.erase(dirty_.begin());
      const auto& [source, target] = wanted_[index];
      const auto [found, added] = local.try_emplace(source, false);
      if (added) found->second = is_local_address(requests_, source);
      // IPv6 would route from any source; what comes back would not find its way.
      routes_[index] = found->second
                           ? lookup_route(requests_, source, target)
                           : Route{.why_not = fmt::format("{} is on no interface", source.to_string())};
    }
    return !dirty_.empty();
  }

  /// Has the kernel keep the next hops that there are now, and tells the hops.
  std::vector<Hop> settle() {
    std::set<NextHop> next_hops;
    for (const Route& route : routes_) {
      if (ports_.contains(route.ifindex)) next_hops.insert({route.ifindex, route.next_hop});
    }
    neighbours_.keep(requests_, std::move(next_hops));
    std::vector<Hop> hops;
    hops.reserve(routes_.size());
    for (const Route& route : routes_)
      hops.push_back(hop_of(route));
    return hops;
  }

  Hop hop_of(const Route& route) const {
    Hop hop{.ifindex = route.ifindex, .next_hop = route.next_hop, .why_not = route.why_not};
    if (route.ifindex == 0) return hop;
    const Link* link = links_.find(route.ifindex);
    const std::string name = link == nullptr ? fmt::format("interface {}", route.ifindex) : link->name;
    const auto port = ports_.find(route.ifindex);
    if (port == ports_.end()) {
      hop.why_not = fmt::format("the route leaves through {}, which mirrors no port", name);
      return hop;
    }
    hop.port = port->second;
    const Neighbour* neighbour = neighbours_.find({route.ifindex, route.next_hop});
    if (neighbour != nullptr) hop.mac = neighbour->mac;
    if (link == nullptr || !link->up) {
      hop.why_not = fmt::format("{} is down", name);
    } else if (!link->carrier) {
      hop.why_not = fmt::format("{} has no link", name);
    } else if (neighbour == nullptr || neighbour->state == 0 || (neighbour->state & NUD_INCOMPLETE) != 0) {
      hop.why_not = fmt::format("{} on {} has not answered yet", route.next_hop.to_string(), name);
    } else if (!neighbour->usable()) {
      hop.why_not = fmt::format("{} on {} does not answer", route.next_hop.to_string(), name);
    }
    hop.usable = hop.why_not.empty();
    return hop;
  }

  asio::io_context& loop_;
  Netlink requests_;
  Netlink events_;
  asio::posix::stream_descriptor readable_;
  asio::steady_timer coalesce_;
  asio::steady_timer refresh_;
  bool closed_ = false;
  bool scheduled_ = false;
  unsigned refreshes_ = 0;

  Links links_;
  Neighbours neighbours_;
  std::map<int, std::uint8_t> ports_;                ///< by ifindex
  std::vector<Route> routes_;                        ///< parallel to wanted_
  std::multimap<IpAddress, std::size_t> by_target_;  ///< indices of wanted_
  std::set<std::size_t> dirty_;                      ///< indices of wanted_ to be looked up
};

Routes::Routes(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Routes::Routes(Routes&&) noexcept = default;
Routes& Routes::operator=(Routes&& other) noexcept {
  std::swap(impl_, other.impl_);
  return *this;
}
Routes::~Routes() {
  if (impl_) impl_->close();
}

Result<Routes> Routes::open(asio::io_context& loop, const Namespace& where) {
  return where.run([&loop]() -> Result<Routes> {
    auto requests = Netlink::open();
    if (!requests) return Failure(requests.error());
    auto events = Netlink::subscribe({RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR,
                                      RTNLGRP_IPV4_ROUTE, RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE,
                                      RTNLGRP_IPV6_RULE, RTNLGRP_NEXTHOP});
    if (!events) return Failure(events.error());
    Routes routes(std::make_shared<Impl>(loop, std::move(*requests), std::move(*events)));
    routes.impl_->start();
    return routes;
  });
}

void Routes::set_ports(std::vector<RoutePort> ports) {
  impl_->set_ports(std::move(ports));
}
void Routes::want(std::vector<RouteRequest> requests) {
  impl_->want(std::move(requests));
}
const std::vector<RouteRequest>& Routes::wanted() const {
  return impl_->wanted_;
}
const std::vector<Hop>& Routes::hops() const {
  return impl_->hops_;
}
void Routes::on_change(std::function<void()> callback) {
  impl_->callback_ = std::move(callback);
}

}  // namespace shunt::control
