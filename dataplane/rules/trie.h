// A rule set: an immutable suffix trie, read by all workers without locks.
//
// Nodes are name suffixes, empty non-terminals included; the edges of all nodes live in one hash table, keyed by
// the suffix's chain hash (dns/name.h). A lookup walks from the top label down until an edge is missing and
// remembers the last node with a rule that covers the name; a burst walks level by level, prefetching the next
// level's table lines for all its names. The hash only proposes: the winning suffix is compared octet by octet with
// the rule's name, and where that fails (a 64-bit collision) a slow exact walk decides.
//
// Memory: an edge table of 16-octet entries at most half full... see bench/README for octets per rule.
// Threads: build on one thread, then share freely. Needs no DPDK.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/limits.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/rule.h"

namespace shunt::rules {

/// The records of an `answer` rule: all lines for one name. `wire` holds whole records in wire format whose owner
/// is the pointer 0xc00c (the question), `count` of them, of one type each group.
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
  /// `hashes[d * stride]` is the hash of `name`'s last d labels.
  Match find(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride = 1) const;

  /// `count` <= kBurst names at once: names[i], and hashes[d * kBurst + i] for their suffixes; skips null names.
  /// best[i] is replaced where this set's match has a higher precedence (so earlier sets win ties); its `set`
  /// becomes `position`.
  void find_burst(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                  std::uint8_t position, Match* best) const;

  /// Every rule that covers `name`, best first: for `explain`.
  std::vector<RuleIndex> find_all(const dns::Name& name) const;

  const Rule& rule(RuleIndex i) const { return rules_[i]; }
  const Answer& answer(std::uint32_t i) const { return answers_[i]; }
  /// The rule's name in wire format, lower case.
  std::span<const std::uint8_t> name(RuleIndex i) const;
  std::size_t size() const { return rules_.size(); }
  std::size_t memory_octets() const;

 private:
  friend class RuleSetBuilder;
  // The owner of this file lays this out.
  std::vector<Rule> rules_;
  std::vector<Answer> answers_;
};

}  // namespace shunt::rules
