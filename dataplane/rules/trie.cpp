#include "dataplane/rules/trie.h"

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cassert>

namespace shunt::rules {
namespace {

/// Compares sixteen octets at a time; both may be read to 15 octets behind their end.
bool equal_octets(const std::uint8_t* a, const std::uint8_t* b, unsigned length) {
  for (;;) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(a));
    const __m128i y = _mm_loadu_si128(reinterpret_cast<const __m128i*>(b));
    const unsigned differ = static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(x, y))) ^ 0xffffu;
    if (length <= 16) return (differ & (0xffffu >> (16 - length))) == 0;
    if (differ != 0) return false;
    a += 16;
    b += 16;
    length -= 16;
  }
}

void prefetch(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}

}  // namespace

RuleSet::Node RuleSet::probe(std::size_t bucket, std::uint32_t tag) const {
  const __m128i wanted = _mm_set1_epi32(static_cast<int>(tag));
  for (;;) {
    const Bucket& b = buckets_[bucket];
    const __m128i* tags = reinterpret_cast<const __m128i*>(b.tags);
    const __m128i low = _mm_cmpeq_epi32(_mm_load_si128(tags), wanted);
    const __m128i high = _mm_cmpeq_epi32(_mm_load_si128(tags + 1), wanted);
    const __m128i both = _mm_packs_epi16(_mm_packs_epi32(low, high), _mm_setzero_si128());
    const unsigned equal = static_cast<unsigned>(_mm_movemask_epi8(both));
    // Whether a node is found is chance to the branch predictor, so it is not asked.
    const Node node = b.nodes[std::countr_zero(equal | 1u << (kSlots - 1))];
    const bool ended = (equal != 0) | (b.tags[kSlots - 1] == 0);
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
      if (b.tags[i] != tag) continue;
      const RuleIndex rule = any_rule(b.nodes[i]);
      if (!rule_has_name(rule, name, labels)) continue;
      // An empty node doesn't say at which of its rule's suffixes it stands. One here is right or, where two
      // suffixes of one name collide, a neighbour of the right one: so it does not end the search.
      if ((b.nodes[i] & kKindMask) == kEmpty) {
        on_the_way = b.nodes[i];
      } else if (records_[rule].rule.labels == labels) {
        return b.nodes[i];
      }
    }
  }
}

RuleIndex RuleSet::any_rule(Node node) const {
  const std::uint32_t r = reference(node);
  if ((node & kKindMask) != kSeveral) return r;
  // Two of three at least are set.
  const Several& several = several_[r];
  return several.rules[0] != kNoRule ? several.rules[0] : several.rules[1];
}

bool RuleSet::rule_has_name(RuleIndex rule, const dns::Name& name, unsigned labels) const {
  const Record& record = records_[rule];
  if (record.rule.labels < labels) return false;
  const std::uint8_t* stored = names_.data() + record.name;
  for (unsigned i = record.rule.labels; i > labels; --i)
    stored += 1 + *stored;
  const unsigned start = name.offset[name.labels - labels];
  return equal_octets(stored, name.wire.data() + start, name.length - start);
}

RuleSet::Several RuleSet::rules_of(Node node) const {
  Several all{{kNoRule, kNoRule, kNoRule}};
  switch (node & kKindMask) {
    case kSuffixOnly:
      all.rules[static_cast<unsigned>(Cover::kSuffix)] = reference(node);
      break;
    case kBelowOnly:
      all.rules[static_cast<unsigned>(Cover::kBelow)] = reference(node);
      break;
    case kExactOnly:
      all.rules[static_cast<unsigned>(Cover::kExact)] = reference(node);
      break;
    case kSeveral:
      all = several_[reference(node)];
      break;
    default:
      break;
  }
  return all;
}

Match RuleSet::match(Node node, unsigned labels, unsigned of) const {
  const auto make = [&](RuleIndex rule, Cover cover) {
    return Match{.rule = rule, .labels = static_cast<std::uint8_t>(labels), .cover = cover};
  };
  const RuleIndex r = reference(node);
  switch (node & kKindMask) {
    case kSuffixOnly:
      return make(r, Cover::kSuffix);
    case kBelowOnly:
      return make(r, Cover::kBelow);
    case kExactOnly:
      return make(r, Cover::kExact);
    default:
      break;
  }
  const Several& several = several_[r];
  const Cover closer = labels == of ? Cover::kExact : Cover::kBelow;
  const RuleIndex rule = several.rules[static_cast<unsigned>(closer)];
  if (rule != kNoRule) return make(rule, closer);
  return make(several.rules[static_cast<unsigned>(Cover::kSuffix)], Cover::kSuffix);
}

Match RuleSet::find(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride) const {
  const unsigned labels = name.labels;
  Node node = root_, best = 0, seen = root_;
  unsigned best_labels = 0;
  for (unsigned d = 0;;) {
    if (applies(node, d == labels)) {
      best = node;
      best_labels = d;
    }
    if (d == labels || (node & kChildren) == 0) break;
    const std::uint64_t hash = hashes[++d * stride];
    node = probe(home(hash), tag_of(hash));
    if (node == 0) break;
    seen |= node;
  }
  if ((seen & kAmbiguous) != 0) return find_exact(name, hashes, stride);
  if (best == 0) return {};
  const Match found = match(best, best_labels, labels);
  if (!rule_has_name(found.rule, name, best_labels)) return find_exact(name, hashes, stride);
  return found;
}

Match RuleSet::find_exact(const dns::Name& name, const std::uint64_t* hashes, std::size_t stride) const {
  Match best;
  Node node = root_;
  for (unsigned d = 0;;) {
    if (applies(node, d == name.labels)) best = match(node, d, name.labels);
    if (d == name.labels) break;
    ++d;
    node = probe_exact(hashes[d * stride], name, d);
    if (node == 0) break;
  }
  return best;
}

void RuleSet::find_burst(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                         std::uint8_t position, Match* best) const {
  assert(count <= kBurst);
  std::array<Node, kBurst> found{}, seen{};  // the winner so far; all nodes met
  std::array<std::uint8_t, kBurst> found_labels{};
  std::array<std::uint8_t, kBurst> walking;  // those whose walk goes on
  std::array<std::size_t, kBurst> bucket{};  // where each will probe next
  unsigned left = 0;

  // Which names match, and how deep, is chance to the branch predictor: everything about it is a conditional
  // move.
  const auto visit = [&](unsigned i, unsigned d, Node node) {
    const bool whole = d == names[i]->labels;
    const bool match = applies(node, whole);
    seen[i] |= node;
    found[i] = match ? node : found[i];
    found_labels[i] = match ? static_cast<std::uint8_t>(d) : found_labels[i];
    const bool on = (node & kChildren) != 0 && !whole;
    const std::size_t next = home(hashes[(whole ? d : d + 1) * kBurst + i]);
    bucket[i] = on ? next : bucket[i];
    prefetch(&buckets_[bucket[i]]);
    walking[left] = static_cast<std::uint8_t>(i);
    left += on;
  };
  for (unsigned i = 0; i < count; ++i)
    if (names[i] != nullptr) visit(i, 0, root_);
  for (unsigned d = 1; left > 0; ++d) {
    const unsigned here = left;
    left = 0;
    for (unsigned k = 0; k < here; ++k) {
      const unsigned i = walking[k];
      visit(i, d, probe(bucket[i], tag_of(hashes[d * kBurst + i])));
    }
  }

  // What remains is to compare each winner's name, which is two loads away. A match that can't beat the one
  // of an earlier set needs no proof: if it is wrong, the true one is shorter.
  std::array<Match, kBurst> matches;
  std::array<std::uint8_t, kBurst> winners;
  unsigned won = 0;
  const auto settle = [&](unsigned i, const Match& match) {
    if (match.precedence() <= best[i].precedence()) return;
    best[i] = match;
    best[i].set = position;
  };
  for (unsigned i = 0; i < count; ++i) {
    if ((seen[i] & kAmbiguous) != 0) [[unlikely]] {
      settle(i, find_exact(*names[i], hashes + i, kBurst));
      continue;
    }
    if (found[i] == 0) continue;
    matches[i] = match(found[i], found_labels[i], names[i]->labels);
    if (matches[i].precedence() <= best[i].precedence()) continue;
    prefetch(&records_[matches[i].rule]);
    winners[won++] = static_cast<std::uint8_t>(i);
  }
  for (unsigned k = 0; k < won; ++k)
    prefetch(names_.data() + records_[matches[winners[k]].rule].name);
  for (unsigned k = 0; k < won; ++k) {
    const unsigned i = winners[k];
    const bool proven = rule_has_name(matches[i].rule, *names[i], matches[i].labels);
    settle(i, proven ? matches[i] : find_exact(*names[i], hashes + i, kBurst));
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

std::span<const std::uint8_t> RuleSet::name(RuleIndex i) const {
  const std::uint8_t* const start = names_.data() + records_[i].name;
  const std::uint8_t* end = start;
  while (*end != 0)
    end += 1 + *end;
  return {start, static_cast<std::size_t>(end + 1 - start)};
}

std::size_t RuleSet::memory_octets() const {
  std::size_t octets = sizeof *this + buckets_.memory_octets() + records_.memory_octets() +
                       names_.memory_octets() + several_.memory_octets() +
                       answers_.capacity() * sizeof(Answer);
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
        b.tags[i] = tag;
        b.nodes[i] = node;
        return;
      }
      if (b.tags[i] == tag) b.nodes[i] |= kAmbiguous;  // a lookup of the new one would stop here
    }
  }
}

}  // namespace shunt::rules
