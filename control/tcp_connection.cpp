#include "control/tcp_connection.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace shunt::control {

namespace {

/// A client that goes on sending is reset: it has no eyes for an answer.
constexpr std::size_t kMostLingered = 64 * 1024;

std::chrono::milliseconds ms(std::uint32_t value) {
  return std::chrono::milliseconds(value);
}

std::optional<TcpCounter> counter_of(StreamProtocol::Fault fault) {
  switch (fault) {
    case StreamProtocol::Fault::kBadLength:
      return TcpCounter::closed_bad_length;
    case StreamProtocol::Fault::kFlood:
      return TcpCounter::closed_flood;
    case StreamProtocol::Fault::kBroken:
      return TcpCounter::closed_error;
    case StreamProtocol::Fault::kParted:
    case StreamProtocol::Fault::kNone:
      break;
  }
  return std::nullopt;
}

}  // namespace

TcpConnection::TcpConnection(TcpServer& server, std::unique_ptr<ByteStream> stream,
                             std::unique_ptr<StreamProtocol> protocol, const SocketAddress& client,
                             std::shared_ptr<TcpServer::Endpoint> endpoint)
    : server_(&server),
      stream_(std::move(stream)),
      protocol_(std::move(protocol)),
      client_(client),
      endpoint_(std::move(endpoint)),
      active_(Clock::now()) {}

void TcpConnection::count(TcpCounter counter) {
  ++server_->counters_of(endpoint_->kind)[counter];
}

void TcpConnection::start() {
  if (endpoint_->kind == StreamKind::kTcp) return opened({});
  stream_->handshake([self = shared_from_this()](std::error_code error) { self->opened(error); });
}

void TcpConnection::opened(std::error_code error) {
  if (state_ != State::kHandshake) return;
  server_->handshake_over(*this);
  if (error) return close(TcpCounter::handshakes_failed);
  if (endpoint_->kind != StreamKind::kTcp) {
    count(TcpCounter::handshakes);
    if (stream_->resumed()) count(TcpCounter::handshakes_resumed);
  }
  state_ = State::kOpen;
  active_ = Clock::now();
  write();  // HTTP/2 speaks first
  read();
}

/// Whether further queries wait: in the kernel's buffer, or with the protocol.
bool TcpConnection::held_back() const {
  return asked_.size() >= server_->limits_.queries_per_connection ||
         unsent() > server_->limits_.unsent_octets / 4;
}

void TcpConnection::read() {
  if (reading_ || ended_ || state_ == State::kClosed) return;
  reading_ = true;
  stream_->read(protocol_->room(), [self = shared_from_this()](std::error_code error, std::size_t octets) {
    self->reading_ = false;
    if (self->state_ == State::kClosed) return;
    if (!error) return self->received(octets);
    if (error != asio::error::eof)
      return self->close(error == kFlooded ? TcpCounter::closed_flood : TcpCounter::closed_error);
    // A client that shut its side still gets the answers it waits for.
    self->ended_ = true;
    self->finish();
    self->settle();
  });
}

void TcpConnection::received(std::size_t octets) {
  if (state_ == State::kLingering) {  // thrown away
    lingered_ += octets;
    return lingered_ > kMostLingered ? close() : read();
  }
  protocol_->added(octets);
  write();
  if (state_ == State::kClosed || end_if_faulty()) return;
  if (state_ == State::kOpen) return take_queries();
  read();
  settle();
}

void TcpConnection::take_queries() {
  const auto self = shared_from_this();  // closing may take the server's reference
  while (state_ == State::kOpen) {
    if (waiting_ = held_back(); waiting_) {
      // What the client has to say of the answers under way is read nonetheless, but not without end.
      const bool drained = queued_.size() + written_.size() <= server_->limits_.unsent_octets / 4;
      if (protocol_->reads_while_held() && drained) read();
      return;
    }
    StreamProtocol::Query query;
    if (protocol_->next(query) == StreamProtocol::Next::kMore) {
      if (!end_if_faulty()) read();
      return;
    }
    active_ = Clock::now();
    server_->take_query(*this, query.message, query.tag);
  }
}

/// Goes on with queries that were held back. Posted, because it calls the owner.
void TcpConnection::resume_later() {
  if (state_ != State::kOpen || !waiting_ || resuming_ || held_back()) return;
  resuming_ = true;
  asio::post(stream_->executor(), [self = shared_from_this()] {
    self->resuming_ = false;
    if (self->state_ != State::kOpen || !self->waiting_) return;
    if (!self->reading_) self->protocol_->excuse();
    self->take_queries();
  });
}

void TcpConnection::note_end(TcpTicket ticket, state::QueryEnd end) {
  const auto found = std::find_if(asked_.begin(), asked_.end(),
                                  [ticket](const Asked& asked) { return asked.ticket == ticket; });
  if (found != asked_.end()) found->end = end;
}

void TcpConnection::end_ticket(TcpTicket ticket, std::span<const std::uint8_t> message) {
  const auto self = shared_from_this();  // closing may take the server's reference
  const auto found = std::find_if(asked_.begin(), asked_.end(),
                                  [ticket](const Asked& asked) { return asked.ticket == ticket; });
  if (found == asked_.end()) return;
  const Asked asked = *found;
  *found = asked_.back();
  asked_.pop_back();
  if (message.empty()) {
    protocol_->drop(asked.tag);
    write();
  } else {
    if (const auto& told = server_->owner_.on_answered)
      told({client_, endpoint_->address, endpoint_->kind, asked.asked_at, asked.end, message});
    send(asked, message);
  }
  if (state_ == State::kClosed) return;
  resume_later();
  settle();
}

void TcpConnection::send(const Asked& asked, std::span<const std::uint8_t> message) {
  if (unsent() + 2 + message.size() > server_->limits_.unsent_octets) {
    return close(TcpCounter::closed_slow_reader);
  }
  if (asked.options.padding || asked.options.keepalive) {
    std::vector<std::uint8_t> extended(message.begin(), message.end());
    add_options(extended, asked.options, server_->shortened(server_->limits_.idle_ms));
    protocol_->answer(asked.tag, extended);
  } else {
    protocol_->answer(asked.tag, message);
  }
  answering_ = true;
  count(TcpCounter::answers);
  write();
}

/// Writes all that is queued in one go: answers that were made together leave in one segment.
void TcpConnection::write() {
  protocol_->output(queued_);
  if (writing_ || queued_.empty()) return;
  writing_ = true;
  written_.swap(queued_);
  write_started_ = Clock::now();
  const bool answers = std::exchange(answering_, false);
  stream_->write(written_, [self = shared_from_this(), answers](std::error_code error, std::size_t) {
    self->writing_ = false;
    self->written_.clear();
    if (self->state_ == State::kClosed) return;
    if (error) return self->close(TcpCounter::closed_error);
    if (answers) self->active_ = Clock::now();
    self->write();
    self->resume_later();
    self->settle();
  });
}

/// Closes a connection whose protocol can't go on, when it has said why.
bool TcpConnection::end_if_faulty() {
  if (protocol_->fault() == StreamProtocol::Fault::kNone) return false;
  if (state_ == State::kClosed) return true;
  const bool written = queued_.empty() && !writing_;
  if (!written && state_ != State::kOpen) return true;
  const auto reason = counter_of(protocol_->fault());
  if (reason && state_ == State::kOpen) count(*reason);
  if (written) {
    close();
  } else {
    server_->forget(*this);
    asked_.clear();
    finish();
  }
  return true;
}

void TcpConnection::finish() {
  if (state_ == State::kHandshake) return close();
  if (state_ != State::kOpen) return;
  state_ = State::kFinishing;
  protocol_->finish();
  write();
  settle();
}

/// Closes a connection that takes no more queries and has no more to say. Writing may have found that its
/// protocol is over.
void TcpConnection::settle() {
  if (state_ == State::kOpen && end_if_faulty()) return;
  if (state_ == State::kLingering && ended_) return close();
  if (state_ != State::kFinishing || !asked_.empty() || writing_ || !queued_.empty()) return;
  if (ended_) return close();
  if (protocol_->kept() == 0 || protocol_->fault() != StreamProtocol::Fault::kNone) linger();
}

void TcpConnection::linger() {
  state_ = State::kLingering;
  linger_started_ = Clock::now();
  if (!stream_->shut()) return close();
  read();
}

void TcpConnection::close(TcpCounter reason) {
  if (state_ == State::kClosed) return;
  count(reason);
  close();
}

void TcpConnection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  stream_->close();
  std::exchange(server_, nullptr)->gone(*this);
}

void TcpConnection::check(Clock::time_point now) {
  const TcpLimits& limits = server_->limits_;
  const auto within = [&](std::uint32_t limit) { return ms(server_->shortened(limit)); };
  if (state_ == State::kHandshake) {
    if (now - active_ >= within(limits.handshake_ms)) close(TcpCounter::closed_handshake);
    return;
  }
  if (writing_ && now - write_started_ >= ms(limits.write_ms)) return close(TcpCounter::closed_slow_reader);
  if (const auto kept = protocol_->kept_since(); kept && now - *kept >= ms(limits.write_ms))
    return close(TcpCounter::closed_slow_reader);
  if (state_ == State::kLingering && now - linger_started_ >= ms(limits.linger_ms)) return close();
  if (state_ != State::kOpen || !reading_) return;
  if (const auto since = protocol_->incomplete_since()) {
    if (now - *since >= within(limits.message_ms)) close(TcpCounter::closed_slow_sender);
    return;
  }
  if (!asked_.empty() || unsent() != 0) return;
  if (now - active_ >= within(limits.idle_ms)) close(TcpCounter::closed_idle);
}

}  // namespace shunt::control
