// The control socket: a Unix stream socket that takes one JSON object a line and answers each with one.
//
//   {"command": "explain", …}  ->  {"ok": true, "result": {…}}  or  {"ok": false, "error": "…"}
//
// Who may connect is the file's mode: root and the socket's group. Whatever a client sends or leaves unsent
// costs at most its own connection: a line, its nesting, the clients, and every wait are bounded. One request
// of a client is worked on at a time. Runs on the thread of its io_context.
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>

#include "control/counters.h"
#include "dataplane/base/result.h"

namespace shunt::control {

/// A request from one line (no newline): an object with a string "command", nested at most `max_depth` deep.
/// Everything else is an error that says what was expected.
Result<nlohmann::json> parse_request(std::string_view line, std::size_t max_depth);

/// The two forms of a reply.
nlohmann::json ok_reply(nlohmann::json result);
nlohmann::json error_reply(std::string_view error);

class ControlSocket {
 public:
  /// Works on a request; `done` takes the reply, on the same thread, during the call or any time later. Calls
  /// after the first, or after the client or the socket has gone, do nothing. What the handler throws becomes
  /// an error reply.
  using Done = std::function<void(nlohmann::json reply)>;
  using Handler = std::function<void(const nlohmann::json& request, Done done)>;

  struct Options {
    std::string path;
    std::size_t line_octets = 64 * 1024;  ///< of a request, newline included
    std::size_t depth = 16;               ///< of a request's nesting
    std::size_t clients = 32;
    std::uint32_t idle_ms = 30000;  ///< for a whole request to arrive, and for a reply to be read
  };

  /// Takes the path: makes its folder (one level) where missing, removes a socket that a dead daemon left,
  /// and fails where a live one answers or holds PATH.lock. The file gets mode 0660.
  static Result<std::unique_ptr<ControlSocket>> open(asio::io_context& io, Options options, Handler handler);
  ~ControlSocket();  ///< closes everything, removes the socket's file (not the lock's)
  ControlSocket(const ControlSocket&) = delete;
  ControlSocket& operator=(const ControlSocket&) = delete;

  const ControlCounters& counters() const { return counters_; }
  std::size_t clients() const { return clients_.size(); }

 private:
  class Client;
  ControlSocket(asio::io_context& io, Options options, Handler handler, int listener, int lock);
  void accept();
  void gone(const std::shared_ptr<Client>& client);

  asio::io_context& io_;
  Options options_;
  Handler handler_;
  int lock_;
  asio::local::stream_protocol::acceptor acceptor_;
  asio::steady_timer retry_;
  std::set<std::shared_ptr<Client>> clients_;
  ControlCounters counters_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);  ///< for what was queued before the end
};

}  // namespace shunt::control
