#include "dataplane/rules/trie.h"

#include <emmintrin.h>

#include <array>
#include <bit>
#include <cassert>

namespace shunt::rules {
namespace {

/// Takes `match`, of the set at `position`, where it is better than what there is.
void settle(const Match& match, std::uint8_t position, Match& best) {
  if (match.precedence() <= best.precedence()) return;
  best = match;
  best.set = position;
}

void prefetch(const void* p) {
  _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0);
}

}  // namespace

bool RuleSet::equal_octets(const std::uint8_t* a, const std::uint8_t* b, unsigned length) {
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
      if ((b.nodes[i] & kRuleMask) == 0) {
        on_the_way = b.nodes[i];
      } else if (records_[rule].rule.labels == labels) {
        return b.nodes[i];
      }
    }
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
  const Record& record = records_[rule];
  if (record.rule.labels < labels) return false;
  const std::uint8_t* stored = names_.data() + record.name;
  for (unsigned i = record.rule.labels; i > labels; --i)
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

void RuleSet::find_burst(unsigned count, const dns::Name* const* names, const std::uint64_t* hashes,
                         std::uint8_t position, Match* best) const {
  assert(count <= kBurst);
  std::array<std::uint64_t, kBurst> found;   // the winner so far: its labels above, its node below; 0: none
  std::array<std::uint8_t, kBurst> labels;   // of each name
  std::array<std::uint8_t, kBurst> walking;  // the names whose walk goes on, and where each will probe next
  std::array<std::size_t, kBurst> bucket;
  unsigned left = 0;
  Node met = root_;

  for (unsigned i = 0; i < count; ++i) {
    found[i] = 0;
    if (names[i] == nullptr) continue;
    labels[i] = names[i]->labels;
    const bool whole = labels[i] == 0;
    if (applies(root_, whole)) found[i] = root_;
    if ((root_ & kChildren) == 0 || whole) continue;
    bucket[i] = home(hashes[kBurst + i]);
    prefetch(&buckets_[bucket[i]]);
    walking[left++] = static_cast<std::uint8_t>(i);
  }
  // Which names match, and how deep, is chance to the branch predictor: there is no branch that asks.
  for (unsigned d = 1; left > 0; ++d) {
    const unsigned here = left;
    left = 0;
    for (unsigned k = 0; k < here; ++k) {
      const unsigned i = walking[k];
      const Node node = probe(bucket[i], tag_of(hashes[d * kBurst + i]));
      const unsigned whole = labels[i] == d;
      met |= node;
      const std::uint64_t here_found = std::uint64_t{d} << 32 | node;
      found[i] = applies(node, whole != 0) ? here_found : found[i];
      const unsigned on = (node / kChildren) & 1u & (whole ^ 1u);
      bucket[i] = home(hashes[(d + on) * kBurst + i]);
      prefetch(&buckets_[bucket[i]]);
      walking[left] = static_cast<std::uint8_t>(i);
      left += on;
    }
  }
  if ((met & kAmbiguous) != 0) [[unlikely]] {
    for (unsigned i = 0; i < count; ++i)
      if (names[i] != nullptr) settle(find_exact(*names[i], hashes + i, kBurst), position, best[i]);
    return;
  }

  // What remains is to compare each winner's name, which is two loads away. A match that can't beat the one
  // of an earlier set needs no proof: if it is wrong, the true one is shorter.
  std::array<RuleIndex, kBurst> rules;
  std::array<std::uint8_t, kBurst> winners;
  unsigned won = 0;
  for (unsigned i = 0; i < count; ++i) {
    const auto node = static_cast<Node>(found[i]);
    const auto depth = static_cast<unsigned>(found[i] >> 32);
    RuleIndex rule = reference(node);
    Cover cover = cover_of(node);
    if ((node & kSeveral) != 0) {
      const Match resolved = match(node, depth, depth == labels[i]);
      rule = resolved.rule;
      cover = resolved.cover;
    }
    const Match candidate{
        .rule = node == 0 ? kNoRule : rule, .labels = static_cast<std::uint8_t>(depth), .cover = cover};
    const bool better = candidate.precedence() > best[i].precedence();
    prefetch(records_.data() + (better ? rule : 0));
    found[won] = std::uint64_t{depth} << 32 | static_cast<std::uint32_t>(cover);
    rules[won] = rule;
    winners[won] = static_cast<std::uint8_t>(i);
    won += better;
  }
  for (unsigned k = 0; k < won; ++k)
    prefetch(names_.data() + records_[rules[k]].name);
  for (unsigned k = 0; k < won; ++k) {
    const unsigned i = winners[k];
    const auto depth = static_cast<unsigned>(found[k] >> 32);
    if (!rule_is(rules[k], *names[i], depth)) [[unlikely]] {
      settle(find_exact(*names[i], hashes + i, kBurst), position, best[i]);
      continue;
    }
    best[i] = {.rule = rules[k],
               .labels = static_cast<std::uint8_t>(depth),
               .cover = static_cast<Cover>(static_cast<std::uint32_t>(found[k])),
               .set = position};
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
