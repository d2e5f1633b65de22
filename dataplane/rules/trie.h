// A rule set: an immutable suffix trie, read by all workers without locks.
//
// Nodes are name suffixes, empty non-terminals included. They need no links: a node is found by its suffix's
// chain hash (dns/name.h) in one table of buckets, each a cache line of eight nodes. A lookup walks from the
// first level with a rule down until a node is missing or has no children, and remembers the last node with a
// rule that covers the name; a burst walks level by level, prefetching the next level's bucket for all its
// names. A rule has its name right behind it: both are one miss.
//
// A hash only proposes. The table keeps 32 bits of it as a tag, and the winning rule's name is compared with
// the query's octet by octet. Where two nodes could be taken for each other, the one that would be found
// first is marked ambiguous while building; a lookup that meets such a node, or whose winner is not the
// name's, walks again and compares every node on the way. (That suffices: a wrong node that is not marked
// stands where the name's own suffix is no node, so that nothing true lies below it, and what was found above
// it is right.)
//
// Memory: 16 octets a node (a rule's name, and each empty non-terminal), and for a rule 12 and its name,
// rounded up to 16.
//
// Threads: built on one thread, then shared freely. Needs no DPDK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/limits.h"
#include "dataplane/base/octets.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/mapped_array.h"
#include "dataplane/rules/rule.h"

namespace shunt::rules {

/// The most that the records of one type in an Answer take, so that they fit a message (kMaxMessage) with the
/// longest question and an OPT record.
inline constexpr std::size_t kMaxAnswerOctets = 1152;
/// The records of an `answer` rule: all lines for one name. `wire` holds whole records in wire format whose
/// owner is the pointer 0xc00c (the question), `count` of them, of one type each group.
struct AnswerGroup {
  std::uint16_t type;
  std::uint16_t count;
  std::vector<std::uint8_t> wire;
};
struct Answer {
  std::vector<AnswerGroup> groups;

  const AnswerGroup* find(std::uint16_t type) const {
    for (const AnswerGroup& g : groups)
      if (g.type == type) return &g;
    return nullptr;
  }
};

class RuleSet {
 public:
  /// The rules of a set, which has to outlive it.
  class Rules {
   public:
    struct End {};
    class Iterator {
     public:
      explicit Iterator(const RuleSet& set) : set_(set) {}
      RuleIndex operator*() const { return at_; }
      Iterator& operator++() {
        at_ += static_cast<RuleIndex>(units_for(set_.rule(at_).length));
        ++passed_;
        return *this;
      }
      bool operator!=(End) const { return passed_ != set_.size(); }

     private:
      const RuleSet& set_;
      RuleIndex at_ = 0;
      std::size_t passed_ = 0;
    };
    explicit Rules(const RuleSet& set) : set_(set) {}
    Iterator begin() const { return Iterator(set_); }
    static End end() { return {}; }

   private:
    const RuleSet& set_;
  };

  /// `hashes[d * stride]` is the hash of `name`'s last d labels.
  Match find(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride = 1) const;

  /// `count` <= kBurst names at once: names[i], and hashes[d * kBurst + i] for their suffixes; skips null
  /// names. best[i] is replaced where this set's match has a higher precedence (so earlier sets win ties);
  /// its `set` becomes `position`.
  void find_burst(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                  std::uint8_t position, Match* best) const;

  /// Every rule that covers `name`, best first: for `explain`.
  std::vector<RuleIndex> find_all(const dns::Name& name) const;

  const Rule& rule(RuleIndex i) const { return *reinterpret_cast<const Rule*>(&units_[i]); }
  const Answer& answer(std::uint32_t i) const { return answers_[i]; }
  /// The rule's name in wire format, lower case.
  std::span<const std::uint8_t> name(RuleIndex i) const { return {octets_of(i), rule(i).length}; }
  std::size_t size() const { return rules_; }
  /// All rules, in the order in which they were added: `for (const RuleIndex i : set.rules())`.
  Rules rules() const { return Rules(*this); }
  /// Nodes of the trie, the root not counted: at least one for each name.
  std::size_t nodes() const { return nodes_; }
  std::size_t memory_octets() const;

 private:
  friend class RuleSetBuilder;
  friend class Partners;  // compare.cpp

  /// What a rule and behind it its name, in wire format, are stored in: most lie in one cache line, and all
  /// that a match needs with them. A reference counts units.
  struct alignas(16) Unit {
    std::uint8_t octets[16];
  };
  static_assert(alignof(Unit) >= alignof(Rule));
  /// Of one set: what a node's reference holds.
  static constexpr std::size_t kMaxUnits = std::size_t{1} << 27;

  /// Node word: five flags, and in bits 5 to 31 a reference: the node's rule; with kSeveral an index into
  /// several_; for a node without a rule any rule below. The two lowest flags say which names a rule here
  /// covers, and so what its Cover is: a suffix rule has both. No node in the table is 0: one without a rule
  /// has children.
  using Node = std::uint32_t;
  static constexpr Node kCoversDeeper = 1, kCoversWhole = 2, kSeveral = 4, kChildren = 8, kAmbiguous = 16;
  static constexpr Node kSuffixOnly = kCoversDeeper | kCoversWhole, kBelowOnly = kCoversDeeper,
                        kExactOnly = kCoversWhole;
  static constexpr Node kRuleMask = kCoversDeeper | kCoversWhole | kSeveral;
  static constexpr unsigned kReferenceShift = 5;
  static constexpr unsigned kSlots = 8;
  static constexpr unsigned kNodesPerBucket = 4;  ///< on average: hardly one in fifty overflows

  /// Slots fill in order; nodes that find the bucket full are in the next, and the last tag says so.
  struct alignas(kCacheLine) Bucket {
    std::uint32_t tags[kSlots];  ///< 0: empty
    Node nodes[kSlots];
  };
  static_assert(sizeof(Bucket) == kCacheLine);

  /// The rules of a node that has more than one, by Cover.
  struct Several {
    RuleIndex rules[3];
  };

  /// Of tags: all have the first; of a bucket's last, the second says whether the next bucket continues it.
  static constexpr std::uint32_t kFilled = 1, kContinued = 2;

  /// As probes compare them.
  static std::uint32_t tag_of(std::uint64_t hash) {
    return static_cast<std::uint32_t>(hash) | kFilled | kContinued;
  }
  static constexpr std::size_t units_for(std::size_t name_length) {
    return (sizeof(Rule) + name_length + sizeof(Unit) - 1) / sizeof(Unit);
  }
  /// The rule's name.
  const std::uint8_t* octets_of(RuleIndex rule) const {
    return reinterpret_cast<const std::uint8_t*>(units_.data() + rule) + sizeof(Rule);
  }
  static std::uint32_t reference(Node node) { return node >> kReferenceShift; }
  /// Has the node a rule for a name that ends here (`whole`), or else goes on below? Two rules of one node
  /// cover both.
  static bool applies(Node node, bool whole) { return (node >> static_cast<unsigned>(whole) & 1u) != 0; }
  /// Of a node's only rule.
  static Cover cover_of(Node node) {
    const Node covers = node & kSuffixOnly;
    return static_cast<Cover>(covers == kSuffixOnly ? 0 : covers);
  }
  std::size_t home(std::uint64_t hash) const {
    return static_cast<std::size_t>(static_cast<dns::Uint128>(hash) * buckets_.size() >> 64);
  }
  std::size_t after(std::size_t bucket) const { return bucket + 1 == buckets_.size() ? 0 : bucket + 1; }
  /// The first node with this tag from `bucket` on, or 0.
  Node probe(std::size_t bucket, std::uint32_t tag) const;
  /// The node of `name`'s last `labels` labels, whose hash is `hash`, or 0.
  Node probe_exact(std::uint64_t hash, const dns::Name& name, unsigned labels) const;
  /// A rule of the node; for an empty one, of a node below.
  RuleIndex any_rule(Node node) const;
  /// Its rules by cover.
  Several rules_of(Node node) const;
  /// The rule of `node`, which applies at `labels`, for a name that ends here or not.
  Match match(Node node, unsigned labels, bool whole) const;
  /// Are `name`'s last `labels` labels the whole name of the rule, octet by octet?
  bool rule_is(RuleIndex rule, const dns::Name& name, unsigned labels) const {
    const unsigned start = name.offset[name.labels - labels];
    return equal_octets(octets_of(rule), name.wire.data() + start, name.length - start);
  }
  /// Are they the end of the rule's name?
  bool rule_has_name(RuleIndex rule, const dns::Name& name, unsigned labels) const;
  /// A match whose name is still to be compared.
  struct Winner {
    const std::uint8_t* asked;  ///< what has to be the rule's name
    RuleIndex rule;
    std::uint8_t length, labels;  ///< of that
    std::uint8_t name;            ///< which of the burst's
    Cover cover;
  };
  /// A burst's walk: found[i] becomes the best node of names[i], with its labels in the upper half, or 0.
  /// Asks for the rules' lines. Returns the flags of all nodes that were met, the root's among them.
  Node walk(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
            std::uint64_t* found) const;
  /// Collects what was found and is better than `best`, and returns how much that is. A match that can't beat
  /// the one of an earlier set needs no proof: if it is wrong, the true one is shorter.
  unsigned choose(unsigned count, const dns::Name* const* names, const std::uint64_t* found,
                  const Match* best, Winner* winners) const;
  Match find_exact(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride) const;
  void insert(std::uint64_t hash, Node node);
  Rule& rule(RuleIndex i) { return *reinterpret_cast<Rule*>(&units_[i]); }

  dns::HashKey key_;
  Node root_ = 0;
  /// The fewest labels of a rule's name, the root's aside: no node above this level has a rule.
  unsigned first_level_ = dns::kMaxLabels + 1;
  std::size_t nodes_ = 0, rules_ = 0;
  MappedArray<Bucket> buckets_;
  RuleIndex rules_end_ = 0;  ///< behind the last rule
  MappedArray<Unit> units_;  ///< the rules, with room for a wide load behind the last
  MappedArray<Several> several_;
  std::vector<Answer> answers_;
};

}  // namespace shunt::rules
