#include "control/host_question.h"

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "control/endpoint.h"
#include "dataplane/base/bytes.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {

namespace {

using asio::ip::udp;

/// Datagrams read per wakeup, so that a flood of forgeries on one socket can't hold the thread.
constexpr int kReadsPerWakeup = 16;

}  // namespace

HostQuestion::HostQuestion(HostResolver& resolver, Ask ask, HostResolver::Callback callback)
    : resolver_(&resolver),
      ask_(std::move(ask)),
      callback_(std::move(callback)),
      timer_(resolver.io_),
      deadline_(Clock::now() + std::chrono::milliseconds(kMaxWaitMs)) {}

void HostQuestion::start() {
  if (resolver_ == nullptr) return;
  if (ask_.targets.empty() || ask_.tries == 0 || !read_question()) {
    failures_ = "nothing to ask, or nobody to ask it";
    return fail();
  }
  next_try();
}

bool HostQuestion::read_question() {
  const std::span<const std::uint8_t> wire(ask_.message);
  if (wire.size() < dns::kHeaderSize || wire.size() > kMaxMessage) return false;
  const dns::Header header = dns::load_header(wire.data());
  asked_id_ = header.id;
  if (header.qdcount != 1 || (header.flags & dns::kQr) != 0) return false;
  const std::size_t taken = dns::read_name(wire.subspan(dns::kHeaderSize), name_);
  if (taken == 0 || dns::kHeaderSize + taken + 4 > wire.size()) return false;
  type_ = load_be16(&wire[dns::kHeaderSize + taken]);
  class_ = load_be16(&wire[dns::kHeaderSize + taken + 2]);
  return true;
}

/// Goes to the next target; fails when every try is used up and none is left to wait for.
void HostQuestion::next_try() {
  while (tries_made_ < ask_.tries && Clock::now() < deadline_) {
    begin(tries_made_++ % ask_.targets.size());
    if (tries_.back()->live) return;
  }
  if (std::none_of(tries_.begin(), tries_.end(), [](const auto& made) { return made->live; })) return fail();
  arm_timer();
}

void HostQuestion::begin(std::size_t target) {
  const auto attempt = std::make_shared<Try>();
  attempt->target = target;
  attempt->id = static_cast<std::uint16_t>(resolver_->random_.next32());
  attempt->started = Clock::now();
  tries_.push_back(attempt);
  store_be16(ask_.message.data(), attempt->id);
  attempt->told = false;
  if (resolver_->observer_.sent) resolver_->observer_.sent(address(*attempt));
  if (const Result<void> begun = begin_udp(*attempt); !begun) {
    ++resolver_->counters_[HostCounter::socket_errors];
    return note_failure(*attempt, begun.error());
  }
  arm_timer();
  wait_udp(attempt);
}

Result<int> HostQuestion::open(int type, const SocketAddress& target) const {
  const int family = target.address.is_v4() ? AF_INET : AF_INET6;
  if (ask_.open_socket) return ask_.open_socket(family, type);
  const int fd = ::socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return Failure(std::generic_category().message(errno));
  return fd;
}

Result<void> HostQuestion::begin_udp(Try& attempt) {
  const SocketAddress& target = address(attempt);
  const Result<int> fd = open(SOCK_DGRAM, target);
  if (!fd) return Failure(fd.error());
  attempt.udp.emplace(resolver_->io_);
  if (auto adopted = adopt_socket(*attempt.udp, *fd, target, ask_.source); !adopted) return adopted;
  std::error_code error;
  attempt.udp->connect(to_endpoint<udp>(target), error);
  if (error) return Failure(error.message());
  attempt.udp->send(asio::buffer(ask_.message), 0, error);
  if (error) return Failure(error.message());
  ++resolver_->counters_[HostCounter::sent_udp];
  return {};
}

void HostQuestion::wait_udp(const std::shared_ptr<Try>& attempt) {
  attempt->udp->async_wait(udp::socket::wait_read,
                           [self = shared_from_this(), attempt](std::error_code error) {
                             if (error || self->resolver_ == nullptr) return;
                             self->read_udp(*attempt);
                             if (self->resolver_ != nullptr) self->wait_udp(attempt);
                           });
}

/// Reads until a true answer or nothing more. Errors that ICMP brought are hints at most: anybody can forge
/// them.
void HostQuestion::read_udp(Try& attempt) {
  std::vector<std::uint8_t>& buffer = resolver_->buffer_;
  for (int i = 0; i < kReadsPerWakeup; ++i) {
    std::error_code error;
    const std::size_t octets = attempt.udp->receive(asio::buffer(buffer), 0, error);
    if (error == asio::error::would_block) return;
    if (error) continue;
    bool truncated = false;
    if (matches(attempt, {buffer.data(), octets}, truncated))
      return take(attempt, {buffer.data(), octets}, truncated);
    ++resolver_->counters_[HostCounter::answers_wrong];
  }
}

void HostQuestion::arm_timer() {
  const Clock::time_point when = Clock::now() + std::chrono::milliseconds(ask_.timeout_ms);
  timer_.expires_at(std::min(when, deadline_));
  timer_.async_wait([self = shared_from_this(), serial = ++timer_serial_](std::error_code error) {
    if (!error && self->resolver_ != nullptr && serial == self->timer_serial_) self->timed_out();
  });
}

void HostQuestion::timed_out() {
  if (tries_.back()->live) {
    ++resolver_->counters_[HostCounter::timeouts];
    tell_failure(*tries_.back(), End::kTimedOut, "no answer in time");
  }
  if (tries_made_ == ask_.tries || Clock::now() >= deadline_) return fail();
  next_try();
}

void HostQuestion::tell_end(Try& attempt, End end, std::uint8_t rcode, std::chrono::nanoseconds latency) {
  if (attempt.told && end != End::kAnswered) return;
  const bool first = !std::exchange(attempt.told, true);
  if (resolver_->observer_.ended) resolver_->observer_.ended(address(attempt), end, rcode, latency, first);
}

/// Of the tries that are still waited for, nothing more will be known.
void HostQuestion::tell_abandoned() {
  for (const auto& attempt : tries_)
    tell_end(*attempt, End::kAbandoned);
}

void HostQuestion::tell_failure(Try& attempt, End end, std::string_view why) {
  if (!failures_.empty()) failures_ += "; ";
  failures_ += address(attempt).to_string() + ": ";
  failures_ += why;
  tell_end(attempt, end);
}

/// A try that can't bring an answer any more.
void HostQuestion::note_failure(Try& attempt, std::string_view why) {
  attempt.live = false;
  tell_failure(attempt, End::kUnreachable, why);
}

bool HostQuestion::matches(const Try& attempt, std::span<const std::uint8_t> message, bool& truncated) const {
  if (message.size() < dns::kHeaderSize || load_be16(message.data()) != attempt.id) return false;
  if ((load_be16(&message[dns::kFlagsOffset]) & dns::kOpcodeMask) !=
      (load_be16(&ask_.message[dns::kFlagsOffset]) & dns::kOpcodeMask)) {
    return false;
  }
  dns::Reply reply;
  dns::Name name;
  if (dns::parse_reply(message, reply, name) != dns::ReplyVerdict::kGood) return false;
  if (reply.type != type_ || reply.klass != class_ || !std::ranges::equal(name.octets(), name_.octets()))
    return false;
  truncated = reply.truncated();
  return true;
}

void HostQuestion::take(Try& attempt, std::span<const std::uint8_t> message, bool truncated) {
  HostAnswer answer;
  answer.message.assign(message.begin(), message.end());
  store_be16(answer.message.data(), asked_id_);
  answer.target = attempt.target;
  answer.truncated = truncated;
  answer.latency = Clock::now() - attempt.started;
  tell_end(attempt, End::kAnswered, message[dns::kFlagsOffset + 1] & dns::kRcodeMask, answer.latency);
  succeed(std::move(answer));
}

void HostQuestion::close() {
  std::error_code ignored;
  timer_.cancel();
  for (const auto& attempt : tries_) {
    if (attempt->udp) attempt->udp->close(ignored);
  }
}

void HostQuestion::abandon() {
  resolver_ = nullptr;
  callback_ = nullptr;
  close();
}

void HostQuestion::succeed(HostAnswer answer) {
  tell_abandoned();
  HostResolver& resolver = *std::exchange(resolver_, nullptr);
  close();
  ++resolver.counters_[HostCounter::answered];
  resolver.latency_.add(static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(answer.latency).count()));
  const HostResolver::Callback callback = std::move(callback_);
  resolver.ended(shared_from_this());
  callback(std::move(answer));
}

/// The end without an answer.
void HostQuestion::fail() {
  tell_abandoned();
  HostResolver& resolver = *std::exchange(resolver_, nullptr);
  close();
  ++resolver.counters_[HostCounter::failed];
  const HostResolver::Callback callback = std::move(callback_);
  resolver.ended(shared_from_this());
  callback(Failure(failures_));
}

}  // namespace shunt::control
