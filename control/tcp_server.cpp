#include "control/tcp_server.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "control/endpoint.h"
#include "control/handshake_turns.h"
#include "control/https_protocol.h"
#include "control/tcp_connection.h"
#include "control/tcp_framing.h"
#include "control/tcp_stream.h"
#include "control/tls_stream.h"
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
  out.handshakes = std::max(8u, limits.tcp_connections / 4);
  return out;
}

TcpServer::TcpServer(asio::io_context& io, const TcpLimits& limits, Owner owner)
    : io_(io),
      limits_(limits),
      owner_(std::move(owner)),
      turns_(std::make_shared<HandshakeTurns>(io, limits.handshake_share)),
      sweep_timer_(io),
      drain_timer_(io) {
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
  std::map<SocketAddress, const TcpEndpoint*> wanted;
  for (const TcpEndpoint& endpoint : change.endpoints_)
    wanted[endpoint.address] = &endpoint;

  std::erase_if(listeners_, [&](auto& entry) {
    if (wanted.contains(entry.first)) return false;
    close_listener(*entry.second);
    return true;
  });
  for (const auto& [address, want] : wanted) {
    if (const auto listener = listeners_.find(address); listener != listeners_.end()) {
      listener->second->endpoint->index = want->endpoint;
      listener->second->endpoint->tls = want->tls;
    } else if (const auto opened = change.opened_.find(address); opened != change.opened_.end()) {
      auto endpoint =
          std::make_shared<Endpoint>(Endpoint{want->endpoint, false, want->kind, want->tls, address});
      auto made = std::make_shared<Listener>(
          Listener{std::move(opened->second), asio::steady_timer(io_), std::move(endpoint)});
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
      ++counters_of(listener->endpoint->kind)[TcpCounter::accept_failed];
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
  Kind& kind = of(listener->endpoint->kind);
  const auto refuse = [&](TcpCounter why) {
    ++kind.counters[why];
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
  std::unique_ptr<ByteStream> stream = make_stream(std::move(socket), *listener->endpoint, client.address);
  if (stream == nullptr) {
    ++kind.counters[TcpCounter::accept_failed];
    return;
  }
  ++kind.counters[TcpCounter::connections_accepted];
  ++kind.connections;
  ++per_client_[client.address];
  const auto connection = std::make_shared<TcpConnection>(
      *this, std::move(stream), make_protocol(*listener->endpoint), client, listener->endpoint);
  connections_.insert(connection);
  if (listener->endpoint->kind != StreamKind::kTcp) {
    handshaking_.push_back(connection.get());
    make_room_for_handshake();
  }
  connection->start();
}

/// Who floods pays: the client that has most, and there the handshake that had most time.
void TcpServer::make_room_for_handshake() {
  const std::size_t most = pressed() ? std::max(1u, limits_.handshakes / 2) : limits_.handshakes;
  while (handshaking_.size() > most) {
    std::map<IpAddress, std::size_t> counts;
    std::size_t highest = 0;
    for (const TcpConnection* connection : handshaking_)
      highest = std::max(highest, ++counts[connection->client().address]);
    const auto victim = std::find_if(handshaking_.begin(), handshaking_.end(), [&](const auto* connection) {
      return counts[connection->client().address] == highest;
    });
    (*victim)->close(TcpCounter::closed_handshake_full);
  }
}

void TcpServer::handshake_over(const TcpConnection& connection) {
  std::erase(handshaking_, &connection);
}

std::unique_ptr<ByteStream> TcpServer::make_stream(tcp::socket socket, const Endpoint& endpoint,
                                                   const IpAddress& client) {
  if (endpoint.kind == StreamKind::kTcp) return std::make_unique<PlainStream>(std::move(socket));
  return TlsStream::make(std::move(socket), *endpoint.tls, endpoint.kind, client, turns_);
}

std::unique_ptr<StreamProtocol> TcpServer::make_protocol(const Endpoint& endpoint) {
  if (endpoint.kind != StreamKind::kHttps) return std::make_unique<TcpFraming>();
  return std::make_unique<HttpsProtocol>(endpoint.tls->https_path(), limits_.queries_per_connection,
                                         counters_of(endpoint.kind));
}

void TcpServer::take_query(TcpConnection& connection, std::span<const std::uint8_t> message,
                           std::uint32_t tag) {
  const StreamKind kind_is = connection.endpoint().kind;
  const TcpTicket ticket = next_ticket_++ | static_cast<TcpTicket>(kind_is) << kTicketKindBit;
  Kind& kind = of(kind_is);
  ++kind.counters[TcpCounter::queries];
  tickets_.emplace(ticket, &connection);
  ++kind.in_flight;
  const Clock::time_point now = Clock::now();
  ages_.emplace_back(now, ticket);
  HopOptions options = asked_options(message);
  options.padding &= kind_is != StreamKind::kTcp;      // RFC 7830 section 6: in clear it is waste
  options.keepalive &= kind_is != StreamKind::kHttps;  // there HTTP keeps connections
  connection.add({ticket, tag, options, now, state::QueryEnd::kError});
  if (owner_.on_query(ticket, connection.client(), connection.endpoint().index, message)) return;
  ++kind.counters[TcpCounter::queries_overload];
  if (take(ticket) != nullptr) connection.end_ticket(ticket, overload_answer(message));
}

TcpConnection* TcpServer::take(TcpTicket ticket) {
  const auto found = tickets_.find(ticket);
  if (found == tickets_.end()) return nullptr;
  TcpConnection* const connection = found->second;
  tickets_.erase(found);
  --of(connection->endpoint().kind).in_flight;
  return connection;
}

void TcpServer::answer(TcpTicket ticket, std::span<const std::uint8_t> message) {
  if (message.size() < dns::kHeaderSize || message.size() > 65535) return drop(ticket);
  if (TcpConnection* const connection = take(ticket)) {
    connection->end_ticket(ticket, message);
  } else {
    const auto kind = static_cast<std::size_t>(kind_of(ticket));
    if (kind < kStreamKinds) ++kinds_[kind].counters[TcpCounter::answers_without_connection];
  }
}

void TcpServer::note_end(TcpTicket ticket, state::QueryEnd end) {
  if (const auto found = tickets_.find(ticket); found != tickets_.end()) found->second->note_end(ticket, end);
}

void TcpServer::drop(TcpTicket ticket) {
  TcpConnection* const connection = take(ticket);
  if (connection == nullptr) return;
  ++counters_of(connection->endpoint().kind)[TcpCounter::queries_dropped];
  connection->end_ticket(ticket, {});
}

/// Its answers are nobody's any more.
void TcpServer::forget(const TcpConnection& connection) {
  for (const TcpConnection::Asked& asked : connection.asked())
    take(asked.ticket);
}

/// A connection has closed: it may be held by its pending handlers still, but is ours no longer.
void TcpServer::gone(TcpConnection& connection) {
  forget(connection);
  handshake_over(connection);
  --of(connection.endpoint().kind).connections;
  const auto client = per_client_.find(connection.client().address);
  if (client != per_client_.end() && --client->second == 0) per_client_.erase(client);
  connections_.erase(connection.shared_from_this());
  if (stopping_ && connections_.empty()) finish_stop();
}

/// One timer for all waits of all connections: each is late by a quarter of the shortest limit at most.
void TcpServer::schedule_sweep() {
  const std::uint32_t shortest =
      std::min({limits_.idle_ms, limits_.pressed_idle_ms, limits_.message_ms, limits_.write_ms,
                limits_.answer_ms, limits_.linger_ms, limits_.handshake_ms});
  sweep_timer_.expires_after(std::chrono::milliseconds(std::clamp(shortest / 4, 5u, 250u)));
  sweep_timer_.async_wait([this, alive = std::weak_ptr(alive_)](std::error_code error) {
    if (error || alive.expired()) return;
    sweep();
    schedule_sweep();
  });
}

std::uint32_t TcpServer::shortened(std::uint32_t limit) const {
  const std::uint64_t taken = std::uint64_t{connections_.size()} * 4, most = limits_.connections;
  if (taken <= most * 2) return limit;
  if (taken > most * 3) return std::min(limit, limits_.pressed_idle_ms);
  return limit - static_cast<std::uint32_t>(limit / 2 * (taken - most * 2) / most);
}

void TcpServer::sweep() {
  const Clock::time_point now = Clock::now();
  turns_->set_share(std::max(1u, pressed() ? limits_.handshake_share / 2 : limits_.handshake_share));
  expire(now);
  for (const auto& connection : std::vector(connections_.begin(), connections_.end()))
    connection->check(now);
}

void TcpServer::expire(Clock::time_point now) {
  while (!ages_.empty()) {
    const auto [since, ticket] = ages_.front();
    if (tickets_.contains(ticket)) {
      if (now - since < std::chrono::milliseconds(limits_.answer_ms)) return;
      TcpConnection* const connection = take(ticket);
      ++counters_of(connection->endpoint().kind)[TcpCounter::queries_expired];
      connection->end_ticket(ticket, {});
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
