// The plain way to find the longest suffix rule: a standard hash map of names, asked for the whole name, then
// for each shorter suffix.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "bench/support.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/rule.h"

namespace shunt::bench {

class SuffixMap {
 public:
  template <typename NameOf>
  SuffixMap(std::size_t count, NameOf name) {
    const double before = heap_octets();
    rules_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const auto wire = name(i);
      rules_.emplace(std::string(wire.begin(), wire.end()), static_cast<std::uint32_t>(i));
    }
    octets_ = heap_octets() - before;
  }

  std::uint32_t find(const dns::Name& name) const {
    const std::string_view wire(reinterpret_cast<const char*>(name.wire.data()), name.length);
    for (unsigned i = 0; i <= name.labels; ++i) {
      const auto found = rules_.find(wire.substr(name.offset[i]));
      if (found != rules_.end()) return found->second;
    }
    return rules::kNoRule;
  }
  double memory_octets() const { return octets_; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>> rules_;
  double octets_ = 0;
};

}  // namespace shunt::bench
