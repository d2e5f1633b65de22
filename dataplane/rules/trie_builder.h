// Builds a rule set. Used by one thread, off the workers.
//
// Rules are appended; the names' suffixes go into one open hash table, which finds duplicates, grows, and is
// at last poured into the set's denser one. Both are in order of the hash, so growing and pouring go through
// memory from end to end.
//
// Throws std::bad_alloc without memory, and std::length_error beyond 2 GiB of rules with their names (some 50
// million); the builder is to be thrown away then.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/mapped_array.h"
#include "dataplane/rules/rule.h"
#include "dataplane/rules/trie.h"

namespace shunt::rules {

class RuleSetBuilder {
 public:
  explicit RuleSetBuilder(const dns::HashKey& key);
  /// Makes room for `rules` rules, so that less is moved while they come.
  void reserve(std::size_t rules);
  /// What reserve() takes, in octets.
  static std::uint64_t octets_for(std::size_t rules);

  enum class Added : std::uint8_t {
    kNew,
    kMerged,         ///< an `answer` line that joined the earlier one of its name
    kDuplicate,      ///< the set has this name and cover already; nothing changed
    kCnameConflict,  ///< an answer's CNAME bears no second record beside it (RFC 1034 section 3.6.2); nothing
                     ///< changed
    kTooLarge,       ///< the answer's records of this type would exceed kMaxAnswerOctets; nothing changed
  };
  /// Adds a rule for `name`; `line` comes back as Rule::line. Where nothing changed, `other_line` (where not
  /// null) receives the earlier rule's line.
  Added add(const dns::Name& name, Cover cover, Action action, std::uint32_t argument, std::uint32_t line,
            std::uint32_t* other_line = nullptr);
  /// Gets ready for add() of `name`: fills in `hashes`, of which it has one more than labels, and asks for
  /// the memory that add() will look at. Some names ahead, this hides most of its misses.
  void prepare(const dns::Name& name, std::uint64_t* hashes) const;
  /// add() with the hashes from prepare().
  Added add_prepared(const dns::Name& name, const std::uint64_t* hashes, Cover cover, Action action,
                     std::uint32_t argument, std::uint32_t line, std::uint32_t* other_line = nullptr);
  /// Adds an `answer` rule's record: type, TTL and RDATA (uncompressed wire format). A record that its rule
  /// has already (equal type and RDATA) is a duplicate.
  Added add_answer(const dns::Name& name, Cover cover, std::uint16_t type, std::uint32_t ttl,
                   std::span<const std::uint8_t> rdata, std::uint32_t line,
                   std::uint32_t* other_line = nullptr);
  /// The rule for this name and cover, or null; valid until the next call.
  const Rule* find(const dns::Name& name, Cover cover);

  /// What the rules take so far, the builder's own tables included: for whoever has to stop in time.
  std::size_t memory_octets() const;

  /// The finished set; the builder is empty afterwards.
  std::unique_ptr<const RuleSet> build();

 private:
  using Node = RuleSet::Node;
  /// A node of the trie under its whole hash. `node` 0: empty.
  struct Slot {
    std::uint64_t hash;
    Node node;
    std::uint32_t labels;
  };

  void start();
  std::size_t home(std::uint64_t hash) const;
  Slot* find_slot(std::uint64_t hash, const dns::Name& name, unsigned labels);
  bool slot_has_name(const Slot& slot, const dns::Name& name, unsigned labels) const;
  void place(const Slot& slot);
  void make_room(std::size_t more);
  void grow(std::size_t slots);
  Node* find_node(const dns::Name& name, const std::uint64_t* hashes);
  const std::uint64_t* hash(const dns::Name& name);
  RuleIndex rule_at(const Node* node, Cover cover) const;
  RuleIndex append(const dns::Name& name, const std::uint64_t* hashes, Cover cover, Action action,
                   std::uint32_t argument, std::uint32_t line, Node* node);
  void insert_path(const dns::Name& name, const std::uint64_t* hashes, Node node);
  Node attach(Node node, Cover cover, RuleIndex rule);
  Added merge(Rule& rule, std::uint16_t type, std::span<const std::uint8_t> record);

  dns::HashKey key_;
  std::unique_ptr<RuleSet> set_;
  MappedArray<Slot> slots_;
  std::size_t used_ = 0;
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes_{};  ///< of a name that was not prepared
  /// Answers of a single record, by that record: a list that answers a million names alike keeps one.
  std::unordered_map<std::string, std::uint32_t> single_answers_;
  std::unordered_set<std::uint32_t> shared_;  ///< the indices of those
  std::size_t answer_octets_ = 0;             ///< of all answers, about
};

}  // namespace shunt::rules
