// The smallest HTTP/1.1 server that Prometheus is content with: GET /metrics, one request a connection.
// Runs on the thread of its io_context. Connections, a request's size and every wait are bounded.
#pragma once

#include <asio.hpp>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// The status that a request's head (everything before the empty line) earns: 200 for GET or HEAD of
/// /metrics, 404 for another path, 405 for another method, 400 for what isn't HTTP/1.x.
unsigned metrics_request_status(std::string_view head);

class MetricsListener {
 public:
  struct Options {
    SocketAddress address;
    std::size_t clients = 16;
    std::size_t head_octets = 8192;
    std::uint32_t timeout_ms = 10000;  ///< for the whole exchange
  };

  /// Listens; `render` makes the text, at each request anew.
  static Result<std::unique_ptr<MetricsListener>> open(asio::io_context& io, const Options& options,
                                                       std::function<std::string()> render);
  ~MetricsListener();
  MetricsListener(const MetricsListener&) = delete;
  MetricsListener& operator=(const MetricsListener&) = delete;

  /// Where it listens: the port that the kernel chose where 0 was asked for.
  std::uint16_t port() const;

 private:
  class Client;
  MetricsListener(asio::io_context& io, const Options& options, std::function<std::string()> render,
                  asio::ip::tcp::acceptor acceptor);
  void accept();
  void gone(const std::shared_ptr<Client>& client);

  asio::io_context& io_;
  Options options_;
  std::function<std::string()> render_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::set<std::shared_ptr<Client>> clients_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< for what was queued before the end
};

}  // namespace shunt::control
