#include "control/upstream_link.h"

#include <sys/socket.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "control/endpoint.h"
#include "dataplane/base/bytes.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {

using asio::ip::tcp;

UpstreamLink::UpstreamLink(asio::io_context& io, UpstreamPeer peer)
    : socket_(io), deadline_(io), peer_(std::move(peer)) {
  if (peer_.tls) tls_.emplace(peer_.tls);
}

Result<void> UpstreamLink::make_socket() {
  const int family = peer_.address.address.is_v4() ? AF_INET : AF_INET6;
  Result<int> fd = Failure("");
  if (peer_.open_socket) {
    fd = peer_.open_socket(family, SOCK_STREAM);
    if (!fd) return Failure(fd.error());
  } else {
    fd = ::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*fd < 0) return Failure(std::generic_category().message(errno));
  }
  return adopt_socket(socket_, *fd, peer_.address, peer_.source);
}

void UpstreamLink::open(Events events) {
  events_ = std::move(events);
  state_ = State::kConnecting;
  if (auto made = make_socket(); !made) {
    asio::post(socket_.get_executor(),
               [self = shared_from_this(), why = made.error()] { self->end(LinkEnd::kNeverOpen, why); });
    return;
  }
  deadline_.expires_after(kOpenWithin);
  deadline_.async_wait([self = shared_from_this()](std::error_code error) {
    if (error || self->state_ == State::kOpen) return;
    self->end(LinkEnd::kNeverOpen,
              self->state_ == State::kShaking ? "no TLS handshake in time" : "no TCP connection in time");
  });
  socket_.async_connect(to_endpoint<tcp>(peer_.address), [self = shared_from_this()](std::error_code error) {
    if (self->state_ == State::kEnded) return;
    if (error) return self->end(LinkEnd::kNeverOpen, error.message());
    self->connected();
  });
}

void UpstreamLink::connected() {
  std::error_code ignored;
  socket_.set_option(tcp::no_delay(true), ignored);
  if (!tls_) {
    opened();
    return read();
  }
  state_ = State::kShaking;
  if (auto started = tls_->start(); !started) return end(LinkEnd::kNeverOpen, started.error());
  write();
  read();
}

void UpstreamLink::opened() {
  state_ = State::kOpen;
  deadline_.cancel();
  events_.opened();
}

void UpstreamLink::read() {
  if (state_ == State::kEnded) return;
  socket_.async_read_some(
      asio::buffer(input_), [self = shared_from_this()](std::error_code error, std::size_t octets) {
        if (self->state_ == State::kEnded) return;
        const LinkEnd how = self->state_ == State::kShaking ? LinkEnd::kNeverOpen : LinkEnd::kBroken;
        if (error == asio::error::eof) {
          if (how == LinkEnd::kNeverOpen) return self->end(how, "closed during the TLS handshake");
          if (!self->partial_.empty()) return self->end(how, "closed in the middle of an answer");
          return self->end(LinkEnd::kByPeer, "closed by the target");
        }
        if (error) return self->end(how, error.message());
        self->take({self->input_.data(), octets});
        self->read();
      });
}

void UpstreamLink::take(std::span<const std::uint8_t> octets) {
  if (!tls_) return take_plain(octets);
  plain_.clear();
  const bool was_shaking = state_ == State::kShaking;
  const Result<void> taken = tls_->take(octets, plain_);
  write();  // an alert says why, to the other side
  if (!taken) return end(was_shaking ? LinkEnd::kNeverOpen : LinkEnd::kBroken, taken.error());
  if (was_shaking && tls_->established()) opened();
  take_plain(plain_);
  if (tls_->closed_by_peer() && state_ == State::kOpen) end(LinkEnd::kByPeer, "closed by the target");
}

void UpstreamLink::take_plain(std::span<const std::uint8_t> octets) {
  if (state_ != State::kOpen || octets.empty()) return;
  if (!partial_.empty()) {
    partial_.insert(partial_.end(), octets.begin(), octets.end());
    const std::size_t taken = take_messages(partial_);
    partial_.erase(partial_.begin(), partial_.begin() + static_cast<std::ptrdiff_t>(taken));
    return;
  }
  const std::size_t taken = take_messages(octets);
  partial_.assign(octets.begin() + static_cast<std::ptrdiff_t>(taken), octets.end());
}

/// Hands out the whole messages at the front; returns their octets.
std::size_t UpstreamLink::take_messages(std::span<const std::uint8_t> octets) {
  std::size_t at = 0;
  while (octets.size() - at >= 2 && state_ == State::kOpen) {
    const std::size_t length = load_be16(&octets[at]);
    if (length < dns::kHeaderSize) {
      end(LinkEnd::kBroken, "a length that no DNS message has");
      break;
    }
    if (octets.size() - at - 2 < length) break;
    events_.message(octets.subspan(at + 2, length));
    at += 2 + length;
  }
  return at;
}

void UpstreamLink::send() {
  if (flush_posted_ || state_ != State::kOpen) return;
  flush_posted_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->flush_posted_ = false;
    if (self->state_ == State::kOpen) self->flush();
  });
}

/// A TLS record for each message: servers there are (NSD 4.6 is one) that read one message and then wait for
/// the socket, though the rest of its record is in their hands already.
Result<void> UpstreamLink::encrypt(std::span<const std::uint8_t> messages) {
  while (!messages.empty()) {
    const std::size_t length = 2u + load_be16(messages.data());
    if (auto written = tls_->write(messages.first(length)); !written) return written;
    messages = messages.subspan(length);
  }
  return {};
}

void UpstreamLink::flush() {
  if (tls_) {
    const Result<void> encrypted = encrypt(output_);
    if (!encrypted) return end(LinkEnd::kBroken, encrypted.error());
  } else {
    waiting_.insert(waiting_.end(), output_.begin(), output_.end());
  }
  output_.clear();
  write();
}

void UpstreamLink::write() {
  if (tls_) tls_->drain(waiting_);
  if (writing_ || waiting_.empty() || state_ == State::kEnded) return;
  writing_ = true;
  std::swap(written_, waiting_);
  waiting_.clear();
  asio::async_write(socket_, asio::buffer(written_),
                    [self = shared_from_this()](std::error_code error, std::size_t) {
                      self->writing_ = false;
                      if (self->state_ == State::kEnded) return;
                      // What the other side said before it broke off is still to be read: reading ends it.
                      if (!error) self->write();
                    });
}

void UpstreamLink::end(LinkEnd how, const std::string& why) {
  if (state_ == State::kEnded) return;
  stop();
  events_.ended(how, why);
}

void UpstreamLink::stop() {
  state_ = State::kEnded;
  std::error_code ignored;
  deadline_.cancel();
  socket_.close(ignored);
}

void UpstreamLink::close() {
  if (state_ == State::kEnded) return;
  if (state_ == State::kOpen && tls_ && !writing_) {
    tls_->close();
    std::vector<std::uint8_t> last;
    tls_->drain(last);
    std::error_code ignored;
    if (socket_.non_blocking()) socket_.write_some(asio::buffer(last), ignored);
  }
  stop();
}

}  // namespace shunt::control
