#include "control/busy_queries.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace shunt::control {

using nlohmann::json;

namespace {

std::string key_of(std::span<const std::uint8_t> octets) {
  return {octets.begin(), octets.end()};
}

std::span<const std::uint8_t> octets_of(const std::string& key) {
  return {reinterpret_cast<const std::uint8_t*>(key.data()), key.size()};
}

}  // namespace

void BusyQueries::Tally::end_second() {
  for (auto& [key, queries] : before_)
    queries *= kDecay;
  for (const auto& [key, queries] : second_)
    before_[key] += queries;
  second_.clear();
  if (before_.size() <= kMost) return;
  std::vector<double> all;
  for (const auto& [key, queries] : before_)
    all.push_back(queries);
  const auto least = all.begin() + static_cast<std::ptrdiff_t>(kMost);
  std::nth_element(all.begin(), least, all.end(), std::greater<>());
  std::erase_if(before_, [bound = *least](const auto& entry) { return entry.second <= bound; });
}

std::vector<std::pair<std::string, double>> BusyQueries::Tally::busiest(std::size_t count,
                                                                        unsigned seconds) const {
  std::vector<std::pair<std::string, double>> all(before_.begin(), before_.end());
  const auto last = all.begin() + static_cast<std::ptrdiff_t>(std::min(count, all.size()));
  std::partial_sort(all.begin(), last, all.end(), [](const auto& a, const auto& b) {
    return a.second != b.second ? a.second > b.second : a.first < b.first;
  });
  all.erase(last, all.end());
  // What as many seconds of one query each would have added up to.
  const double weight = (1 - std::pow(kDecay, seconds)) / (1 - kDecay);
  for (auto& [key, queries] : all)
    queries /= weight;
  return all;
}

json BusyQueries::top(std::size_t count, Clock::time_point now) {
  poll(now);
  asked_ = now;
  if (sampled_ == nullptr) {
    sampled_ = std::make_shared<const state::QuerySamples>(owner_.workers);
    second_began_ = now;
    owner_.publish(sampled_);
  }
  json names = json::array(), clients = json::array();
  for (const auto& [key, rate] : names_.busiest(count, seconds_))
    names.push_back({{"name", dns::to_text(octets_of(key))}, {"per_second", rate}});
  for (const auto& [key, rate] : clients_.busiest(count, seconds_)) {
    IpAddress client;
    std::copy_n(key.begin(), client.octets.size(), client.octets.begin());
    clients.push_back({{"client", client.to_string()}, {"per_second", rate}});
  }
  return {{"seconds", seconds_}, {"names", std::move(names)}, {"clients", std::move(clients)}};
}

void BusyQueries::poll(Clock::time_point now) {
  if (sampled_ == nullptr) return;
  for (const auto& ring : sampled_->rings) {
    ring->drain([this](const state::QuerySample& sample) {
      names_.add(key_of(sample.name()), sample.stands_for);
      clients_.add(key_of(sample.client.octets), sample.stands_for);
    });
  }
  for (; now - second_began_ >= std::chrono::seconds(1); second_began_ += std::chrono::seconds(1)) {
    names_.end_second();
    clients_.end_second();
    ++seconds_;
  }
  if (now - asked_ > kAbandoned) end();
}

void BusyQueries::end() {
  sampled_.reset();
  names_ = {};
  clients_ = {};
  seconds_ = 0;
  owner_.publish(nullptr);
}

}  // namespace shunt::control
