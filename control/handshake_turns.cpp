#include "control/handshake_turns.h"

#include <algorithm>
#include <ctime>

namespace shunt::control {

namespace {

/// What may be spent at once after a rest.
constexpr std::chrono::milliseconds kBurst{20};

}  // namespace

HandshakeTurns::Clock::duration thread_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

HandshakeTurns::Ticket HandshakeTurns::wait(const IpAddress& client, Step step) {
  queues_[client].emplace_back(++last_number_, std::move(step));
  ++waiting_;
  arm();
  return {client, last_number_};
}

HandshakeTurns::Step HandshakeTurns::leave(const Ticket& ticket) {
  const auto queue = queues_.find(ticket.client);
  if (queue == queues_.end()) return nullptr;
  const auto found = std::find_if(queue->second.begin(), queue->second.end(),
                                  [&](const auto& entry) { return entry.first == ticket.number; });
  if (found == queue->second.end()) return nullptr;
  Step step = std::move(found->second);
  queue->second.erase(found);
  if (queue->second.empty()) queues_.erase(queue);
  --waiting_;
  return step;
}

void HandshakeTurns::spent(Clock::duration time) {
  free_at_ = std::max(free_at_, Clock::now() - kBurst) + time * 100 / share_;
}

void HandshakeTurns::arm() {
  if (armed_ || waiting_ == 0) return;
  armed_ = true;
  timer_.expires_at(free_at_);
  timer_.async_wait([weak = weak_from_this()](std::error_code) {
    if (const auto self = weak.lock()) self->go();
  });
}

/// One step at a time: between two the thread does what else there is.
void HandshakeTurns::go() {
  armed_ = false;
  if (free_at_ <= Clock::now()) {
    if (const Step step = next()) step();
  }
  arm();
}

/// Of the client behind the last one's, in a circle.
HandshakeTurns::Step HandshakeTurns::next() {
  if (queues_.empty()) return nullptr;
  auto queue = queues_.upper_bound(last_);
  if (queue == queues_.end()) queue = queues_.begin();
  last_ = queue->first;
  Step step = std::move(queue->second.front().second);
  queue->second.pop_front();
  if (queue->second.empty()) queues_.erase(queue);
  --waiting_;
  return step;
}

}  // namespace shunt::control
