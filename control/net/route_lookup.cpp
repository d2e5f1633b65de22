#include "control/net/route_lookup.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <optional>

namespace shunt::control {

namespace {

/// RTA_VIA: the gateway of an IPv4 route that is an IPv6 address (RFC 5549).
std::optional<IpAddress> via_of(const NetlinkAttributes& attributes) {
  const nlattr* attribute = attributes.find(RTA_VIA);
  constexpr std::size_t kAddress = 2;  // after the family
  if (attribute == nullptr || mnl_attr_get_payload_len(attribute) < kAddress) return std::nullopt;
  const auto* octets = static_cast<const std::uint8_t*>(mnl_attr_get_payload(attribute));
  std::uint16_t family = 0;
  std::memcpy(&family, octets, sizeof family);
  const std::size_t length = mnl_attr_get_payload_len(attribute) - kAddress;
  if (family == AF_INET && length == 4) return IpAddress::v4(octets + kAddress);
  if (family == AF_INET6 && length == 16) return IpAddress::v6(octets + kAddress);
  return std::nullopt;
}

struct Answer {
  std::uint8_t type = RTN_UNSPEC;
  int ifindex = 0;
  std::optional<IpAddress> gateway;
};

NetlinkResult<Answer> ask(Netlink& netlink, const IpAddress* source, const IpAddress& target) {
  NetlinkMessage message(RTM_GETROUTE, 0);
  auto& header = message.header<rtmsg>();
  header.rtm_family = family_of(target);
  const std::uint8_t bits = target.is_v4() ? 32 : 128;
  header.rtm_dst_len = bits;
  if (source != nullptr) header.rtm_src_len = bits;
  message.put_address(RTA_DST, target);
  if (source != nullptr) message.put_address(RTA_SRC, *source);
  Answer answer;
  const auto done = netlink.request(message, [&answer](const nlmsghdr& m) {
    const auto* route = netlink_header<rtmsg>(m);
    if (route == nullptr || m.nlmsg_type != RTM_NEWROUTE) return;
    const NetlinkAttributes attributes(m, sizeof(rtmsg));
    answer.type = route->rtm_type;
    answer.ifindex = static_cast<int>(attributes.u32(RTA_OIF).value_or(0));
    answer.gateway = attributes.address(RTA_GATEWAY);
    if (!answer.gateway) answer.gateway = via_of(attributes);
  });
  if (!done) return tl::unexpected(done.error());
  return answer;
}

std::string refusal(const NetlinkError& error, const IpAddress& source, const IpAddress& target) {
  switch (error.code) {
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EACCES:
      return fmt::format("no route from {} to {}", source.to_string(), target.to_string());
    default:
      return fmt::format("no route from {} to {}: {}", source.to_string(), target.to_string(), error.text);
  }
}

}  // namespace

Route lookup_route(Netlink& netlink, const IpAddress& source, const IpAddress& target) {
  const auto none = [](std::string why_not) { return Route{.why_not = std::move(why_not)}; };
  if (source.is_v4() != target.is_v4()) {
    return none(fmt::format("{} and {} are of different families", source.to_string(), target.to_string()));
  }
  const auto answer = ask(netlink, &source, target);
  if (!answer) return none(refusal(answer.error(), source, target));
  switch (answer->type) {
    case RTN_UNICAST:
      break;
    case RTN_LOCAL:
      return none(fmt::format("{} is an address of this gateway itself", target.to_string()));
    case RTN_BROADCAST:
    case RTN_MULTICAST:
    case RTN_ANYCAST:
      return none(fmt::format("{} is no address of a single host", target.to_string()));
    default:
      return none(fmt::format("no route from {} to {}", source.to_string(), target.to_string()));
  }
  if (answer->ifindex == 0) return none(fmt::format("the route to {} has no interface", target.to_string()));
  return {.ifindex = answer->ifindex, .next_hop = answer->gateway.value_or(target), .why_not = {}};
}

bool is_local_address(Netlink& netlink, const IpAddress& address) {
  const auto answer = ask(netlink, nullptr, address);
  return answer && answer->type == RTN_LOCAL;
}

}  // namespace shunt::control
