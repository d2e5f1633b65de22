// qp-tries (Tony Finch): radix tries whose branches hold a bitmap of the symbols that occur and only so many
// children, one array for each branch, found by counting bits. Keys are names from the top label down, so
// that the longest suffix of a name is the longest prefix of its key.
//
// Two alphabets: half octets (the 4-bit qp-trie), and one in which each octet that host names are made of is
// a symbol of its own (the DNS-trie of BIND 9.20 and NSD). Built whole from sorted keys, depth first, on huge
// pages: the layout that favours lookups. A branch doesn't store what its children have in common, so a
// lookup compares the key once, at its end.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "dataplane/base/limits.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/mapped_array.h"
#include "dataplane/rules/rule.h"

namespace shunt::bench {

/// Keys: each label with its length octet in front. Symbol 0 is the key's end.
struct NibbleAlphabet {
  static constexpr unsigned kSymbols = 17;
  static constexpr std::size_t kMaxKey = dns::kMaxName;

  /// Bitmap 17 bits, offset 10, a flag, 32 for the index of the first child (or of a leaf's record).
  struct Node {
    std::uint64_t word = 0;
    static Node leaf(std::size_t record) { return {std::uint64_t{record} << 32}; }
    static Node make_branch(std::uint64_t bitmap, unsigned offset, std::size_t twigs) {
      return {bitmap | std::uint64_t{offset} << 17 | std::uint64_t{1} << 31 | std::uint64_t{twigs} << 32};
    }
    bool branch() const { return (word & std::uint64_t{1} << 31) != 0; }
    std::uint64_t bitmap() const { return word & 0x1ffff; }
    unsigned offset() const { return static_cast<unsigned>(word >> 17) & 0x3ff; }
    std::uint32_t index() const { return static_cast<std::uint32_t>(word >> 32); }
  };
  static_assert(sizeof(Node) == 8);

  static std::size_t make_key(const dns::Name& name, std::uint8_t* key) {
    std::size_t n = 0;
    for (unsigned i = name.labels; i-- > 0;) {
      const std::size_t octets = name.wire[name.offset[i]] + std::size_t{1};
      std::memcpy(key + n, &name.wire[name.offset[i]], octets);
      n += octets;
    }
    return n;
  }
  static unsigned symbol(std::span<const std::uint8_t> key, unsigned at) {
    if (at / 2 >= key.size()) return 0;
    const unsigned octet = key[at / 2];
    return 1 + ((at & 1) != 0 ? octet & 15 : octet >> 4);
  }
  /// Offset of the first symbol that differs, where the first differing octet is known.
  static unsigned differs_at(std::span<const std::uint8_t> a, std::span<const std::uint8_t> b,
                             std::size_t octet) {
    const auto at = static_cast<unsigned>(octet * 2);
    return symbol(a, at) != symbol(b, at) ? at : at + 1;
  }
};

/// Keys: a symbol for each octet of a host name's, two for each other octet, and one behind each label.
struct DnsAlphabet {
  static constexpr unsigned kEnd = 0, kLabelEnd = 1;
  static constexpr unsigned kUpperBits = 2;  ///< eight: an octet's upper three bits; its lower five follow
  static constexpr unsigned kHostName = 10;  ///< 38: digits, letters, hyphen, underscore
  static constexpr unsigned kSymbols = 48;
  static constexpr std::size_t kMaxKey = 2 * dns::kMaxName;

  /// Packed to twelve octets, as BIND's are: bitmap 48 bits, offset 10, a flag.
  struct Node {
    std::uint32_t low = 0, high = 0, reference = 0;
    static Node leaf(std::size_t record) { return {0, 0, static_cast<std::uint32_t>(record)}; }
    static Node make_branch(std::uint64_t bitmap, unsigned offset, std::size_t twigs) {
      const std::uint64_t word = bitmap | std::uint64_t{offset} << 48 | std::uint64_t{1} << 63;
      return {static_cast<std::uint32_t>(word), static_cast<std::uint32_t>(word >> 32),
              static_cast<std::uint32_t>(twigs)};
    }
    bool branch() const { return (high >> 31) != 0; }
    std::uint64_t bitmap() const { return (std::uint64_t{high} << 32 | low) & 0xffffffffffff; }
    unsigned offset() const { return high >> 16 & 0x3ff; }
    std::uint32_t index() const { return reference; }
  };
  static_assert(sizeof(Node) == 12);

  static std::size_t make_key(const dns::Name& name, std::uint8_t* key) {
    std::size_t n = 0;
    for (unsigned i = name.labels; i-- > 0;) {
      const std::uint8_t* const label = &name.wire[name.offset[i]];
      for (unsigned k = 1; k <= *label; ++k) {
        const Pair symbols = kOfOctet[label[k]];
        key[n] = symbols.first;
        key[n + 1] = symbols.second;
        n += symbols.second == 0 ? 1 : 2;
      }
      key[n++] = kLabelEnd;
    }
    return n;
  }
  static unsigned symbol(std::span<const std::uint8_t> key, unsigned at) {
    return at < key.size() ? key[at] : kEnd;
  }
  static unsigned differs_at(std::span<const std::uint8_t>, std::span<const std::uint8_t>,
                             std::size_t octet) {
    return static_cast<unsigned>(octet);
  }

 private:
  struct Pair {
    std::uint8_t first, second;  ///< second 0: there is none
  };
  static constexpr std::array<Pair, 256> kOfOctet = [] {
    std::array<Pair, 256> of{};
    std::uint8_t next = kHostName;
    for (unsigned octet = 0; octet < 256; ++octet) {
      const bool host_name =
          (octet >= '0' && octet <= '9') || (octet >= 'a' && octet <= 'z') || octet == '-' || octet == '_';
      of[octet] = host_name ? Pair{next++, 0}
                            : Pair{static_cast<std::uint8_t>(kUpperBits + (octet >> 5)),
                                   static_cast<std::uint8_t>(kUpperBits + (octet & 31))};
    }
    return of;
  }();
};

/// Suffix rules only: what a rule covers is no matter of the trie.
template <typename Alphabet>
class QpTrie {
 public:
  static constexpr std::uint32_t kNone = rules::kNoRule;

  /// `name(i)` is the wire name, lower case, of rule i of `count`; no two are equal.
  template <typename NameOf>
  QpTrie(std::size_t count, NameOf name) {
    fill(count, name);
    if (count == 0) return;
    nodes_.reserve(count + count / 2);
    nodes_.append_zeros(1);
    build(0, count, 0);
    nodes_.shrink();
  }

  /// A lookup under way: 129 candidates are a root's, 127 labels' and the last leaf once more.
  struct Walk {
    std::array<std::uint8_t, Alphabet::kMaxKey + 2> octets;
    std::size_t length;
    std::uint32_t node;
    unsigned candidates;
    std::array<std::uint32_t, dns::kMaxLabels + 2> candidate;

    std::span<const std::uint8_t> key() const { return {octets.data(), length}; }
  };

  /// The rule with the longest name that is a suffix of `name`, or kNone.
  std::uint32_t find(const dns::Name& name, Walk& walk) const {
    start(name, walk);
    while (step(walk)) {
    }
    return finish(walk);
  }

  /// `count` names at once, up to kBurst, with a prefetch before each load.
  void find_burst(unsigned count, const dns::Name* const* names, std::array<Walk, kBurst>& walks,
                  std::uint32_t* rules) const {
    std::array<std::uint8_t, kBurst> walking;
    unsigned left = count;
    for (unsigned i = 0; i < count; ++i) {
      start(*names[i], walks[i]);
      walking[i] = static_cast<std::uint8_t>(i);
    }
    while (left > 0) {
      const unsigned here = left;
      left = 0;
      for (unsigned k = 0; k < here; ++k) {
        const std::uint8_t i = walking[k];
        walking[left] = i;
        left += step(walks[i]);
      }
    }
    for (unsigned i = 0; i < count; ++i)
      if (walks[i].candidates > 0) prefetch(&nodes_[last(walks[i])]);
    for (unsigned i = 0; i < count; ++i)
      if (walks[i].candidates > 0) prefetch(&records_[nodes_[last(walks[i])].index()]);
    for (unsigned i = 0; i < count; ++i)
      if (walks[i].candidates > 0) prefetch(&keys_[records_[nodes_[last(walks[i])].index()].key]);
    for (unsigned i = 0; i < count; ++i)
      rules[i] = finish(walks[i]);
  }

  std::size_t memory_octets() const {
    return nodes_.memory_octets() + records_.memory_octets() + keys_.memory_octets();
  }

 private:
  using Node = typename Alphabet::Node;
  /// As in our rule set: the rule, and where its key starts; here in order of the keys, so that the next
  /// record tells where it ends.
  struct Record {
    rules::Rule rule;  ///< `argument`: the caller's index
    std::uint32_t key;
  };

  void start(const dns::Name& name, Walk& walk) const {
    walk.length = Alphabet::make_key(name, walk.octets.data());
    walk.node = 0;
    walk.candidates = 0;
  }
  /// One node further down; false at the end.
  bool step(Walk& walk) const {
    if (nodes_.size() == 0) return false;
    const Node node = nodes_[walk.node];
    if (!node.branch()) {
      walk.candidate[walk.candidates++] = walk.node;
      return false;
    }
    // A key that ends here is a prefix of all below.
    const std::uint64_t bitmap = node.bitmap();
    walk.candidate[walk.candidates] = node.index();
    walk.candidates += bitmap & 1;
    const std::uint64_t bit = std::uint64_t{1} << Alphabet::symbol(walk.key(), node.offset());
    if ((bitmap & bit) == 0) return false;
    walk.node = node.index() + static_cast<unsigned>(std::popcount(bitmap & (bit - 1)));
    prefetch(&nodes_[walk.node]);
    return true;
  }
  static std::uint32_t last(const Walk& walk) { return walk.candidate[walk.candidates - 1]; }
  /// The walk skipped symbols: the longest candidate that really is a prefix.
  std::uint32_t finish(Walk& walk) const {
    for (; walk.candidates > 0; --walk.candidates) {
      const std::uint32_t record = nodes_[last(walk)].index();
      const std::span<const std::uint8_t> key = key_of(record);
      if (key.size() <= walk.length && std::memcmp(key.data(), walk.octets.data(), key.size()) == 0)
        return records_[record].rule.argument;
    }
    return kNone;
  }

  std::span<const std::uint8_t> key_of(std::size_t record) const {
    const std::uint32_t start = records_[record].key;
    return {keys_.data() + start, records_[record + 1].key - start};
  }

  /// Keys and records, sorted; one record more marks the end.
  template <typename NameOf>
  void fill(std::size_t count, NameOf name_of) {
    struct Unsorted {
      std::array<std::uint64_t, 2> front;  ///< the key's first sixteen octets: most comparisons end there
      std::uint32_t rule, start, length;
    };
    std::vector<Unsorted> unsorted(count);
    std::vector<std::uint8_t> octets;
    dns::Name name;
    std::array<std::uint8_t, Alphabet::kMaxKey + 2> key;
    for (std::size_t i = 0; i < count; ++i) {
      dns::read_name(name_of(i), name);
      key.fill(0);
      const std::size_t length = Alphabet::make_key(name, key.data());
      std::fill(key.begin() + static_cast<std::ptrdiff_t>(length), key.end(), std::uint8_t{0});
      unsorted[i] = {{__builtin_bswap64(load_le64(&key[0])), __builtin_bswap64(load_le64(&key[8]))},
                     static_cast<std::uint32_t>(i),
                     static_cast<std::uint32_t>(octets.size()),
                     static_cast<std::uint32_t>(length)};
      octets.insert(octets.end(), key.begin(), key.begin() + static_cast<std::ptrdiff_t>(length));
    }
    std::sort(unsorted.begin(), unsorted.end(), [&octets](const Unsorted& a, const Unsorted& b) {
      if (a.front != b.front) return a.front < b.front;
      const int order =
          std::memcmp(octets.data() + a.start, octets.data() + b.start, std::min(a.length, b.length));
      return order != 0 ? order < 0 : a.length < b.length;
    });
    keys_.reserve(octets.size());
    records_.reserve(count + 1);
    for (const Unsorted& u : unsorted) {
      records_.push_back({{.argument = u.rule}, static_cast<std::uint32_t>(keys_.size())});
      keys_.append(octets.data() + u.start, u.length);
    }
    records_.push_back({{}, static_cast<std::uint32_t>(keys_.size())});
  }

  /// The node at `at`, for the keys [first, last).
  void build(std::size_t first, std::size_t last, std::size_t at) {
    if (last - first == 1) {
      nodes_[at] = Node::leaf(first);
      return;
    }
    const std::span<const std::uint8_t> low = key_of(first), high = key_of(last - 1);
    const auto differing = std::mismatch(low.begin(), low.end(), high.begin(), high.end()).first;
    const unsigned offset =
        Alphabet::differs_at(low, high, static_cast<std::size_t>(differing - low.begin()));
    std::array<std::size_t, Alphabet::kSymbols + 1> starts;
    std::uint64_t bitmap = 0;
    unsigned children = 0;
    for (std::size_t i = first; i < last; ++i) {
      const std::uint64_t bit = std::uint64_t{1} << Alphabet::symbol(key_of(i), offset);
      if ((bitmap & bit) != 0) continue;
      bitmap |= bit;
      starts[children++] = i;
    }
    starts[children] = last;
    const std::size_t twigs = nodes_.size();
    nodes_.append_zeros(children);
    nodes_[at] = Node::make_branch(bitmap, offset, twigs);
    for (unsigned c = 0; c < children; ++c)
      build(starts[c], starts[c + 1], twigs + c);
  }

  rules::MappedArray<Node> nodes_;
  rules::MappedArray<Record> records_;
  rules::MappedArray<std::uint8_t> keys_;
};

}  // namespace shunt::bench
