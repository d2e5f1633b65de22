// One rule, as the workers see it: what the name's owner wants done.
#pragma once

#include <cstdint>
#include <limits>

namespace shunt::rules {

enum class Action : std::uint8_t {
  kForward,  ///< to the upstream whose handle is `argument`
  kSystem,   ///< as if no rule matched
  kBlockNxdomain,
  kBlockNodata,
  kBlockRefused,
  kBlockDrop,
  kAnswer,  ///< records `argument` of the rule set
  kZone,    ///< implicit, at a zone's apex: answered from that zone
  kWatch,   ///< counted and logged; only in a RuleSet of its own (Association::add())
};

/// What a rule's name covers. The values order rules of one name: the higher wins.
enum class Cover : std::uint8_t {
  kSuffix = 0,  ///< the name and everything below it
  kBelow = 1,   ///< "*.": everything below it
  kExact = 2,   ///< "=": the name alone
};

/// Where a rule lies in its set: rules are found by it, but aren't numbered (RuleSet::rules()).
using RuleIndex = std::uint32_t;
inline constexpr RuleIndex kNoRule = std::numeric_limits<RuleIndex>::max();

struct Rule {
  Action action = Action::kSystem;
  Cover cover = Cover::kSuffix;
  std::uint8_t labels = 0;     ///< of its name
  std::uint8_t length = 0;     ///< of its name in wire format: never 0 in a set
  std::uint32_t argument = 0;  ///< upstream handle, or index into the set's answers
  std::uint32_t line = 0;      ///< where it was written: an index that the builder's owner can resolve
};
static_assert(sizeof(Rule) == 12);

/// The outcome of a lookup in one or several sets. Eight octets, so that it is copied in one store: two that
/// overlap would keep the loads behind them waiting.
struct alignas(8) Match {
  RuleIndex rule = kNoRule;
  std::uint8_t labels = 0;
  Cover cover = Cover::kSuffix;
  std::uint8_t set = 0;  ///< position among the network's sets
  std::uint8_t unused = 0;

  friend bool operator==(const Match&, const Match&) = default;
  bool found() const { return rule != kNoRule; }
  /// Longest name first, then `=`, `*.`, suffix. Found matches are above kNone's 0.
  std::uint32_t precedence() const {
    return found() ? 1u + (std::uint32_t{labels} << 2 | static_cast<std::uint32_t>(cover)) : 0u;
  }
};

}  // namespace shunt::rules
