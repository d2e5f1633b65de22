#include "dataplane/rules/compare.h"

#include <algorithm>
#include <array>

#include "dataplane/base/prefetch.h"
#include "dataplane/dns/name.h"

namespace shunt::rules {

/// Finds for each rule of one set its partner in another: the rule of the same name and cover.
class Partners {
 public:
  Partners(const RuleSet& from, const RuleSet& in) : from_(from), in_(in) {}

  /// Calls `use(rule, partner)` for every rule of the first; the partner is kNoRule where there is none.
  template <typename Use>
  void find(const Use& use) {
    for (const RuleIndex rule : from_.rules()) {
      if (is_next(rule)) {
        use(rule, next_);
        step();
        continue;
      }
      waiting_[count_++] = rule;
      if (count_ == kBurst) look_up(use);
    }
    look_up(use);
  }

 private:
  bool is_partner(RuleIndex rule, RuleIndex other) const {
    const Rule &a = from_.rule(rule), &b = in_.rule(other);
    return a.length == b.length && a.cover == b.cover &&
           equal_octets(from_.octets_of(rule), in_.octets_of(other), a.length);
  }
  RuleIndex end() const { return in_.rules_end_; }
  RuleIndex after(RuleIndex rule) const {
    return rule + static_cast<RuleIndex>(RuleSet::units_for(in_.rule(rule).length));
  }
  void step() { next_ = after(next_); }

  /// Files mostly keep their order: is the partner the next rule of the other set, or the one behind?
  bool is_next(RuleIndex rule) {
    if (next_ == end()) return false;
    if (is_partner(rule, next_)) return true;
    const RuleIndex second = after(next_);
    if (second == end() || !is_partner(rule, second)) return false;
    next_ = second;
    return true;
  }

  template <typename Use>
  void look_up(const Use& use) {
    std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
    for (unsigned i = 0; i < count_; ++i) {
      dns::read_name(from_.name(waiting_[i]), names_[i]);
      dns::hash_suffixes(in_.key_, names_[i], hashes.data());
      hashes_[i] = hashes[names_[i].labels];
      prefetch(&in_.buckets_[in_.home(hashes_[i])]);
    }
    for (unsigned i = 0; i < count_; ++i) {
      const RuleSet::Node node = in_.probe(in_.home(hashes_[i]), RuleSet::tag_of(hashes_[i]));
      if (node != 0) prefetch(&in_.units_[in_.any_rule(node)]);
    }
    for (unsigned i = 0; i < count_; ++i) {
      const RuleSet::Node node =
          names_[i].labels == 0 ? in_.root_ : in_.probe_exact(hashes_[i], names_[i], names_[i].labels);
      const auto cover = static_cast<unsigned>(from_.rule(waiting_[i]).cover);
      const RuleIndex partner = node == 0 ? kNoRule : in_.rules_of(node).rules[cover];
      use(waiting_[i], partner);
      if (partner != kNoRule) next_ = after(partner);
    }
    count_ = 0;
  }

  const RuleSet& from_;
  const RuleSet& in_;
  RuleIndex next_ = 0;  ///< of in_: behind the partner that was found last
  std::array<RuleIndex, kBurst> waiting_;
  unsigned count_ = 0;
  std::array<dns::Name, kBurst> names_;
  std::array<std::uint64_t, kBurst> hashes_;
};

namespace {

bool have_same_records(const Answer& a, const Answer& b) {
  return std::ranges::is_permutation(a.groups, b.groups, [](const AnswerGroup& x, const AnswerGroup& y) {
    return x.type == y.type && x.wire == y.wire;
  });
}

bool do_the_same(const RuleSet& a, RuleIndex x, const RuleSet& b, RuleIndex y) {
  const Rule &one = a.rule(x), &other = b.rule(y);
  if (one.action != other.action) return false;
  if (one.action == Action::kForward) return one.argument == other.argument;
  return one.action != Action::kAnswer || have_same_records(a.answer(one.argument), b.answer(other.argument));
}

}  // namespace

Differences compare(const RuleSet& before, const RuleSet& after, const DifferenceSink& sink) {
  Differences differences;
  Partners(after, before).find([&](RuleIndex rule, RuleIndex partner) {
    if (partner != kNoRule && do_the_same(before, partner, after, rule)) return;
    ++(partner == kNoRule ? differences.added : differences.changed);
    if (sink) sink(partner, rule);
  });
  // A name and cover stands once in a set: what has no partner in the other is what is left over.
  differences.removed = before.size() - (after.size() - differences.added);
  if (sink && differences.removed > 0) {
    Partners(before, after).find([&](RuleIndex rule, RuleIndex partner) {
      if (partner == kNoRule) sink(rule, kNoRule);
    });
  }
  return differences;
}

}  // namespace shunt::rules
