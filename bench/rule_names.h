// Synthetic rules, and queries for them. Rules are two random labels below one of 300 top-level names, one in
// eight with a third label, as in a block list. Queries: half below a rule ("www." in front), half with a
// second label that no rule has.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <random>
#include <vector>

#include "dataplane/dns/name.h"

namespace shunt::bench {

/// Wire names straight from a generator: text would take longer than the trie.
class Names {
 public:
  explicit Names(std::uint64_t seed) : random_(seed) {}

  void rule(dns::Name& name) {
    start();
    if (random_() % 8 == 0) label(3 + random_() % 6);
    label(6 + random_() % 10);
    top();
    read(name);
  }
  /// Keeps the wire form: a burst reads names as a worker does.
  void query(const std::vector<std::array<std::uint8_t, 48>>& rules, std::array<std::uint8_t, 48>& wire) {
    start();
    if (random_() % 2 == 0) {
      const auto& rule = rules[random_() % rules.size()];
      static constexpr std::uint8_t kWww[] = {3, 'w', 'w', 'w'};
      std::copy(std::begin(kWww), std::end(kWww), wire_.begin());
      std::copy(rule.begin(), rule.begin() + 44, wire_.begin() + 4);
    } else {
      static constexpr std::uint8_t kWww[] = {3, 'w', 'w', 'w'};
      std::copy(std::begin(kWww), std::end(kWww), wire_.begin());
      end_ = 4;
      label(16);
      top();
    }
    std::copy(wire_.begin(), wire_.begin() + 48, wire.begin());
  }

 private:
  void start() {
    wire_.fill(0);
    end_ = 0;
  }
  void label(std::size_t length) {
    wire_[end_++] = static_cast<std::uint8_t>(length);
    for (std::size_t i = 0; i < length; ++i)
      wire_[end_++] = static_cast<std::uint8_t>('a' + random_() % 26);
  }
  void top() {
    // Skewed as top-level domains are: half of all is one of them.
    const std::uint64_t n = random_() % 2 == 0 ? 0 : random_() % 300;
    wire_[end_++] = 3;
    wire_[end_++] = static_cast<std::uint8_t>('a' + n / 26);
    wire_[end_++] = static_cast<std::uint8_t>('a' + n % 26);
    wire_[end_++] = 'x';
    wire_[end_++] = 0;
  }
  void read(dns::Name& name) { dns::read_name({wire_.data(), end_}, name); }

  std::mt19937_64 random_;
  std::array<std::uint8_t, 64> wire_{};
  std::size_t end_ = 0;
};

}  // namespace shunt::bench
