#include "control/ctl/client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>
#include <system_error>

namespace shunt::control::ctl {

namespace {

using Clock = std::chrono::steady_clock;
using Unexpected = tl::unexpected<CallError>;

constexpr std::size_t kMaxReply = std::size_t{256} << 20;

/// A connection whose every wait ends at one deadline.
class Connection {
 public:
  explicit Connection(Clock::time_point deadline) : deadline_(deadline) {}
  ~Connection() {
    if (fd_ >= 0) ::close(fd_);
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// An errno value, 0 for success.
  int connect(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path) return ENAMETOOLONG;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd_ < 0) return errno;
    // EAGAIN: the daemon's backlog is full; there is nothing to poll for then.
    while (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      if (errno != EAGAIN || Clock::now() >= deadline_) return errno;
      ::poll(nullptr, 0, 10);
    }
    return 0;
  }
  int send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      if (sent >= 0) {
        text.remove_prefix(static_cast<std::size_t>(sent));
      } else if (const int failed = await(POLLOUT); failed != 0) {
        return failed;
      }
    }
    return 0;
  }
  /// Reads up to a newline, which is left out; EPIPE where the daemon hangs up before.
  int receive_line(std::string& line) {
    std::string block(65536, '\0');
    while (line.size() < kMaxReply) {
      const ssize_t got = ::recv(fd_, block.data(), block.size(), 0);
      if (got == 0) return EPIPE;
      if (got < 0) {
        if (const int failed = await(POLLIN); failed != 0) return failed;
        continue;
      }
      const std::string_view piece(block.data(), static_cast<std::size_t>(got));
      const std::size_t end = piece.find('\n');
      line.append(piece.substr(0, end));
      if (end != std::string_view::npos) return 0;
    }
    return EMSGSIZE;
  }

 private:
  /// After a call that failed: waits if it was for want of data or room, else returns its errno.
  int await(short events) {
    if (errno == EINTR) return 0;
    if (errno != EAGAIN) return errno;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline_ - Clock::now()).count();
    if (left <= 0) return ETIMEDOUT;
    pollfd waiting{fd_, events, 0};
    const int ready = ::poll(&waiting, 1, static_cast<int>(std::min<long long>(left, 1000000)));
    return ready < 0 && errno != EINTR ? errno : 0;
  }

  Clock::time_point deadline_;
  int fd_ = -1;
};

std::string message(int error) {
  return std::generic_category().message(error);
}

}  // namespace

tl::expected<Json, CallError> call(const std::string& path, const nlohmann::json& request,
                                   std::chrono::milliseconds timeout) {
  Connection connection(Clock::now() + timeout);
  if (const int error = connection.connect(path); error != 0) {
    return Unexpected({kUnreachable, "cannot reach the daemon at " + path + ": " + message(error)});
  }
  std::string line;
  int error = connection.send(request.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  // A daemon that has no room for one more client says nothing and hangs up.
  if (error == 0) error = connection.receive_line(line);
  if (error != 0)
    return Unexpected({kUnreachable, "no reply from the daemon at " + path + ": " + message(error)});

  const Json reply = Json::parse(line, nullptr, false);
  const bool whole = reply.is_object() && reply.contains("ok") && reply["ok"].is_boolean();
  if (!whole) return Unexpected({kFailed, "the daemon's reply is no reply"});
  if (reply["ok"].get<bool>()) return reply.value("result", Json::object());
  const auto text = reply.find("error");
  const auto code = reply.find("code");
  CallError failure{kFailed, text != reply.end() && text->is_string() ? text->get<std::string>() : "failed"};
  if (code != reply.end() && code->is_number_integer() && *code > 0 && *code < 126)
    failure.code = code->get<int>();
  return Unexpected(failure);
}

}  // namespace shunt::control::ctl
