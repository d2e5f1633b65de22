#include "control/upstream_connection.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/bytes.h"

namespace shunt::control {

using std::chrono::milliseconds;

UpstreamConnection::UpstreamConnection(asio::io_context& io, Random& random, StreamCounters& counters,
                                       UpstreamPeer peer, Owner& owner)
    : idle_timer_(io),
      random_(random),
      counters_(counters),
      owner_(owner),
      encrypted_(peer.tls != nullptr),
      link_(std::make_shared<UpstreamLink>(io, std::move(peer))) {}

UpstreamConnection::~UpstreamConnection() {
  abandon();
}

void UpstreamConnection::abandon() {
  ended_ = true;
  idle_timer_.cancel();
  link_->close();
}

void UpstreamConnection::open() {
  link_->open({[weak = weak_from_this()] {
                 const auto self = weak.lock();
                 if (!self || self->ended_) return;
                 self->opened_ = true;
                 ++self->counters_[StreamCounter::connections_opened];
                 if (self->encrypted_)
                   ++self->counters_[self->link_->resumed() ? StreamCounter::handshakes_resumed
                                                            : StreamCounter::handshakes_full];
                 self->freed();
                 self->owner_.opened(*self);
               },
               [weak = weak_from_this()](std::span<const std::uint8_t> message) {
                 const auto self = weak.lock();
                 if (self && !self->ended_) self->take(message);
               },
               [weak = weak_from_this()](LinkEnd how, const std::string& why) {
                 const auto self = weak.lock();
                 if (!self || self->ended_) return;
                 ++self->counters_[how == LinkEnd::kNeverOpen ? StreamCounter::connections_failed
                                   : how == LinkEnd::kByPeer  ? StreamCounter::closed_by_target
                                                              : StreamCounter::closed_broken];
                 self->end({.in_order = how == LinkEnd::kByPeer, .why = why});
               }});
}

/// Unpredictable, and no one's here.
std::uint16_t UpstreamConnection::draw_id() {
  for (;;) {
    const auto id = static_cast<std::uint16_t>(random_.next32());
    if (!entries_.contains(id)) return id;
  }
}

void UpstreamConnection::send(const std::shared_ptr<UpstreamAttempt>& attempt) {
  const std::uint16_t id = draw_id();
  attempt->connection = weak_from_this();
  attempt->id = id;
  entries_.emplace(id, Entry{attempt, answers_});
  ++in_flight_;
  ++counters_[StreamCounter::sent];
  append_question(link_->output(), attempt->question(), id,
                  {.keepalive = sent_++ == 0, .padding = encrypted_});
  link_->send();
}

void UpstreamConnection::forget(const UpstreamAttempt& attempt) {
  const auto found = entries_.find(attempt.id);
  if (found == entries_.end() || found->second.attempt.get() != &attempt) return;
  found->second.attempt = nullptr;
  --in_flight_;
  if (entries_.size() - in_flight_ > kMaxForgotten) retire();
  freed();
  if (!ended_) owner_.moved(*this);
}

void UpstreamConnection::note_timeout(const UpstreamAttempt& attempt) {
  const auto found = entries_.find(attempt.id);
  if (found == entries_.end() || found->second.attempt.get() != &attempt) return;
  if (found->second.answers_before != answers_) return;
  if (++silent_ < kMaxSilent) return;
  retire();
  owner_.moved(*this);
}

void UpstreamConnection::take(std::span<const std::uint8_t> message) {
  const auto found = entries_.find(load_be16(message.data()));
  if (found == entries_.end()) return wrong();
  const std::shared_ptr<UpstreamAttempt> attempt = found->second.attempt;
  bool truncated = false;
  std::optional<std::uint32_t> keepalive_ms;
  if (attempt == nullptr) {
    ++counters_[StreamCounter::answers_late];
  } else if (match_answer(attempt->question(), message, truncated, keepalive_ms) != AnswerMatch::kAnswer) {
    return wrong();
  }
  entries_.erase(found);
  ++answers_;
  silent_ = 0;
  if (keepalive_ms) set_idle(milliseconds(*keepalive_ms));
  if (attempt == nullptr) return;
  --in_flight_;
  attempt->answered(message, truncated);
  if (ended_) return;
  freed();
  if (!ended_) owner_.moved(*this);
}

/// The wait goes on; but a target that talks nonsense is not listened to for ever.
void UpstreamConnection::wrong() {
  ++counters_[StreamCounter::answers_wrong];
  if (++wrong_ < kMaxWrong) return;
  ++counters_[StreamCounter::closed_broken];
  link_->close();
  end({.why = "messages that answer nothing"});
}

void UpstreamConnection::set_idle(milliseconds idle) {
  idle = std::min(idle, kMostIdle);
  if (idle == idle_) return;
  idle_ = idle;
  arm_idle(idle_);
}

/// A place became free.
void UpstreamConnection::freed() {
  if (in_flight_ != 0 || !opened_) return;
  idle_since_ = Clock::now();
  if (retired_) return close(StreamCounter::closed_retired);
  if (idle_ == milliseconds(0) && sent_ != 0) return close(StreamCounter::closed_idle);
  if (sent_ == 0) arm_idle(idle_);
}

/// Looks again after `time`: questions meanwhile don't touch the timer.
void UpstreamConnection::arm_idle(milliseconds time) {
  idle_timer_.expires_after(std::max(time, milliseconds(1)));
  idle_timer_.async_wait([weak = weak_from_this()](std::error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->ended_) return;
    if (self->in_flight_ != 0) return self->arm_idle(self->idle_);
    const auto idle_for = std::chrono::duration_cast<milliseconds>(Clock::now() - self->idle_since_);
    if (idle_for >= self->idle_) return self->close(StreamCounter::closed_idle);
    self->arm_idle(self->idle_ - idle_for);
  });
}

void UpstreamConnection::close(StreamCounter counted) {
  if (ended_) return;
  ++counters_[counted];
  link_->close();
  end({.in_order = true});
}

void UpstreamConnection::end(Ending ending) {
  ended_ = true;
  idle_timer_.cancel();
  ending.opened = opened_;
  ending.answers = answers_;
  for (auto& [id, entry] : entries_) {
    if (entry.attempt == nullptr) continue;
    entry.attempt->connection.reset();
    if (entry.attempt->wanted()) ending.orphans.push_back(std::move(entry.attempt));
  }
  entries_.clear();
  in_flight_ = 0;
  owner_.ended(*this, std::move(ending));
}

}  // namespace shunt::control
