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

// OpenSSL's way to the socket. Its own BIO for sockets would raise SIGPIPE, and knows nothing of a socket
// that was closed under it.

int descriptor(BIO* bio) {
  return *static_cast<const int*>(BIO_get_data(bio));
}

int bio_result(BIO* bio, ssize_t n, int retry) {
  BIO_clear_retry_flags(bio);
  if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
    BIO_set_flags(bio, retry | BIO_FLAGS_SHOULD_RETRY);
  return static_cast<int>(n);
}

int bio_write(BIO* bio, const char* from, int octets) {
  return bio_result(bio, ::send(descriptor(bio), from, static_cast<std::size_t>(octets), MSG_NOSIGNAL),
                    BIO_FLAGS_WRITE);
}

int bio_read(BIO* bio, char* to, int octets) {
  const ssize_t n = ::recv(descriptor(bio), to, static_cast<std::size_t>(octets), 0);
  if (n == 0) BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
  return bio_result(bio, n, BIO_FLAGS_READ);
}

long bio_control(BIO* bio, int command, long, void*) {
  if (command == BIO_CTRL_EOF) return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0 ? 1 : 0;
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

/// Lives as long as the process.
const BIO_METHOD* socket_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "shunt socket");
    if (m == nullptr) return m;
    BIO_meth_set_write(m, bio_write);
    BIO_meth_set_read(m, bio_read);
    BIO_meth_set_ctrl(m, bio_control);
    return m;
  }();
  return method;
}

int int_of(std::size_t octets) {
  return static_cast<int>(std::min<std::size_t>(octets, 1 << 30));
}

}  // namespace

std::unique_ptr<TlsStream> TlsStream::make(asio::ip::tcp::socket socket, const TlsContext& context,
                                           StreamKind kind) {
  const BIO_METHOD* const method = socket_method();
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
  std::unique_ptr<TlsStream> stream(new TlsStream(std::move(socket), ssl));
  BIO_set_data(bio, &stream->fd_);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl, bio, bio);
  return stream;
}

TlsStream::TlsStream(asio::ip::tcp::socket socket, ssl_st* ssl)
    : socket_(std::move(socket)), ssl_(ssl), fd_(socket_.native_handle()) {}

TlsStream::~TlsStream() {
  fd_ = -1;
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
      return {Wait::kRead, {}};
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
    if (!error && fd_ < 0) error = asio::error::operation_aborted;
    if (error) return done(error);
    ERR_clear_error();
    const Step result = step(SSL_do_handshake(ssl_));
    if (result.error || result.wait == Wait::kNone) return done(result.error);
    handshake_after(result.wait, std::move(done));
  });
}

void TlsStream::read(std::span<std::uint8_t> room, Handler done) {
  const Wait wait = SSL_has_pending(ssl_) == 1 ? Wait::kNone : Wait::kRead;
  wait_for(wait, [this, room, done = std::move(done)](std::error_code error) mutable {
    if (error) return done(error, 0);
    read_step(room, std::move(done));
  });
}

void TlsStream::read_step(std::span<std::uint8_t> room, Handler done) {
  if (fd_ < 0) return done(asio::error::operation_aborted, 0);
  if (broken_) return done(asio::error::broken_pipe, 0);
  ERR_clear_error();
  const int n = SSL_read(ssl_, room.data(), int_of(room.size()));
  if (n > 0) return done({}, static_cast<std::size_t>(n));
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
    if (fd_ < 0) return done(asio::error::operation_aborted, written);
    if (broken_) return done(asio::error::broken_pipe, written);
    ERR_clear_error();
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
  if (fd_ < 0) return false;
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
  fd_ = -1;
  std::error_code ignored;
  socket_.close(ignored);
}

}  // namespace shunt::control
