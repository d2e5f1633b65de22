#include "control/tcp_server.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "control/endpoint.h"
#include "control/tcp_connection.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {

namespace {

using asio::ip::tcp;

/// After an accept that failed for want of descriptors or memory.
constexpr std::chrono::milliseconds kAcceptRetry{100};

Result<tcp::acceptor> adopt(asio::io_context& io, const SocketAddress& address, int fd) {
  tcp::acceptor acceptor(io);
  std::error_code error;
  acceptor.assign(to_endpoint<tcp>(address).protocol(), fd, error);
  if (error) {
    ::close(fd);
    return Failure(error.message());
  }
  return acceptor;
}

/// SERVFAIL with extended error 23 for a query that no worker takes; empty for what must not be answered.
std::vector<std::uint8_t> overload_answer(std::span<const std::uint8_t> message) {
  std::array<std::uint8_t, kMaxMessage + 64> wire;
  std::memcpy(wire.data(), message.data(), message.size());
  dns::Question question;
  const dns::QueryVerdict verdict = dns::parse_query(message, question);
  if (verdict == dns::QueryVerdict::kShort || verdict == dns::QueryVerdict::kResponse) return {};
  dns::ReplyFields fields;
  fields.rcode = dns::Rcode::kServFail;
  fields.error = dns::ExtendedError::kNetworkError;
  fields.stream = true;
  const std::size_t length = dns::make_reply(wire.data(), wire.size(), question, fields);
  return {wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(length)};
}

}  // namespace

TcpLimits TcpLimits::from(const conf::Limits& limits) {
  TcpLimits out;
  out.connections = limits.tcp_connections;
  out.connections_per_client = limits.tcp_connections_per_client;
  out.queries_per_connection = limits.tcp_queries_per_connection;
  out.idle_ms = limits.tcp_idle_ms;
  out.pressed_idle_ms = std::max(1u, limits.tcp_idle_ms / 10);
  return out;
}

TcpServer::TcpServer(asio::io_context& io, const TcpLimits& limits, Owner owner)
    : io_(io), limits_(limits), owner_(std::move(owner)), sweep_timer_(io), drain_timer_(io) {
  schedule_sweep();
}

TcpServer::~TcpServer() {
  stopped_ = nullptr;
  for (auto& [address, listener] : listeners_)
    close_listener(*listener);
  for (const auto& connection : std::vector(connections_.begin(), connections_.end()))
    connection->close();
}

Result<TcpServer::Change> TcpServer::prepare(std::vector<TcpEndpoint> endpoints) {
  Change change;
  change.endpoints_ = std::move(endpoints);
  std::string errors;
  for (const TcpEndpoint& endpoint : change.endpoints_) {
    if (listeners_.contains(endpoint.address) || change.opened_.contains(endpoint.address)) continue;
    auto acceptor = owner_.open_listener(endpoint.address).and_then([&](int fd) {
      return adopt(io_, endpoint.address, fd);
    });
    if (acceptor) {
      change.opened_.emplace(endpoint.address, *std::move(acceptor));
    } else {
      errors += (errors.empty() ? "cannot listen at TCP " : "; at ") + endpoint.address.to_string() + ": " +
                acceptor.error();
    }
  }
  if (!errors.empty()) return Failure(errors);
  return change;
}

void TcpServer::apply(Change change) {
  if (stopping_) return;
  std::map<SocketAddress, std::uint16_t> wanted;
  for (const TcpEndpoint& endpoint : change.endpoints_)
    wanted[endpoint.address] = endpoint.endpoint;

  std::erase_if(listeners_, [&](auto& entry) {
    if (wanted.contains(entry.first)) return false;
    close_listener(*entry.second);
    return true;
  });
  for (const auto& [address, index] : wanted) {
    if (const auto listener = listeners_.find(address); listener != listeners_.end()) {
      listener->second->endpoint->index = index;
    } else if (const auto opened = change.opened_.find(address); opened != change.opened_.end()) {
      auto made = std::make_shared<Listener>(Listener{std::move(opened->second), asio::steady_timer(io_),
                                                      std::make_shared<Endpoint>(Endpoint{index, false})});
      listeners_.emplace(address, made);
      accept(made);
    }
  }
  for (const auto& connection : std::vector(connections_.begin(), connections_.end())) {
    const Endpoint& endpoint = connection->endpoint();
    if (endpoint.removed || !owner_.allowed(endpoint.index, connection->client().address))
      connection->finish();
  }
}

Result<void> TcpServer::set_endpoints(std::vector<TcpEndpoint> endpoints) {
  return prepare(std::move(endpoints)).map([this](Change change) { apply(std::move(change)); });
}

void TcpServer::close_listener(Listener& listener) {
  std::error_code ignored;
  listener.closed = true;
  listener.endpoint->removed = true;
  listener.acceptor.close(ignored);
  listener.retry.cancel();
}

void TcpServer::accept(const std::shared_ptr<Listener>& listener) {
  listener->acceptor.async_accept([this, listener](std::error_code error, tcp::socket socket) {
    if (listener->closed) return;  // so may be the server
    if (!error) {
      accepted(listener, std::move(socket));
    } else if (error != asio::error::connection_aborted) {
      ++counters_[TcpCounter::accept_failed];
      spdlog::warn("TCP connection not accepted: {}", error.message());
      listener->retry.expires_after(kAcceptRetry);
      listener->retry.async_wait([this, listener](std::error_code) {
        if (!listener->closed) accept(listener);
      });
      return;
    }
    accept(listener);
  });
}

void TcpServer::accepted(const std::shared_ptr<Listener>& listener, tcp::socket socket) {
  std::error_code error;
  const tcp::endpoint remote = socket.remote_endpoint(error);
  if (error) return;  // reset already
  const SocketAddress client = from_endpoint(remote);
  const auto refuse = [&](TcpCounter why) {
    ++counters_[why];
    // A reset, so that a flood leaves no TIME_WAIT behind.
    socket.set_option(asio::socket_base::linger(true, 0), error);
  };
  if (!owner_.allowed(listener->endpoint->index, client.address))
    return refuse(TcpCounter::connections_not_allowed);
  if (connections_.size() >= limits_.connections) return refuse(TcpCounter::connections_full);
  const auto taken = per_client_.find(client.address);
  if (taken != per_client_.end() && taken->second >= limits_.connections_per_client) {
    return refuse(TcpCounter::connections_client_limit);
  }
  socket.set_option(tcp::no_delay(true), error);
  ++counters_[TcpCounter::connections_accepted];
  ++per_client_[client.address];
  const auto connection =
      std::make_shared<TcpConnection>(*this, std::move(socket), client, listener->endpoint);
  connections_.insert(connection);
  connection->start();
}

void TcpServer::take_query(TcpConnection& connection, std::span<const std::uint8_t> message) {
  const TcpTicket ticket = next_ticket_++;
  ++counters_[TcpCounter::queries];
  tickets_.emplace(ticket, &connection);
  ages_.emplace_back(Clock::now(), ticket);
  connection.add_ticket(ticket);
  if (owner_.on_query(ticket, connection.client(), connection.endpoint().index, message)) return;
  ++counters_[TcpCounter::queries_overload];
  if (tickets_.erase(ticket) != 0) connection.end_ticket(ticket, overload_answer(message));
}

void TcpServer::answer(TcpTicket ticket, std::span<const std::uint8_t> message) {
  if (message.size() < dns::kHeaderSize || message.size() > 65535) return drop(ticket);
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) {
    ++counters_[TcpCounter::answers_without_connection];
    return;
  }
  TcpConnection& connection = *found->second;
  tickets_.erase(found);
  connection.end_ticket(ticket, message);
}

void TcpServer::drop(TcpTicket ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return;
  TcpConnection& connection = *found->second;
  tickets_.erase(found);
  ++counters_[TcpCounter::queries_dropped];
  connection.end_ticket(ticket, {});
}

/// A connection has closed: it may be held by its pending handlers still, but is ours no longer.
void TcpServer::gone(TcpConnection& connection) {
  for (const TcpTicket ticket : connection.tickets())
    tickets_.erase(ticket);
  const auto client = per_client_.find(connection.client().address);
  if (client != per_client_.end() && --client->second == 0) per_client_.erase(client);
  connections_.erase(connection.shared_from_this());
  if (stopping_ && connections_.empty()) finish_stop();
}

/// One timer for all waits of all connections: each is late by a quarter of the shortest limit at most.
void TcpServer::schedule_sweep() {
  const std::uint32_t shortest = std::min({limits_.idle_ms, limits_.pressed_idle_ms, limits_.message_ms,
                                           limits_.write_ms, limits_.answer_ms, limits_.linger_ms});
  sweep_timer_.expires_after(std::chrono::milliseconds(std::clamp(shortest / 4, 5u, 250u)));
  sweep_timer_.async_wait([this, alive = std::weak_ptr(alive_)](std::error_code error) {
    if (error || alive.expired()) return;
    sweep();
    schedule_sweep();
  });
}

void TcpServer::sweep() {
  const Clock::time_point now = Clock::now();
  expire(now);
  for (const auto& connection : std::vector(connections_.begin(), connections_.end()))
    connection->check(now);
}

void TcpServer::expire(Clock::time_point now) {
  while (!ages_.empty()) {
    const auto [since, ticket] = ages_.front();
    const auto found = tickets_.find(ticket);
    if (found != tickets_.end()) {
      if (now - since < std::chrono::milliseconds(limits_.answer_ms)) return;
      TcpConnection& connection = *found->second;
      tickets_.erase(found);
      ++counters_[TcpCounter::queries_expired];
      connection.end_ticket(ticket, {});
    }
    ages_.pop_front();
  }
}

void TcpServer::stop(std::uint32_t drain_ms, std::function<void()> done) {
  if (stopping_) return;
  stopping_ = true;
  stopped_ = std::move(done);
  for (auto& [address, listener] : listeners_)
    close_listener(*listener);
  listeners_.clear();
  for (const auto& connection : std::vector(connections_.begin(), connections_.end()))
    connection->finish();
  if (connections_.empty()) return finish_stop();
  drain_timer_.expires_after(std::chrono::milliseconds(drain_ms));
  drain_timer_.async_wait([this, alive = std::weak_ptr(alive_)](std::error_code error) {
    if (error || alive.expired()) return;
    for (const auto& connection : std::vector(connections_.begin(), connections_.end()))
      connection->close();
  });
}

void TcpServer::finish_stop() {
  drain_timer_.cancel();
  if (stopped_) asio::post(io_, std::exchange(stopped_, nullptr));
}

}  // namespace shunt::control
