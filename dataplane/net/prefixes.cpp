#include "dataplane/net/prefixes.h"

#include <algorithm>
#include <bit>
#include <cassert>
#include <limits>
#include <map>

namespace shunt::net {
namespace {

std::uint64_t load_be64(const std::uint8_t* p) {
  return std::uint64_t{load_be32(p)} << 32 | load_be32(p + 4);
}

/// The last key of a prefix that starts at `first` and fixes `bits` of its bits.
template <typename Key>
Key last_of(Key first, unsigned bits) {
  constexpr unsigned kBits = std::numeric_limits<Key>::digits;
  return bits >= kBits ? first : first | std::numeric_limits<Key>::max() >> bits;
}

}  // namespace

template <typename Key>
Intervals<Key>::Intervals(std::vector<Key> starts) : starts_(std::move(starts)) {
  assert(!starts_.empty() && starts_[0] == 0);
  if (starts_.size() == 1) {
    first_ = {0, 0};
    lowest_ = 0;
    shift_ = std::numeric_limits<Key>::digits - 1;
    return;
  }
  lowest_ = starts_[1];
  span_ = starts_.back() - lowest_;
  // About one cell for each start; the last cell holds the last start.
  const auto bits = static_cast<unsigned>(std::bit_width(span_));
  const auto cell_bits = static_cast<unsigned>(std::bit_width(starts_.size() - 1));
  shift_ = bits > cell_bits ? bits - cell_bits : 0;
  const auto cells = static_cast<std::size_t>(span_ >> shift_) + 1;
  first_.reserve(cells + 1);
  std::size_t at = 1;
  for (std::size_t i = 0; i < cells; ++i) {
    const Key begin = lowest_ + (static_cast<Key>(i) << shift_);
    while (at + 1 < starts_.size() && starts_[at + 1] <= begin)
      ++at;
    first_.push_back(static_cast<std::uint32_t>(at));
  }
  first_.push_back(static_cast<std::uint32_t>(starts_.size() - 1));
}

template <typename Key>
std::size_t Intervals<Key>::memory_octets() const {
  return starts_.capacity() * sizeof(Key) + first_.capacity() * sizeof(std::uint32_t);
}

template <typename Key>
std::size_t PrefixTable::Level<Key>::memory_octets() const {
  return intervals.memory_octets() + prefix.capacity() * sizeof(std::uint32_t);
}

/// What a prefix covers of a key space. Two ranges are disjoint or one holds the other.
template <typename Key>
struct PrefixTable::Range {
  Key first, last;
  unsigned length;  ///< of the prefix: of two equal ranges the one with the longer prefix is the inner one
  std::uint32_t prefix;
};

/// Cuts the key space at the borders of all ranges. `outside` is what lies in none of them.
template <typename Key>
PrefixTable::Level<Key> PrefixTable::flatten(std::vector<Range<Key>> ranges, std::uint32_t outside) {
  std::stable_sort(ranges.begin(), ranges.end(), [](const Range<Key>& a, const Range<Key>& b) {
    return a.first != b.first ? a.first < b.first : a.length < b.length;
  });
  std::vector<Key> starts{0};
  std::vector<std::uint32_t> prefix{outside};
  const auto cut = [&](Key start, std::uint32_t p) {
    if (starts.back() == start) {
      prefix.back() = p;
    } else {
      starts.push_back(start);
      prefix.push_back(p);
    }
  };
  std::vector<Range<Key>> open;
  const auto close_until = [&](const Range<Key>* next) {
    while (!open.empty() && (next == nullptr || open.back().last < next->first)) {
      const Key last = open.back().last;
      open.pop_back();
      if (last != std::numeric_limits<Key>::max()) cut(last + 1, open.empty() ? outside : open.back().prefix);
    }
  };
  for (const Range<Key>& range : ranges) {
    close_until(&range);
    cut(range.first, range.prefix);
    open.push_back(range);
  }
  close_until(nullptr);

  // Neighbours of one prefix become one interval.
  std::size_t kept = 1;
  for (std::size_t i = 1; i < starts.size(); ++i) {
    if (prefix[i] == prefix[kept - 1]) continue;
    starts[kept] = starts[i];
    prefix[kept++] = prefix[i];
  }
  starts.resize(kept);
  prefix.resize(kept);
  starts.shrink_to_fit();
  prefix.shrink_to_fit();
  Level<Key> level;
  level.intervals = Intervals<Key>(std::move(starts));
  level.prefix = std::move(prefix);
  return level;
}

PrefixTable::PrefixTable(std::span<const std::pair<Prefix, std::uint32_t>> prefixes) {
  assert(prefixes.size() < kLower);
  prefixes_.reserve(prefixes.size());
  values_.reserve(prefixes.size());
  for (const auto& [prefix, value] : prefixes) {
    prefixes_.push_back(prefix);
    values_.push_back(value);
  }
  build_v4();
  build_v6();
}

void PrefixTable::build_v4() {
  std::vector<Range<std::uint32_t>> ranges;
  for (std::uint32_t i = 0; i < prefixes_.size(); ++i) {
    const Prefix& prefix = prefixes_[i];
    if (!prefix.is_v4()) continue;
    const std::uint32_t first = load_be32(prefix.address.v4_octets());
    ranges.push_back({first, last_of(first, prefix.length - 96u), prefix.length, i});
  }
  v4_ = flatten(std::move(ranges), kNone);
}

void PrefixTable::build_v6() {
  constexpr unsigned kHalf = 64;
  std::vector<Range<std::uint64_t>> upper;
  std::map<std::uint64_t, std::vector<Range<std::uint64_t>>> lower;  // by upper half
  for (std::uint32_t i = 0; i < prefixes_.size(); ++i) {
    const Prefix& prefix = prefixes_[i];
    if (prefix.is_v4()) continue;
    const std::uint64_t high = load_be64(&prefix.address.octets[0]),
                        low = load_be64(&prefix.address.octets[8]);
    if (prefix.length <= kHalf) {
      upper.push_back({high, last_of(high, prefix.length), prefix.length, i});
    } else {
      lower[high].push_back({low, last_of(low, prefix.length - kHalf), prefix.length, i});
    }
  }
  upper_ = flatten(upper, kNone);
  if (lower.empty()) return;
  for (auto& [high, ranges] : lower) {
    const auto index = static_cast<std::uint32_t>(lower_.size());
    lower_.push_back(flatten(std::move(ranges), upper_.find(high)));
    upper.push_back({high, high, kHalf + 1, kLower | index});
  }
  upper_ = flatten(std::move(upper), kNone);
}

std::uint32_t PrefixTable::find_index_v6(const IpAddress& address) const {
  const std::uint32_t i = upper_.find(load_be64(&address.octets[0]));
  if (i == kNone || (i & kLower) == 0) return i;
  return lower_[i & ~kLower].find(load_be64(&address.octets[8]));
}

std::optional<Prefix> PrefixTable::find_prefix(const IpAddress& address) const {
  const std::uint32_t i = find_index(address);
  if (i == kNone) return std::nullopt;
  return prefixes_[i];
}

std::size_t PrefixTable::memory_octets() const {
  std::size_t octets = sizeof *this + v4_.memory_octets() + upper_.memory_octets() +
                       lower_.capacity() * sizeof(lower_[0]) + prefixes_.capacity() * sizeof(Prefix) +
                       values_.capacity() * sizeof(std::uint32_t);
  for (const auto& level : lower_)
    octets += level.memory_octets();
  return octets;
}

template class Intervals<std::uint32_t>;
template class Intervals<std::uint64_t>;

}  // namespace shunt::net
