#include "control/tls_stream.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace shunt::control {

namespace {

/// Reads of the socket in one call of OpenSSL's: a record takes two. It would go on for as long as a client
/// sends records that hold nothing for us (key updates, renegotiations), and the thread with it.
constexpr unsigned kReadsAtOnce = 64;
/// Reads without an octet for us, before the connection is given up: a handshake needs some twenty, a record
/// that comes in small segments some more.
constexpr unsigned kFruitlessReads = 2000;

int int_of(std::size_t octets) {
  return static_cast<int>(std::min<std::size_t>(octets, 1 << 30));
}

}  // namespace

/// OpenSSL's own BIO for sockets would raise SIGPIPE, knows nothing of a socket that was closed under it, and
/// reads without end.
struct TlsStream::WayOf {
  static Way& of(BIO* bio) { return *static_cast<Way*>(BIO_get_data(bio)); }

  static int result(BIO* bio, ssize_t n, int retry) {
    BIO_clear_retry_flags(bio);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
      BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
    return static_cast<int>(n);
  }
  static int write(BIO* bio, const char* from, int octets) {
    return result(bio, ::send(of(bio).fd, from, static_cast<std::size_t>(octets), MSG_NOSIGNAL),
                  BIO_FLAGS_WRITE);
  }
  static int read(BIO* bio, char* to, int octets) {
    Way& way = of(bio);
    if (way.reads == 0) {
      errno = EAGAIN;
      return result(bio, -1, BIO_FLAGS_READ);
    }
    --way.reads;
    const ssize_t n = ::recv(way.fd, to, static_cast<std::size_t>(octets), 0);
    if (n > 0) ++way.fruitless;
    if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return result(bio, n, BIO_FLAGS_READ);
  }
  static long control(BIO* bio, int command, long, void*) {
    if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
  }

  /// Lives as long as the process.
  static const BIO_METHOD* method() {
    static const BIO_METHOD* const method = [] {
      BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "shunt socket");
      if (m == nullptr) return m;
      BIO_meth_set_write(m, write);
      BIO_meth_set_read(m, read);
      BIO_meth_set_ctrl(m, control);
      return m;
    }();
    return method;
  }
};

std::unique_ptr<TlsStream> TlsStream::make(asio::ip::tcp::socket socket, const TlsContext& context,
                                           StreamKind kind, const IpAddress& client,
                                           std::shared_ptr<HandshakeTurns> turns) {
  const BIO_METHOD* const method = WayOf::method();
  std::error_code error;
  socket.non_blocking(true, error);
  if (method == nullptr || error) return nullptr;
  SSL* const ssl = context.new_session(kind);
  BIO* const bio = BIO_new(method);
  if (ssl == nullptr || bio == nullptr) {
    SSL_free(ssl);
    BIO_free(bio);
    return nullptr;
  }
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(socket), ssl, client, std::move(turns)));
  BIO_set_data(bio, &stream->way_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  return stream;
}

TlsStream::TlsStream(asio::ip::tcp::socket socket, SSL* ssl, const IpAddress& client,
                     std::shared_ptr<HandshakeTurns> turns)
    : socket_(std::move(socket)),
      ssl_(ssl),
      way_{.fd = socket_.native_handle()},
      client_(client),
      turns_(std::move(turns)) {}

TlsStream::~TlsStream() {
  way_.fd = -1;
  SSL_free(ssl_);
}

bool TlsStream::resumed() const {
  return SSL_session_reused(ssl_) == 1;
}

TlsStream::Step TlsStream::step(int result) {
  const int system = errno;
  switch (SSL_get_error(ssl_, result)) {
    case SSL_ERROR_NONE:
      return {};
    case SSL_ERROR_WANT_READ:
      if (way_.fruitless < kFruitlessReads) return {Wait::kRead, {}};
      broken_ = true;
      return {Wait::kNone, kFlooded};
    case SSL_ERROR_WANT_WRITE:
      return {Wait::kWrite, {}};
    case SSL_ERROR_ZERO_RETURN:
      return {Wait::kNone, asio::error::eof};
    case SSL_ERROR_SYSCALL:
      broken_ = true;
      ERR_clear_error();
      return {Wait::kNone, std::error_code(system != 0 ? system : ECONNRESET, std::system_category())};
    default:
      broken_ = true;
      ERR_clear_error();
      return {Wait::kNone, std::make_error_code(std::errc::protocol_error)};
  }
}

/// Calls `again`, which keeps this alive, with an error where the wait ended in one. kNone: on the next turn.
template <typename Again>
void TlsStream::wait_for(Wait wait, Again again) {
  if (wait == Wait::kNone) {
    asio::post(socket_.get_executor(), [again = std::move(again)]() mutable { again({}); });
    return;
  }
  socket_.async_wait(wait == Wait::kRead ? asio::socket_base::wait_read : asio::socket_base::wait_write,
                     [again = std::move(again)](std::error_code error) mutable { again(error); });
}

void TlsStream::handshake(std::function<void(std::error_code)> done) {
  // The client speaks first: there is nothing to do before it has.
  handshake_after(Wait::kRead, std::move(done));
}

void TlsStream::handshake_after(Wait wait, std::function<void(std::error_code)> done) {
  wait_for(wait, [this, done = std::move(done)](std::error_code error) mutable {
    if (!error && way_.fd < 0) error = asio::error::operation_aborted;
    if (error) return done(error);
    if (turns_->may_go()) return handshake_step(std::move(done));
    turn_ = turns_->wait(client_, [this, done = std::move(done)] {
      turn_.reset();
      handshake_step(done);
    });
  });
}

void TlsStream::handshake_step(std::function<void(std::error_code)> done) {
  if (way_.fd < 0) return done(asio::error::operation_aborted);
  ERR_clear_error();
  way_.reads = kReadsAtOnce;
  const auto began = thread_time();
  const Step result = step(SSL_do_handshake(ssl_));
  turns_->spent(thread_time() - began);
  if (result.error || result.wait == Wait::kNone) return done(result.error);
  handshake_after(result.wait, std::move(done));
}

void TlsStream::read(std::span<std::uint8_t> room, Handler done) {
  const Wait wait = SSL_has_pending(ssl_) == 1 ? Wait::kNone : Wait::kRead;
  wait_for(wait, [this, room, done = std::move(done)](std::error_code error) mutable {
    if (error) return done(error, 0);
    read_step(room, std::move(done));
  });
}

void TlsStream::read_step(std::span<std::uint8_t> room, Handler done) {
  if (way_.fd < 0) return done(asio::error::operation_aborted, 0);
  if (broken_) return done(asio::error::broken_pipe, 0);
  ERR_clear_error();
  way_.reads = kReadsAtOnce;
  const int n = SSL_read(ssl_, room.data(), int_of(room.size()));
  if (n > 0) {
    way_.fruitless = 0;
    return done({}, static_cast<std::size_t>(n));
  }
  const Step result = step(n);
  if (result.error) return done(result.error, 0);
  wait_for(result.wait, [this, room, done = std::move(done)](std::error_code error) mutable {
    if (error) return done(error, 0);
    read_step(room, std::move(done));
  });
}

void TlsStream::write(std::span<const std::uint8_t> octets, Handler done) {
  wait_for(Wait::kNone, [this, octets, done = std::move(done)](std::error_code) mutable {
    write_step(octets, 0, std::move(done));
  });
}

void TlsStream::write_step(std::span<const std::uint8_t> octets, std::size_t written, Handler done) {
  while (written < octets.size()) {
    if (way_.fd < 0) return done(asio::error::operation_aborted, written);
    if (broken_) return done(asio::error::broken_pipe, written);
    ERR_clear_error();
    way_.reads = kReadsAtOnce;
    const int n = SSL_write(ssl_, octets.data() + written, int_of(octets.size() - written));
    if (n > 0) {
      written += static_cast<std::size_t>(n);
      continue;
    }
    const Step result = step(n);
    if (result.error) return done(result.error, written);
    return wait_for(result.wait,
                    [this, octets, written, done = std::move(done)](std::error_code error) mutable {
                      if (error) return done(error, written);
                      write_step(octets, written, std::move(done));
                    });
  }
  done({}, written);
}

bool TlsStream::shut() {
  if (way_.fd < 0) return false;
  if (!broken_) {
    ERR_clear_error();
    SSL_shutdown(ssl_);  // tells the client where there is room for it; its answer isn't waited for
    ERR_clear_error();
  }
  std::error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  return !error;
}

void TlsStream::close() {
  way_.fd = -1;
  std::error_code ignored;
  socket_.close(ignored);
  if (!turn_) return;
  if (auto waiting = turns_->leave(*std::exchange(turn_, std::nullopt)))
    asio::post(socket_.get_executor(), std::move(waiting));
}

}  // namespace shunt::control
