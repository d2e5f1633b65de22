// Between Asio's endpoints and our addresses.
#pragma once

#include <unistd.h>

#include <asio.hpp>
#include <cstring>
#include <system_error>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

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

/// Hands the descriptor of a socket that is to ask `target` to `socket`, which owns it in any case, and binds
/// it where `source` is not "::".
template <typename Socket>
Result<void> adopt_socket(Socket& socket, int fd, const SocketAddress& target, const IpAddress& source) {
  using Protocol = typename Socket::protocol_type;
  std::error_code error;
  socket.assign(to_endpoint<Protocol>(target).protocol(), fd, error);
  if (error) {
    ::close(fd);
    return Failure(error.message());
  }
  socket.non_blocking(true, error);
  if (!error && source != IpAddress{}) socket.bind(to_endpoint<Protocol>({source, 0}), error);
  if (error) return Failure(error.message());
  return {};
}

}  // namespace shunt::control
