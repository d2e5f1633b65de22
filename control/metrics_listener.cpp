#include "control/metrics_listener.h"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <utility>
#include <vector>

#include "control/endpoint.h"

namespace shunt::control {

namespace {

using asio::ip::tcp;

constexpr std::chrono::milliseconds kAcceptRetry{100};

std::string_view reason_phrase(unsigned status) {
  switch (status) {
    case 200:
      return "OK";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Bad Request";
  }
}

std::string_view first_line(std::string_view head) {
  return head.substr(0, head.find("\r\n"));
}

}  // namespace

unsigned metrics_request_status(std::string_view head) {
  const std::string_view line = first_line(head);
  const std::size_t target_at = line.find(' ');
  const std::size_t version_at = line.rfind(' ');
  if (target_at == std::string_view::npos || target_at == 0 || target_at == version_at) return 400;
  const std::string_view method = line.substr(0, target_at);
  std::string_view target = line.substr(target_at + 1, version_at - target_at - 1);
  if (!line.substr(version_at + 1).starts_with("HTTP/1.") || target.empty() || target.front() != '/')
    return 400;
  target = target.substr(0, target.find('?'));
  if (target != "/metrics") return 404;
  return method == "GET" || method == "HEAD" ? 200 : 405;
}

/// One request and its response.
class MetricsListener::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(MetricsListener& owner, tcp::socket socket)
      : owner_(&owner), socket_(std::move(socket)), timer_(owner.io_) {}

  void start() {
    timer_.expires_after(std::chrono::milliseconds(owner_->options_.timeout_ms));
    timer_.async_wait([self = shared_from_this()](std::error_code error) {
      if (!error) self->close();
    });
    asio::async_read_until(socket_, asio::dynamic_buffer(input_, owner_->options_.head_octets), "\r\n\r\n",
                           [self = shared_from_this()](std::error_code error, std::size_t octets) {
                             if (self->owner_ != nullptr) self->head_read(error, octets);
                           });
  }
  void close() {
    if (owner_ == nullptr) return;
    MetricsListener& owner = *std::exchange(owner_, nullptr);
    std::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    owner.gone(shared_from_this());
  }

 private:
  void head_read(std::error_code error, std::size_t octets) {
    if (error && error != asio::error::not_found) return close();
    const std::string_view head = std::string_view(input_).substr(0, octets);
    const unsigned status = error ? 431 : metrics_request_status(head);
    const std::string body =
        status == 200 ? owner_->render_() : fmt::format("{} {}\n", status, reason_phrase(status));
    output_ = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n", status,
        reason_phrase(status), status == 200 ? "text/plain; version=0.0.4; charset=utf-8" : "text/plain",
        body.size(), status == 405 ? "Allow: GET, HEAD\r\n" : "");
    if (!head.starts_with("HEAD ")) output_ += body;
    asio::async_write(socket_, asio::buffer(output_),
                      [self = shared_from_this()](std::error_code, std::size_t) {
                        if (self->owner_ != nullptr) self->drain();
                      });
  }
  /// Waits for the client to close first, so that no reset overtakes the response; the timer bounds it.
  void drain() {
    std::error_code error;
    socket_.shutdown(tcp::socket::shutdown_send, error);
    if (error) return close();
    drain_more();
  }
  void drain_more() {
    socket_.async_read_some(asio::buffer(rest_),
                            [self = shared_from_this()](std::error_code error, std::size_t) {
                              if (error) return self->close();
                              if (self->owner_ != nullptr) self->drain_more();
                            });
  }

  MetricsListener* owner_;  ///< null once closed
  tcp::socket socket_;
  asio::steady_timer timer_;
  std::string input_, output_;
  std::array<char, 1024> rest_{};
};

Result<std::unique_ptr<MetricsListener>> MetricsListener::open(asio::io_context& io, const Options& options,
                                                               std::function<std::string()> render) {
  const tcp::endpoint endpoint = to_endpoint<tcp>(options.address);
  tcp::acceptor acceptor(io);
  std::error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return Failure("cannot listen for metrics at " + options.address.to_string() + ": " + error.message());
  return std::unique_ptr<MetricsListener>(
      new MetricsListener(io, options, std::move(render), std::move(acceptor)));
}

MetricsListener::MetricsListener(asio::io_context& io, const Options& options,
                                 std::function<std::string()> render, tcp::acceptor acceptor)
    : io_(io), options_(options), render_(std::move(render)), acceptor_(std::move(acceptor)), retry_(io) {
  accept();
}

MetricsListener::~MetricsListener() {
  *alive_ = false;
  for (const auto& client : std::vector(clients_.begin(), clients_.end()))
    client->close();
}

std::uint16_t MetricsListener::port() const {
  std::error_code ignored;
  return acceptor_.local_endpoint(ignored).port();
}

void MetricsListener::accept() {
  acceptor_.async_accept([this, alive = alive_](std::error_code error, tcp::socket socket) {
    if (!*alive) return;
    if (error) {
      spdlog::warn("connection for metrics not accepted: {}", error.message());
      retry_.expires_after(kAcceptRetry);
      retry_.async_wait([this, alive](std::error_code) {
        if (*alive) accept();
      });
      return;
    }
    if (clients_.size() < options_.clients) {
      const auto client = std::make_shared<Client>(*this, std::move(socket));
      clients_.insert(client);
      client->start();
    }
    accept();
  });
}

void MetricsListener::gone(const std::shared_ptr<Client>& client) {
  clients_.erase(client);
}

}  // namespace shunt::control
