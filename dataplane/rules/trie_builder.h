// Builds a rule set. Used by one thread, off the workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "dataplane/base/result.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/rule.h"
#include "dataplane/rules/trie.h"

namespace shunt::rules {

class RuleSetBuilder {
 public:
  explicit RuleSetBuilder(const dns::HashKey& key);
  void reserve(std::size_t rules);

  enum class Added : std::uint8_t {
    kNew,
    kMerged,     ///< an `answer` line that joined the earlier one of its name
    kDuplicate,  ///< the set has this name and cover already; nothing changed
  };
  /// Adds a rule for `name`; `line` comes back as Rule::line. On kDuplicate, `other_line` (where not null) receives the earlier rule's line.
  Added add(const dns::Name& name, Cover cover, Action action, std::uint32_t argument, std::uint32_t line,
            std::uint32_t* other_line = nullptr);
  /// Adds an `answer` rule's record: type, TTL and RDATA (uncompressed wire format).
  Added add_answer(const dns::Name& name, Cover cover, std::uint16_t type, std::uint32_t ttl,
                   std::span<const std::uint8_t> rdata, std::uint32_t line, std::uint32_t* other_line = nullptr);

  /// The finished set; the builder is empty afterwards.
  std::unique_ptr<const RuleSet> build();

 private:
  dns::HashKey key_;
  std::unique_ptr<RuleSet> set_;
};

}  // namespace shunt::rules
