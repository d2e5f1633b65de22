#include "control/upstream_resolver.h"

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "dataplane/base/bytes.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class UpstreamResolver::Question : public std::enable_shared_from_this<Question> {
 public:
  Question(UpstreamResolver& resolver, UpstreamAsk ask, Callback callback)
      : resolver_(&resolver),
        ask_(std::move(ask)),
        callback_(std::move(callback)),
        timer_(resolver.io_),
        deadline_(Clock::now() + milliseconds(kMaxWaitMs)) {}

  void start();
  /// Ends without calling back.
  void abandon();

  const UpstreamQuestion& wire() const { return wire_; }
  void take(Attempt& attempt, std::span<const std::uint8_t> message, bool truncated);
  void attempt_failed(Attempt& attempt, const std::string& why, bool sent);

 private:
  void next_try();
  void begin();
  void arm_timer();
  void timed_out();
  void add_failure(const Attempt& attempt, std::string_view why);
  bool another_may_know_better(std::uint8_t rcode) const;
  void end(Result<UpstreamAnswer> answer);
  void release();
  void fail();

  UpstreamResolver* resolver_;  ///< null once ended
  UpstreamAsk ask_;
  std::uint16_t asked_id_ = 0;
  UpstreamQuestion wire_;
  Callback callback_;
  asio::steady_timer timer_;
  Clock::time_point deadline_;
  std::size_t next_target_ = 0;
  unsigned tries_made_ = 0;
  bool asked_again_ = false;
  std::vector<std::shared_ptr<Attempt>> attempts_;
  std::optional<UpstreamAnswer> second_best_;  ///< a failure that a target told of
  std::string failures_;                       ///< for people
};

class UpstreamResolver::Attempt final : public UpstreamAttempt {
 public:
  Attempt(std::shared_ptr<Question> asker, std::shared_ptr<UpstreamTarget> at, std::size_t index)
      : target(std::move(at)), target_index(index), question_(std::move(asker)) {}

  const UpstreamQuestion& question() const override { return question_->wire(); }
  bool wanted() const override { return question_ != nullptr; }
  void answered(std::span<const std::uint8_t> message, bool truncated) override {
    const std::shared_ptr<Question> asker = question_;
    if (asker) asker->take(*this, message, truncated);
  }
  void failed(const std::string& why, bool sent) override {
    const std::shared_ptr<Question> asker = std::exchange(question_, nullptr);
    if (asker) asker->attempt_failed(*this, why, sent);
  }
  void release() {
    if (const auto at = connection.lock()) at->forget(*this);
    connection.reset();
    question_ = nullptr;
    target = nullptr;
  }

  std::shared_ptr<UpstreamTarget> target;
  std::size_t target_index;
  Clock::time_point started = Clock::now();

 private:
  std::shared_ptr<Question> question_;  ///< null: nobody waits any more
};

void UpstreamResolver::Question::start() {
  if (resolver_ == nullptr) return;
  if (ask_.message.size() >= dns::kHeaderSize) asked_id_ = load_be16(ask_.message.data());
  auto wire = UpstreamQuestion::read(std::move(ask_.message));
  if (!wire || ask_.targets.empty() || ask_.tries == 0) {
    failures_ = "nothing to ask, or nobody to ask it";
    return fail();
  }
  wire_ = std::move(*wire);
  next_try();
}

void UpstreamResolver::Question::next_try() {
  if (tries_made_ >= ask_.tries || Clock::now() >= deadline_) return fail();
  ++tries_made_;
  begin();
}

void UpstreamResolver::Question::begin() {
  const std::size_t index = next_target_++ % ask_.targets.size();
  attempts_.push_back(std::make_shared<Attempt>(shared_from_this(), ask_.targets[index], index));
  arm_timer();
  ask_.targets[index]->ask(attempts_.back(), milliseconds(ask_.timeout_ms), ask_.probe);
}

void UpstreamResolver::Question::arm_timer() {
  timer_.expires_at(std::min(Clock::now() + milliseconds(ask_.timeout_ms), deadline_));
  timer_.async_wait([self = shared_from_this(), count = attempts_.size()](std::error_code error) {
    // One that had fired before it was set anew is the earlier try's.
    if (!error && self->resolver_ != nullptr && count == self->attempts_.size()) self->timed_out();
  });
}

void UpstreamResolver::Question::timed_out() {
  const std::shared_ptr<Attempt> latest = attempts_.back();
  if (latest->wanted()) {
    ++resolver_->counters_[StreamCounter::timeouts];
    add_failure(*latest, "no answer in time");
    latest->target->observer().timed_out();
    if (const auto at = latest->connection.lock()) at->note_timeout(*latest);
    if (resolver_ == nullptr) return;
  }
  next_try();
}

void UpstreamResolver::Question::add_failure(const Attempt& attempt, std::string_view why) {
  if (!failures_.empty()) failures_ += "; ";
  failures_ += ask_.targets[attempt.target_index]->address().to_string() + ": ";
  failures_ += why;
}

/// The attempt is over. Nothing is to be done where a later one is under way.
void UpstreamResolver::Question::attempt_failed(Attempt& attempt, const std::string& why, bool sent) {
  if (resolver_ == nullptr) return;
  add_failure(attempt, why);
  if (attempts_.back().get() != &attempt) return;
  if (sent && !asked_again_ && Clock::now() < deadline_) {
    asked_again_ = true;
    ++resolver_->counters_[StreamCounter::asked_again];
    return begin();
  }
  next_try();
}

/// SERVFAIL and REFUSED tell of the target, not of the name.
bool UpstreamResolver::Question::another_may_know_better(std::uint8_t rcode) const {
  const bool failure = rcode == static_cast<std::uint8_t>(dns::Rcode::kServFail) ||
                       rcode == static_cast<std::uint8_t>(dns::Rcode::kRefused);
  return failure && tries_made_ < ask_.tries && next_target_ < ask_.targets.size() &&
         Clock::now() < deadline_;
}

void UpstreamResolver::Question::take(Attempt& attempt, std::span<const std::uint8_t> message,
                                      bool truncated) {
  if (resolver_ == nullptr) return;
  const auto latency = Clock::now() - attempt.started;
  const std::uint8_t rcode = message[dns::kFlagsOffset + 1] & dns::kRcodeMask;
  attempt.target->observer().answered(latency, rcode);
  resolver_->latency_.add(
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(latency).count()));
  UpstreamAnswer answer;
  answer.message.assign(message.begin(), message.end());
  store_be16(answer.message.data(), asked_id_);
  answer.target = attempt.target_index;
  answer.truncated = truncated;
  if (another_may_know_better(rcode)) {
    const bool latest = attempts_.back().get() == &attempt;
    second_best_ = std::move(answer);
    attempt.release();
    if (latest) next_try();
    return;
  }
  end(std::move(answer));
}

void UpstreamResolver::Question::release() {
  timer_.cancel();
  // What ends here may be all that keeps a target.
  const std::vector<std::shared_ptr<Attempt>> attempts = std::exchange(attempts_, {});
  for (const auto& attempt : attempts)
    attempt->release();
}

void UpstreamResolver::Question::abandon() {
  resolver_ = nullptr;
  callback_ = nullptr;
  release();
}

void UpstreamResolver::Question::fail() {
  if (second_best_) return end(*std::exchange(second_best_, std::nullopt));
  end(Failure(failures_));
}

void UpstreamResolver::Question::end(Result<UpstreamAnswer> answer) {
  const auto self = shared_from_this();
  UpstreamResolver& resolver = *std::exchange(resolver_, nullptr);
  ++resolver.counters_[answer ? StreamCounter::answered : StreamCounter::failed];
  const Callback callback = std::move(callback_);
  resolver.questions_.erase(self);
  release();
  callback(std::move(answer));
}

UpstreamResolver::~UpstreamResolver() {
  for (const auto& question : questions_)
    question->abandon();
}

bool UpstreamResolver::ask(UpstreamAsk ask, Callback callback) {
  if (questions_.size() >= max_in_flight_) {
    ++counters_[StreamCounter::refused];
    return false;
  }
  ++counters_[StreamCounter::asked];
  const auto question = std::make_shared<Question>(*this, std::move(ask), std::move(callback));
  questions_.insert(question);
  asio::post(io_, [question] { question->start(); });
  return true;
}

}  // namespace shunt::control
