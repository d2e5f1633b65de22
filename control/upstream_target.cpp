#include "control/upstream_target.h"

#include <algorithm>
#include <utility>

namespace shunt::control {

UpstreamTarget::UpstreamTarget(asio::io_context& io, Random& random, StreamCounters& counters,
                               UpstreamTargetOptions options, UpstreamObserver observer)
    : io_(io),
      random_(random),
      counters_(counters),
      options_(std::move(options)),
      observer_(std::move(observer)),
      open_timer_(io) {}

UpstreamTarget::~UpstreamTarget() {
  for (const auto& connection : connections_)
    connection->abandon();
}

std::size_t UpstreamTarget::in_flight() const {
  auto count = static_cast<std::size_t>(
      std::count_if(queue_.begin(), queue_.end(), [](const auto& waiting) { return waiting->wanted(); }));
  for (const auto& connection : connections_)
    count += connection->in_flight();
  return count;
}

UpstreamConnection* UpstreamTarget::least_busy() const {
  UpstreamConnection* best = nullptr;
  for (const auto& connection : connections_) {
    if (!connection->usable()) continue;
    if (best == nullptr || connection->in_flight() < best->in_flight()) best = connection.get();
  }
  return best;
}

bool UpstreamTarget::room_at(const UpstreamConnection& connection) const {
  return alone() ? connection.in_flight() == 0 : connection.has_room();
}

bool UpstreamTarget::opening() const {
  return std::any_of(connections_.begin(), connections_.end(),
                     [](const auto& c) { return !c->is_open() && !c->retired(); });
}

/// One that is retired keeps its place only as long as others don't need it.
bool UpstreamTarget::may_open() const {
  const auto kept =
      std::count_if(connections_.begin(), connections_.end(), [](const auto& c) { return !c->retired(); });
  return static_cast<std::size_t>(kept) < kMaxConnections && connections_.size() < 2 * kMaxConnections;
}

void UpstreamTarget::open() {
  UpstreamPeer peer{options_.address, {}, options_.open_socket, options_.tls};
  if (!options_.sources.empty())
    peer.source = options_.sources[random_.below(static_cast<std::uint32_t>(options_.sources.size()))];
  connections_.push_back(
      std::make_shared<UpstreamConnection>(io_, random_, counters_, std::move(peer), *this));
  connections_.back()->open();
}

void UpstreamTarget::wait_to_open() {
  if (timer_set_) return;
  timer_set_ = true;
  open_timer_.expires_at(next_open_);
  open_timer_.async_wait([weak = weak_from_this()](std::error_code error) {
    const auto self = weak.lock();
    if (!self) return;
    self->timer_set_ = false;
    if (!error) self->pump();
  });
}

void UpstreamTarget::send(UpstreamConnection& connection, const std::shared_ptr<UpstreamAttempt>& attempt) {
  observer_.sent();
  connection.send(attempt);
  if (alone()) connection.retire();
}

bool UpstreamTarget::enqueue(const std::shared_ptr<UpstreamAttempt>& attempt) {
  if (queue_.size() >= kMaxQueued)
    std::erase_if(queue_, [](const auto& waiting) { return !waiting->wanted(); });
  if (queue_.size() >= kMaxQueued) return false;
  queue_.push_back(attempt);
  return true;
}

void UpstreamTarget::fail_later(std::shared_ptr<UpstreamAttempt> attempt, std::string why) {
  asio::post(io_, [attempt = std::move(attempt), why = std::move(why)] {
    if (attempt->wanted()) attempt->failed(why, false);
  });
}

void UpstreamTarget::ask(const std::shared_ptr<UpstreamAttempt>& attempt, milliseconds patience, bool probe) {
  if (probe) next_open_ = std::min(next_open_, Clock::now());
  if (least_busy() == nullptr && !opening() && next_open_ > Clock::now() + patience)
    return fail_later(attempt, last_why_);
  if (!enqueue(attempt)) {
    ++counters_[StreamCounter::refused];
    return fail_later(attempt, "too many questions wait");
  }
  pump();
}

/// Sends what waits, and opens a connection where that needs one.
void UpstreamTarget::pump() {
  while (!queue_.empty()) {
    if (!queue_.front()->wanted()) {
      queue_.pop_front();
      continue;
    }
    UpstreamConnection* const connection = least_busy();
    const bool more = connection == nullptr || !room_at(*connection) || connection->in_flight() >= kBusy;
    if (more && !opening() && may_open()) ready() ? open() : wait_to_open();
    if (connection == nullptr || !room_at(*connection)) return;
    const std::shared_ptr<UpstreamAttempt> attempt = std::move(queue_.front());
    queue_.pop_front();
    send(*connection, attempt);
  }
}

void UpstreamTarget::opened(UpstreamConnection& /*connection*/) {
  pump();
}

void UpstreamTarget::moved(UpstreamConnection& connection) {
  if (connection.answers() != 0) fruitless_ = 0;
  pump();
}

void UpstreamTarget::note_ending(const UpstreamConnection::Ending& ending) {
  const std::size_t lost = ending.orphans.size();
  if (!ending.why.empty()) last_why_ = ending.why;
  // It may take one question a connection. Whether it closed in order can't be seen: what it left unread
  // makes a reset of it.
  if (ending.opened && ending.answers <= 1 && lost != 0 && lost + ending.answers > 1)
    alone_until_ = Clock::now() + kLoneFor;
  if (ending.answers != 0 || (ending.opened && lost == 0)) return;
  const unsigned doublings = std::min(fruitless_++, 6u);
  next_open_ = Clock::now() + std::min(kFirstBackoff * (1 << doublings), kLastBackoff);
}

void UpstreamTarget::ended(UpstreamConnection& connection, UpstreamConnection::Ending ending) {
  const auto self = shared_from_this();  // the attempts may let go of it
  const auto found = std::find_if(connections_.begin(), connections_.end(),
                                  [&](const auto& c) { return c.get() == &connection; });
  const std::shared_ptr<UpstreamConnection> gone = *found;
  connections_.erase(found);
  note_ending(ending);
  std::deque<std::shared_ptr<UpstreamAttempt>> waiting;
  // Nothing else is there for what waits, and nothing better is to be expected soon.
  if (!ending.opened && connections_.empty()) waiting.swap(queue_);
  const bool usual = ending.in_order && ending.answers != 0;  // it was idle, to its mind
  if (!usual && (!ending.orphans.empty() || !waiting.empty())) observer_.failed(ending.why);
  for (const auto& attempt : ending.orphans)
    if (attempt->wanted()) attempt->failed(ending.why, true);
  for (const auto& attempt : waiting)
    if (attempt->wanted()) attempt->failed(ending.why, false);
  pump();
}

}  // namespace shunt::control
