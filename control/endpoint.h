// Between Asio's endpoints and our addresses.
#pragma once

#include <asio.hpp>

#include "dataplane/base/address.h"

namespace shunt::control {

template <typename Protocol>
typename Protocol::endpoint to_endpoint(const SocketAddress& address) {
  if (address.address.is_v4()) {
    asio::ip::address_v4::bytes_type octets;
    std::memcpy(octets.data(), address.address.v4_octets(), octets.size());
    return {asio::ip::address_v4(octets), address.port};
  }
  return {asio::ip::address_v6(address.address.octets), address.port};
}

template <typename Endpoint>
SocketAddress from_endpoint(const Endpoint& endpoint) {
  const asio::ip::address address = endpoint.address();
  if (address.is_v4()) return {IpAddress::v4(address.to_v4().to_bytes().data()), endpoint.port()};
  return {IpAddress::v6(address.to_v6().to_bytes().data()), endpoint.port()};
}

}  // namespace shunt::control
