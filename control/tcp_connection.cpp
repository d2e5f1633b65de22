#include "control/tcp_connection.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/bytes.h"

namespace shunt::control {

namespace {

std::chrono::milliseconds ms(std::uint32_t value) {
  return std::chrono::milliseconds(value);
}

}  // namespace

TcpConnection::TcpConnection(TcpServer& server, asio::ip::tcp::socket socket, const SocketAddress& client,
                             std::shared_ptr<TcpServer::Endpoint> endpoint)
    : server_(&server),
      socket_(std::move(socket)),
      client_(client),
      endpoint_(std::move(endpoint)),
      active_(Clock::now()) {}

void TcpConnection::start() {
  read();
}

/// Whether further queries stay in the kernel's buffer for now.
bool TcpConnection::blocked() const {
  return tickets_.size() >= server_->limits_.queries_per_connection ||
         queued_.size() + written_.size() > server_->limits_.unsent_octets / 4;
}

void TcpConnection::read() {
  if (reading_ || ended_ || state_ == State::kClosed) return;
  reading_ = true;
  const std::span<std::uint8_t> room = framing_.room();
  socket_.async_read_some(asio::buffer(room.data(), room.size()),
                          [self = shared_from_this()](std::error_code error, std::size_t octets) {
                            self->reading_ = false;
                            if (self->state_ == State::kClosed) return;
                            if (!error) return self->received(octets);
                            if (error != asio::error::eof) return self->close(TcpCounter::closed_error);
                            // A client that shut its side still gets the answers it waits for.
                            self->ended_ = true;
                            self->finish();
                            self->settle();
                          });
}

void TcpConnection::received(std::size_t octets) {
  if (state_ != State::kOpen) return read();  // thrown away
  if (!framing_.partial()) message_started_ = Clock::now();
  framing_.added(octets);
  take_queries();
}

void TcpConnection::take_queries() {
  while (state_ == State::kOpen && !blocked()) {
    std::span<const std::uint8_t> message;
    switch (framing_.next(message)) {
      case TcpFraming::Next::kMessage:
        active_ = message_started_ = Clock::now();
        server_->take_query(*this, message);
        break;
      case TcpFraming::Next::kMore:
        return read();
      case TcpFraming::Next::kBad:
        return close(TcpCounter::closed_bad_length);
    }
  }
}

/// Goes on with queries that were held back. Posted, because it calls the owner.
void TcpConnection::resume_later() {
  if (state_ != State::kOpen || reading_ || resume_posted_ || blocked()) return;
  resume_posted_ = true;
  asio::post(socket_.get_executor(), [self = shared_from_this()] {
    self->resume_posted_ = false;
    if (self->state_ != State::kOpen || self->reading_) return;
    self->message_started_ = Clock::now();  // the wait so far was ours
    self->take_queries();
  });
}

void TcpConnection::end_ticket(TcpTicket ticket, std::span<const std::uint8_t> message) {
  const auto self = shared_from_this();  // closing may take the server's reference
  if (const auto found = std::find(tickets_.begin(), tickets_.end(), ticket); found != tickets_.end()) {
    *found = tickets_.back();
    tickets_.pop_back();
  }
  if (!message.empty()) send(message);
  if (state_ == State::kClosed) return;
  resume_later();
  settle();
}

void TcpConnection::send(std::span<const std::uint8_t> message) {
  if (queued_.size() + written_.size() + 2 + message.size() > server_->limits_.unsent_octets) {
    return close(TcpCounter::closed_slow_reader);
  }
  std::uint8_t length[2];
  store_be16(length, static_cast<std::uint16_t>(message.size()));
  queued_.insert(queued_.end(), length, length + 2);
  queued_.insert(queued_.end(), message.begin(), message.end());
  ++server_->counters_[TcpCounter::answers];
  write();
}

/// Writes all that is queued in one go: answers that were made together leave in one segment.
void TcpConnection::write() {
  if (writing_ || queued_.empty()) return;
  writing_ = true;
  written_.swap(queued_);
  write_started_ = Clock::now();
  asio::async_write(socket_, asio::buffer(written_),
                    [self = shared_from_this()](std::error_code error, std::size_t) {
                      self->writing_ = false;
                      self->written_.clear();
                      if (self->state_ == State::kClosed) return;
                      if (error) return self->close(TcpCounter::closed_error);
                      self->active_ = Clock::now();
                      self->write();
                      self->resume_later();
                      self->settle();
                    });
}

void TcpConnection::finish() {
  if (state_ != State::kOpen) return;
  state_ = State::kFinishing;
  framing_.clear();  // what comes from here on is read into it and thrown away
  settle();
}

/// Closes a connection that takes no more queries and has no more to say.
void TcpConnection::settle() {
  if (state_ == State::kLingering && ended_) return close();
  if (state_ != State::kFinishing || !tickets_.empty() || unsent()) return;
  if (ended_) return close();
  linger();
}

void TcpConnection::linger() {
  state_ = State::kLingering;
  linger_started_ = Clock::now();
  std::error_code error;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, error);
  if (error) return close();
  read();
}

void TcpConnection::close(TcpCounter reason) {
  if (state_ == State::kClosed) return;
  ++server_->counters_[reason];
  close();
}

void TcpConnection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  std::error_code ignored;
  socket_.close(ignored);
  std::exchange(server_, nullptr)->gone(*this);
}

void TcpConnection::check(Clock::time_point now) {
  const TcpLimits& limits = server_->limits_;
  const bool pressed = server_->pressed();
  if (writing_ && now - write_started_ >= ms(limits.write_ms)) return close(TcpCounter::closed_slow_reader);
  if (state_ == State::kLingering && now - linger_started_ >= ms(limits.linger_ms)) return close();
  if (state_ != State::kOpen || !reading_) return;
  if (framing_.partial()) {
    const std::uint32_t allowed =
        pressed ? std::min(limits.message_ms, limits.pressed_idle_ms) : limits.message_ms;
    if (now - message_started_ >= ms(allowed)) close(TcpCounter::closed_slow_sender);
    return;
  }
  if (!tickets_.empty() || unsent()) return;
  const std::uint32_t allowed = pressed ? std::min(limits.idle_ms, limits.pressed_idle_ms) : limits.idle_ms;
  if (now - active_ >= ms(allowed)) close(TcpCounter::closed_idle);
}

}  // namespace shunt::control
