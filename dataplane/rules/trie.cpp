#include "dataplane/rules/trie.h"

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cassert>

#include "dataplane/base/prefetch.h"

namespace shunt::rules {
namespace {

/// Takes `match`, of the set at `position`, where it is better than what there is.
void settle(const Match& match, std::uint8_t position, Match& best) {
  if (match.precedence() <= best.precedence()) return;
  best = match;
  best.set = position;
}

}  // namespace

RuleSet::Node RuleSet::probe(std::size_t bucket, std::uint32_t tag) const {
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
  const __m128i continued = _mm_setr_epi32(0, 0, 0, static_cast<int>(kContinued));
  for (;;) {
    const Bucket& b = buckets_[bucket];
    const __m128i* tags = reinterpret_cast<const __m128i*>(b.tags);
    const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), wanted);
    const __m128i high = _mm_cmpeq_epi32(_mm_or_si128(_mm_load_si128(tags + 1), continued), wanted);
    const __m128i both = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
    const unsigned equal = static_cast<unsigned>(_mm_movemask_epi8(both));
    // Whether a node is found is chance to the branch predictor, so it is not asked.
    const Node node = b.nodes[std::countr_zero(equal | 1u << (kSlots - 1))];
    const bool ended = (equal != 0) | ((b.tags[kSlots - 1] & kContinued) == 0);
    if (ended) [[likely]]
      return equal != 0 ? node : 0;
    bucket = after(bucket);
  }
}

RuleSet::Node RuleSet::probe_exact(std::uint64_t hash, const dns::Name& name, unsigned labels) const {
  const std::uint32_t tag = tag_of(hash);
  Node on_the_way = 0;
  for (std::size_t bucket = home(hash);; bucket = after(bucket)) {
    const Bucket& b = buckets_[bucket];
    for (unsigned i = 0; i < kSlots; ++i) {
      if (b.tags[i] == 0) return on_the_way;
      if ((b.tags[i] | kContinued) != tag) continue;
      const RuleIndex rule = any_rule(b.nodes[i]);
      if (!rule_has_name(rule, name, labels)) continue;
      // An empty node doesn't say at which of its rule's suffixes it stands. One here is right or, where two
      // suffixes of one name collide, a neighbour of the right one: so it does not end the search.
      if ((b.nodes[i] & kRuleMask) == 0) {
        on_the_way = b.nodes[i];
      } else if (this->rule(rule).labels == labels) {
        return b.nodes[i];
      }
    }
    if ((b.tags[kSlots - 1] & kContinued) == 0) return on_the_way;
  }
}

RuleIndex RuleSet::any_rule(Node node) const {
  const std::uint32_t r = reference(node);
  if ((node & kSeveral) == 0) return r;
  // Two of three at least are set.
  const Several& several = several_[r];
  return several.rules[0] != kNoRule ? several.rules[0] : several.rules[1];
}

bool RuleSet::rule_has_name(RuleIndex rule, const dns::Name& name, unsigned labels) const {
  const unsigned has = this->rule(rule).labels;
  if (has < labels) return false;
  const std::uint8_t* stored = octets_of(rule);
  for (unsigned i = has; i > labels; --i)
    stored += 1 + *stored;
  const unsigned start = name.offset[name.labels - labels];
  return equal_octets(stored, name.wire.data() + start, name.length - start);
}

RuleSet::Several RuleSet::rules_of(Node node) const {
  if ((node & kSeveral) != 0) return several_[reference(node)];
  Several one{{kNoRule, kNoRule, kNoRule}};
  if ((node & kRuleMask) != 0) one.rules[static_cast<unsigned>(cover_of(node))] = reference(node);
  return one;
}

Match RuleSet::match(Node node, unsigned labels, bool whole) const {
  RuleIndex rule = reference(node);
  Cover cover = cover_of(node);
  if ((node & kSeveral) != 0) {
    const Several& several = several_[rule];
    cover = whole ? Cover::kExact : Cover::kBelow;
    if (several.rules[static_cast<unsigned>(cover)] == kNoRule) cover = Cover::kSuffix;
    rule = several.rules[static_cast<unsigned>(cover)];
  }
  return {.rule = rule, .labels = static_cast<std::uint8_t>(labels), .cover = cover};
}

Match RuleSet::find(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride) const {
  const unsigned labels = name.labels;
  Node best = applies(root_, labels == 0) ? root_ : 0, seen = 0;
  unsigned best_labels = 0;
  for (unsigned d = first_level_; d <= labels; ++d) {
    const std::uint64_t hash = hashes[d * stride];
    const Node node = probe(home(hash), tag_of(hash));
    seen |= node;
    if (applies(node, d == labels)) {
      best = node;
      best_labels = d;
    }
    if ((node & kChildren) == 0) break;
  }
  if ((seen & kAmbiguous) != 0) return find_exact(name, hashes, stride);
  if (best == 0) return {};
  const Match found = match(best, best_labels, best_labels == labels);
  if (!rule_is(found.rule, name, best_labels)) return find_exact(name, hashes, stride);
  return found;
}

Match RuleSet::find_exact(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride) const {
  Match best;
  Node node = root_;
  for (unsigned d = 0;;) {
    if (applies(node, d == name.labels)) best = match(node, d, d == name.labels);
    if (d == name.labels) break;
    ++d;
    node = probe_exact(hashes[d * stride], name, d);
    if (node == 0) break;
  }
  return best;
}

RuleSet::Node RuleSet::walk(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                            std::uint64_t* found) const {
  std::array<std::uint8_t, kBurst> walking;  // the names whose walk goes on, and where each will probe next
  std::array<std::size_t, kBurst> bucket;
  unsigned left = 0;
  Node met = root_;

  for (unsigned i = 0; i < count; ++i) {
    found[i] = 0;
    if (names[i] == nullptr) continue;
    const unsigned labels = names[i]->labels;
    if (applies(root_, labels == 0)) found[i] = root_;
    if (labels < first_level_) continue;
    bucket[i] = home(hashes[first_level_ * kBurst + i]);
    prefetch(&buckets_[bucket[i]]);
    walking[left++] = static_cast<std::uint8_t>(i);
  }
  // Which names match, and how deep, is chance to the branch predictor: there is no branch that asks.
  for (unsigned d = first_level_; left > 0; ++d) {
    const unsigned here = left;
    left = 0;
    for (unsigned k = 0; k < here; ++k) {
      const unsigned i = walking[k];
      const Node node = probe(bucket[i], tag_of(hashes[d * kBurst + i]));
      const unsigned whole = names[i]->labels == d;
      met |= node;
      const std::uint64_t here_found = std::uint64_t{d} << 32 | node;
      const bool covers = applies(node, whole != 0);
      found[i] = covers ? here_found : found[i];
      // Of a node with several rules this is another's line, which does no harm.
      prefetch(&units_[covers ? reference(node) : 0]);
      const unsigned on = (node / kChildren) & 1u & (whole ^ 1u);
      bucket[i] = home(hashes[(d + on) * kBurst + i]);
      prefetch(&buckets_[bucket[i]]);
      walking[left] = static_cast<std::uint8_t>(i);
      left += on;
    }
  }
  return met;
}

unsigned RuleSet::choose(unsigned count, const dns::Name* const* names, const std::uint64_t* found,
                         const Match* best, Winner* winners) const {
  unsigned won = 0;
  for (unsigned i = 0; i < count; ++i) {
    if (names[i] == nullptr) continue;
    const dns::Name& name = *names[i];
    const auto node = static_cast<Node>(found[i]);
    const auto labels = static_cast<unsigned>(found[i] >> 32);
    RuleIndex rule = reference(node);
    Cover cover = cover_of(node);
    if ((node & kSeveral) != 0) [[unlikely]] {
      const Match resolved = match(node, labels, labels == name.labels);
      rule = resolved.rule;
      cover = resolved.cover;
    }
    const unsigned start = name.offset[name.labels - labels];
    const unsigned length = name.length - start;
    // The first line is on its way already, unless the node has several rules.
    const std::uint8_t* const stored = octets_of(rule);
    prefetch(stored);
    prefetch(stored + length - 1);
    winners[won] = {name.wire.data() + start,          rule,
                    static_cast<std::uint8_t>(length), static_cast<std::uint8_t>(labels),
                    static_cast<std::uint8_t>(i),      cover};
    const Match candidate{.rule = rule, .labels = static_cast<std::uint8_t>(labels), .cover = cover};
    won += static_cast<unsigned>(node != 0) &
           static_cast<unsigned>(candidate.precedence() > best[i].precedence());
  }
  return won;
}

void RuleSet::find_burst(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                         std::uint8_t position, Match* best) const {
  assert(count <= kBurst);
  std::array<std::uint64_t, kBurst> found;
  const Node met = walk(count, names, hashes, found.data());
  if ((met & kAmbiguous) != 0) [[unlikely]] {
    for (unsigned i = 0; i < count; ++i)
      if (names[i] != nullptr) settle(find_exact(*names[i], hashes + i, kBurst), position, best[i]);
    return;
  }

  if ((met & kSuffixOnly) == 0) return;  // no rule on the way of any

  // What remains is to compare each winner's name.
  std::array<Winner, kBurst> winners;
  const unsigned won = choose(count, names, found.data(), best, winners.data());
  for (unsigned k = 0; k < won; ++k) {
    const Winner& w = winners[k];
    const unsigned i = w.name;
    if (!equal_octets(octets_of(w.rule), w.asked, w.length)) [[unlikely]] {
      settle(find_exact(*names[i], hashes + i, kBurst), position, best[i]);
      continue;
    }
    best[i] = {.rule = w.rule, .labels = w.labels, .cover = w.cover, .set = position};
  }
}

std::vector<RuleIndex> RuleSet::find_all(const dns::Name& name) const {
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
  dns::hash_suffixes(key_, name, hashes.data());
  std::vector<RuleIndex> all;
  Node node = root_;
  for (unsigned d = 0; node != 0;) {
    const Several rules = rules_of(node);
    const auto take = [&](Cover cover) {
      const RuleIndex rule = rules.rules[static_cast<unsigned>(cover)];
      if (rule != kNoRule) all.insert(all.begin(), rule);
    };
    take(Cover::kSuffix);
    take(d == name.labels ? Cover::kExact : Cover::kBelow);
    if (d == name.labels) break;
    ++d;
    node = probe_exact(hashes[d], name, d);
  }
  return all;
}

std::size_t RuleSet::memory_octets() const {
  std::size_t octets = sizeof *this + buckets_.memory_octets() + units_.memory_octets() +
                       several_.memory_octets() + answers_.capacity() * sizeof(Answer);
  for (const Answer& answer : answers_) {
    octets += answer.groups.capacity() * sizeof(AnswerGroup);
    for (const AnswerGroup& group : answer.groups)
      octets += group.wire.capacity();
  }
  return octets;
}

void RuleSet::insert(std::uint64_t hash, Node node) {
  const std::uint32_t tag = tag_of(hash);
  for (std::size_t bucket = home(hash);; bucket = after(bucket)) {
    Bucket& b = buckets_[bucket];
    for (unsigned i = 0; i < kSlots; ++i) {
      if (b.tags[i] == 0) {
        b.tags[i] = i + 1 < kSlots ? tag : tag & ~kContinued;
        b.nodes[i] = node;
        return;
      }
      if ((b.tags[i] | kContinued) == tag)
        b.nodes[i] |= kAmbiguous;  // a lookup of the new one would stop here
    }
    b.tags[kSlots - 1] |= kContinued;
  }
}

}  // namespace shunt::rules
