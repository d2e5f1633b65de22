#include "control/host_resolver.h"

#include <utility>

#include "control/host_question.h"

namespace shunt::control {

HostResolver::HostResolver(asio::io_context& io, Random& random, std::size_t max_in_flight)
    : io_(io), random_(random), max_in_flight_(max_in_flight), buffer_(65535) {}

HostResolver::~HostResolver() {
  for (const auto& question : questions_)
    question->abandon();
}

void HostResolver::ask(Ask ask, Callback callback) {
  if (questions_.size() >= max_in_flight_) {
    ++counters_[HostCounter::refused];
    asio::post(io_, [callback = std::move(callback)] { callback(Failure("too many questions in flight")); });
    return;
  }
  ++counters_[HostCounter::asked];
  const auto question = std::make_shared<HostQuestion>(*this, std::move(ask), std::move(callback));
  questions_.insert(question);
  asio::post(io_, [question] { question->start(); });
}

void HostResolver::ended(const std::shared_ptr<HostQuestion>& question) {
  questions_.erase(question);
}

}  // namespace shunt::control
