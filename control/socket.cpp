#include "control/socket.h"

#include <fcntl.h>
#include <spdlog/spdlog.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

namespace shunt::control {

namespace {

using asio::local::stream_protocol;
using nlohmann::json;

constexpr std::chrono::milliseconds kAcceptRetry{100};

/// A descriptor that closes itself unless it is released.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string reason() {
  return std::generic_category().message(errno);
}

/// Deepest nesting of brackets outside strings. Scans; what isn't JSON is found out later.
std::size_t nesting(std::string_view text) {
  std::size_t depth = 0, deepest = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
    } else if (c == '"') {
      quoted = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

Result<json> parse_request(std::string_view line, std::size_t max_depth) {
  if (nesting(line) > max_depth) return Failure("request nested too deep");
  json request = json::parse(line, nullptr, false);
  if (request.is_discarded()) return Failure("not JSON: expected one object on one line");
  if (!request.is_object()) return Failure("expected an object: {\"command\": \"status\"}");
  const auto command = request.find("command");
  if (command == request.end() || !command->is_string()) return Failure("expected a string \"command\"");
  return request;
}

json ok_reply(json result) {
  return {{"ok", true}, {"result", std::move(result)}};
}
json error_reply(std::string_view error) {
  return {{"ok", false}, {"error", error}};
}

/// One connection: reads a line, has it worked on, writes the reply, and so on.
class ControlSocket::Client : public std::enable_shared_from_this<Client> {
 public:
  Client(ControlSocket& owner, stream_protocol::socket socket)
      : owner_(&owner), socket_(std::move(socket)), timer_(owner.io_) {}

  void read_line() {
    arm_timer();
    asio::async_read_until(socket_, asio::dynamic_buffer(input_, owner_->options_.line_octets), '\n',
                           [self = shared_from_this()](std::error_code error, std::size_t octets) {
                             if (self->owner_ != nullptr) self->line_read(error, octets);
                           });
  }
  void close() {
    if (owner_ == nullptr) return;
    ControlSocket& owner = *std::exchange(owner_, nullptr);
    std::error_code ignored;
    socket_.close(ignored);
    timer_.cancel();
    owner.gone(shared_from_this());
  }

 private:
  void arm_timer() {
    timer_.expires_after(std::chrono::milliseconds(owner_->options_.idle_ms));
    timer_.async_wait([self = shared_from_this(), serial = ++timer_serial_](std::error_code error) {
      if (error || self->owner_ == nullptr || serial != self->timer_serial_) return;
      ++self->owner_->counters_[ControlCounter::timeouts];
      self->close();
    });
  }
  void stop_timer() {
    ++timer_serial_;
    timer_.cancel();
  }

  void line_read(std::error_code error, std::size_t octets) {
    if (error == asio::error::not_found) {  // the line is longer than may be
      ++owner_->counters_[ControlCounter::requests_bad];
      closing_ = true;
      return reply(
          error_reply("request longer than " + std::to_string(owner_->options_.line_octets) + " octets"));
    }
    if (error) return close();
    stop_timer();
    const std::string line = input_.substr(0, octets - 1);
    input_.erase(0, octets);
    const Result<json> request = parse_request(line, owner_->options_.depth);
    ++owner_->counters_[request ? ControlCounter::requests : ControlCounter::requests_bad];
    if (!request) return reply(error_reply(request.error()));
    work(*request);
  }

  void work(const json& request) {
    // The handler may keep `done` for as long as it likes: it counts once, and only while the client is
    // there.
    const std::uint64_t serial = ++request_serial_;
    const Done done = [weak = weak_from_this(), serial](const json& answer) {
      const auto self = weak.lock();
      if (!self || self->owner_ == nullptr || serial != self->request_serial_) return;
      ++self->request_serial_;
      self->reply(answer);
    };
    try {
      owner_->handler_(request, done);
    } catch (const std::exception& e) {
      done(error_reply(e.what()));
    }
  }

  void reply(const json& answer) {
    output_ = answer.dump(-1, ' ', false, json::error_handler_t::replace);
    output_ += '\n';
    arm_timer();
    asio::async_write(socket_, asio::buffer(output_),
                      [self = shared_from_this()](std::error_code error, std::size_t) {
                        if (self->owner_ == nullptr) return;
                        if (error || self->closing_) return self->close();
                        self->read_line();
                      });
  }

  ControlSocket* owner_;  ///< null once closed
  stream_protocol::socket socket_;
  asio::steady_timer timer_;
  std::uint64_t timer_serial_ = 0;
  std::uint64_t request_serial_ = 0;
  bool closing_ = false;
  std::string input_, output_;
};

namespace {

/// True where somebody listens at `path`.
bool answers(const sockaddr_un& address) {
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (probe.get() < 0) return true;  // can't tell: take nothing away
  const int connected = ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  return connected == 0 || (errno != ECONNREFUSED && errno != ENOENT);
}

/// Takes PATH.lock for as long as the descriptor lives: two daemons that start at once can't both find the
/// socket stale.
Result<int> lock(const std::string& path) {
  const std::string name = path + ".lock";
  Descriptor file(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (file.get() < 0) return Failure("cannot open " + name + ": " + reason());
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
    return Failure(errno == EWOULDBLOCK ? "another shuntd is running: it holds " + name
                                        : "cannot lock " + name + ": " + reason());
  }
  return file.release();
}

Result<int> listen_at(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Failure("control socket \"" + path + "\": a path of 1 to " +
                   std::to_string(sizeof address.sun_path - 1) + " octets is needed");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);

  struct stat status;
  if (::lstat(path.c_str(), &status) == 0) {
    if (!S_ISSOCK(status.st_mode)) return Failure(path + " exists and is no socket");
    if (answers(address)) return Failure("another daemon answers at " + path);
    if (::unlink(path.c_str()) != 0) return Failure("cannot remove the stale " + path + ": " + reason());
  }
  Descriptor listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (listener.get() < 0) return Failure("cannot make the control socket: " + reason());
  // The file is never wider open than 0660, not even between bind and chmod; chmod then undoes the umask.
  if (::fchmod(listener.get(), 0660) != 0 ||
      ::bind(listener.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::chmod(path.c_str(), 0660) != 0 || ::listen(listener.get(), 64) != 0) {
    return Failure("cannot listen at " + path + ": " + reason());
  }
  return listener.release();
}

}  // namespace

Result<std::unique_ptr<ControlSocket>> ControlSocket::open(asio::io_context& io, Options options,
                                                           Handler handler) {
  const std::filesystem::path folder = std::filesystem::path(options.path).parent_path();
  std::error_code error;
  if (!folder.empty() && !std::filesystem::create_directory(folder, error) && error) {
    return Failure("cannot make the folder " + folder.string() + ": " + error.message());
  }
  const Result<int> lock_fd = lock(options.path);
  if (!lock_fd) return Failure(lock_fd.error());
  Descriptor held(*lock_fd);
  const Result<int> listener = listen_at(options.path);
  if (!listener) return Failure(listener.error());
  return std::unique_ptr<ControlSocket>(
      new ControlSocket(io, std::move(options), std::move(handler), *listener, held.release()));
}

ControlSocket::ControlSocket(asio::io_context& io, Options options, Handler handler, int listener, int lock)
    : io_(io),
      options_(std::move(options)),
      handler_(std::move(handler)),
      lock_(lock),
      acceptor_(io, stream_protocol(), listener),
      retry_(io) {
  accept();
}

ControlSocket::~ControlSocket() {
  *alive_ = false;
  for (const auto& client : std::vector(clients_.begin(), clients_.end()))
    client->close();
  std::error_code ignored;
  acceptor_.close(ignored);
  ::unlink(options_.path.c_str());
  ::close(lock_);
}

void ControlSocket::accept() {
  acceptor_.async_accept([this, alive = alive_](std::error_code error, stream_protocol::socket socket) {
    if (!*alive) return;
    if (error) {
      spdlog::warn("connection to the control socket not accepted: {}", error.message());
      retry_.expires_after(kAcceptRetry);
      retry_.async_wait([this, alive](std::error_code) {
        if (*alive) accept();
      });
      return;
    }
    if (clients_.size() < options_.clients) {
      ++counters_[ControlCounter::clients];
      const auto client = std::make_shared<Client>(*this, std::move(socket));
      clients_.insert(client);
      client->read_line();
    } else {
      ++counters_[ControlCounter::clients_refused];
      std::error_code ignored;
      socket.close(ignored);
    }
    accept();
  });
}

void ControlSocket::gone(const std::shared_ptr<Client>& client) {
  clients_.erase(client);
}

}  // namespace shunt::control
