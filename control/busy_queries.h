// Who asks most, and for what: the `top` command. From queries that the workers draw by chance while somebody
// wants to know.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "dataplane/state/query_samples.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class BusyQueries {
 public:
  using Clock = std::chrono::steady_clock;
  /// For how long nobody may ask.
  static constexpr std::chrono::seconds kAbandoned{10};
  /// What a second counts for in the next one: rates are those of the last few seconds.
  static constexpr double kDecay = 0.7;
  /// Names, and clients, that are kept; a second's are more, so that busy ones are seen among many.
  static constexpr std::size_t kMost = 4096, kMostInSecond = 16384;

  struct Owner {
    std::size_t workers = 1;
    /// Has the workers draw, or stop where it is null.
    std::function<void(std::shared_ptr<const state::QuerySamples>)> publish;
  };
  explicit BusyQueries(Owner owner) : owner_(std::move(owner)) {}

  /// {"seconds", "names": [{"name", "per_second"}], "clients": [{"client", "per_second"}]}: the `count`
  /// busiest, by seconds that are over; the first call begins with none.
  nlohmann::json top(std::size_t count, Clock::time_point now);
  /// Takes what the workers have drawn. Every few milliseconds.
  void poll(Clock::time_point now);

 private:
  /// Queries by name or by client.
  class Tally {
   public:
    void add(const std::string& key, double queries) {
      if (second_.size() < kMostInSecond || second_.contains(key)) second_[key] += queries;
    }
    void end_second();
    /// Keys and rates.
    std::vector<std::pair<std::string, double>> busiest(std::size_t count, unsigned seconds) const;

   private:
    std::unordered_map<std::string, double> second_, before_;
  };
  void end();

  Owner owner_;
  std::shared_ptr<const state::QuerySamples> sampled_;  ///< null: nobody asks
  Tally names_, clients_;                               ///< by wire format, by address
  Clock::time_point asked_, second_began_;
  unsigned seconds_ = 0;
};

}  // namespace shunt::control
