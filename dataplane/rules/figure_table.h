// Which rules have figures of their own (base/figures.h): a small hash table beside the rule sets, so that
// these stay as they are while numbers change hands. Looked at after a match only; immutable, read by all
// workers.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dataplane/base/figures.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/rules/trie.h"

namespace shunt::rules {

class FigureTable {
 public:
  struct Row {
    const RuleSet* set = nullptr;
    RuleIndex rule = 0;
    FigureNumber figure = 0;
  };
  static_assert(sizeof(Row) == 16);

  FigureTable() : FigureTable(std::span<const Row>()) {}
  /// Of rows for the same rule the first counts.
  explicit FigureTable(std::span<const Row> rows)
      : slots_(std::bit_ceil(2 * rows.size() + 2)), mask_(slots_.size() - 1) {
    for (const Row& row : rows) {
      Row& slot = slots_[place(row.set, row.rule)];
      if (slot.set == nullptr) slot = row;
    }
  }

  /// The rule's number, or 0.
  FigureNumber find(const RuleSet* set, RuleIndex rule) const { return slots_[place(set, rule)].figure; }
  void prefetch(const RuleSet* set, RuleIndex rule) const { shunt::prefetch(&slots_[home(set, rule)]); }

 private:
  std::size_t home(const RuleSet* set, RuleIndex rule) const {
    const std::uint64_t mixed =
        (reinterpret_cast<std::uintptr_t>(set) ^ std::uint64_t{rule} << 32) * 0x9e3779b97f4a7c15;
    return static_cast<std::size_t>((mixed ^ mixed >> 29) * 0xbf58476d1ce4e5b9 >> 32) & mask_;
  }
  /// Its slot, or the empty one where it would be: there always is one.
  std::size_t place(const RuleSet* set, RuleIndex rule) const {
    std::size_t at = home(set, rule);
    while (slots_[at].set != nullptr && (slots_[at].set != set || slots_[at].rule != rule))
      at = (at + 1) & mask_;
    return at;
  }

  std::vector<Row> slots_;
  std::size_t mask_;
};

}  // namespace shunt::rules
