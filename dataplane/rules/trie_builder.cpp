#include "dataplane/rules/trie_builder.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "dataplane/base/prefetch.h"

namespace shunt::rules {
namespace {

constexpr std::size_t kFirstSlots = 64;
/// Wide compares read up to 31 octets behind the last name.
constexpr std::size_t kPaddingUnits = 2;
/// About what a rule takes of them: for making room.
constexpr std::size_t kUnitsPerRule = 3, kSlotsPerRule = 2;
/// Owner, type, class, TTL and RDLENGTH in front of an answer's RDATA.
constexpr std::size_t kRecordHeader = 12;
/// What an answer of one record takes beside the record, about: vectors, and its entry among the single ones.
constexpr std::size_t kAnswerOverhead = 300;
/// Beyond this many, memory is taken as the rules come: how many there will be is only a guess.
constexpr std::size_t kMaxReserved = std::size_t{1} << 24;

std::vector<std::uint8_t> make_record(std::uint16_t type, std::uint32_t ttl,
                                      std::span<const std::uint8_t> rdata) {
  std::vector<std::uint8_t> record(kRecordHeader + rdata.size());
  record[0] = 0xc0;  // the owner is the question's name (RFC 1035 section 4.1.4)
  record[1] = static_cast<std::uint8_t>(dns::kHeaderSize);
  store_be16(&record[2], type);
  store_be16(&record[4], dns::kClassIn);
  store_be32(&record[6], ttl);
  store_be16(&record[10], static_cast<std::uint16_t>(rdata.size()));
  std::copy(rdata.begin(), rdata.end(), record.begin() + kRecordHeader);
  return record;
}

/// Does `group` hold a record with `record`'s RDATA? TTLs don't count.
bool has_rdata(const AnswerGroup& group, std::span<const std::uint8_t> record) {
  const auto wanted = record.subspan(kRecordHeader);
  for (std::size_t at = 0; at < group.wire.size();) {
    const std::size_t size = load_be16(&group.wire[at + 10]);
    const std::span<const std::uint8_t> rdata{group.wire.data() + at + kRecordHeader, size};
    if (std::equal(rdata.begin(), rdata.end(), wanted.begin(), wanted.end())) return true;
    at += kRecordHeader + size;
  }
  return false;
}

}  // namespace

RuleSetBuilder::RuleSetBuilder(const dns::HashKey& key) : key_(key) {
  start();
}

void RuleSetBuilder::start() {
  set_ = std::make_unique<RuleSet>();
  set_->key_ = key_;
  slots_ = {};
  slots_.append_zeros(kFirstSlots);
  used_ = 0;
  single_answers_.clear();
  shared_.clear();
  answer_octets_ = 0;
}

void RuleSetBuilder::reserve(std::size_t rules) {
  rules = std::min(rules, kMaxReserved);
  set_->units_.reserve(rules * kUnitsPerRule);
  const std::size_t slots = rules * kSlotsPerRule;
  if (slots > slots_.size()) grow(slots);
}

std::uint64_t RuleSetBuilder::octets_for(std::size_t rules) {
  return rules * (kUnitsPerRule * sizeof(RuleSet::Unit) + kSlotsPerRule * sizeof(Slot));
}

std::size_t RuleSetBuilder::home(std::uint64_t hash) const {
  return static_cast<std::size_t>(static_cast<dns::Uint128>(hash) * slots_.size() >> 64);
}

bool RuleSetBuilder::slot_has_name(const Slot& slot, const dns::Name& name, unsigned labels) const {
  return slot.labels == labels && set_->rule_has_name(set_->any_rule(slot.node), name, labels);
}

RuleSetBuilder::Slot* RuleSetBuilder::find_slot(std::uint64_t hash, const dns::Name& name, unsigned labels) {
  for (std::size_t i = home(hash);; i = i + 1 == slots_.size() ? 0 : i + 1) {
    Slot& slot = slots_[i];
    if (slot.node == 0) return nullptr;
    if (slot.hash == hash && slot_has_name(slot, name, labels)) return &slot;
  }
}

void RuleSetBuilder::place(const Slot& slot) {
  std::size_t i = home(slot.hash);
  while (slots_[i].node != 0)
    i = i + 1 == slots_.size() ? 0 : i + 1;
  slots_[i] = slot;
}

void RuleSetBuilder::make_room(std::size_t more) {
  // Three quarters full at most.
  if ((used_ + more) * 4 <= slots_.size() * 3) return;
  grow(std::max(slots_.size() * 2, (used_ + more) * 2));
}

void RuleSetBuilder::grow(std::size_t slots) {
  MappedArray<Slot> old;
  old.append_zeros(slots);
  slots_.swap(old);
  for (std::size_t i = 0; i < old.size(); ++i)
    if (old[i].node != 0) place(old[i]);
}

const std::uint64_t* RuleSetBuilder::hash(const dns::Name& name) {
  dns::hash_suffixes(key_, name, hashes_.data());
  return hashes_.data();
}

void RuleSetBuilder::prepare(const dns::Name& name, std::uint64_t* hashes) const {
  dns::hash_suffixes(key_, name, hashes);
  // The top labels are few: their slots are at hand.
  for (unsigned d = name.labels; d > 1; --d)
    prefetch(slots_.data() + home(hashes[d]));
}

RuleSetBuilder::Node* RuleSetBuilder::find_node(const dns::Name& name, const std::uint64_t* hashes) {
  if (name.labels == 0) return &set_->root_;
  Slot* const slot = find_slot(hashes[name.labels], name, name.labels);
  return slot == nullptr ? nullptr : &slot->node;
}

RuleIndex RuleSetBuilder::rule_at(const Node* node, Cover cover) const {
  return node == nullptr ? kNoRule : set_->rules_of(*node).rules[static_cast<unsigned>(cover)];
}

const Rule* RuleSetBuilder::find(const dns::Name& name, Cover cover) {
  const RuleIndex rule = rule_at(find_node(name, hash(name)), cover);
  return rule == kNoRule ? nullptr : &set_->rule(rule);
}

RuleSetBuilder::Node RuleSetBuilder::attach(Node node, Cover cover, RuleIndex rule) {
  RuleSet::Several rules = set_->rules_of(node);
  const bool first = (node & RuleSet::kRuleMask) == 0;
  rules.rules[static_cast<unsigned>(cover)] = rule;
  const Node flags = node & RuleSet::kChildren;
  if (first) {
    constexpr Node kOnly[] = {RuleSet::kSuffixOnly, RuleSet::kBelowOnly, RuleSet::kExactOnly};  // by Cover
    return flags | rule << RuleSet::kReferenceShift | kOnly[static_cast<unsigned>(cover)];
  }
  if ((node & RuleSet::kSeveral) != 0) {
    set_->several_[RuleSet::reference(node)] = rules;
    return node;
  }
  set_->several_.push_back(rules);
  const auto index = static_cast<Node>(set_->several_.size() - 1);
  return flags | index << RuleSet::kReferenceShift | RuleSet::kRuleMask;
}

RuleIndex RuleSetBuilder::append(const dns::Name& name, const std::uint64_t* hashes, Cover cover,
                                 Action action, std::uint32_t argument, std::uint32_t line, Node* node) {
  const std::size_t at = set_->units_.size(), units = RuleSet::units_for(name.length);
  if (at + units > RuleSet::kMaxUnits) throw std::length_error("more rules than one rule set can hold");

  const auto index = static_cast<RuleIndex>(at);
  const Rule rule{.action = action,
                  .cover = cover,
                  .labels = name.labels,
                  .length = name.length,
                  .argument = argument,
                  .line = line};
  set_->units_.make_room(units + kPaddingUnits);
  set_->units_.append_zeros(units);
  std::uint8_t* const to = set_->units_[at].octets;
  std::memcpy(to, &rule, sizeof rule);
  std::memcpy(to + sizeof rule, name.wire.data(), name.length);
  ++set_->rules_;
  if (name.labels > 0) set_->first_level_ = std::min<unsigned>(set_->first_level_, name.labels);
  if (node != nullptr) {
    *node = attach(*node, cover, index);
  } else {
    insert_path(name, hashes, attach(0, cover, index));
  }
  return index;
}

void RuleSetBuilder::insert_path(const dns::Name& name, const std::uint64_t* hashes, Node node) {
  make_room(name.labels);
  unsigned d = name.labels;
  place({hashes[d], node, d});
  ++used_;
  // Up to the first suffix that is a node already: all above it are.
  const Node empty = (node & ~RuleSet::kRuleMask) | RuleSet::kChildren;
  while (--d > 0) {
    Slot* const parent = find_slot(hashes[d], name, d);
    if (parent != nullptr) {
      parent->node |= RuleSet::kChildren;
      break;
    }
    place({hashes[d], empty, d});
    ++used_;
  }
  set_->root_ |= RuleSet::kChildren;
}

RuleSetBuilder::Added RuleSetBuilder::add(const dns::Name& name, Cover cover, Action action,
                                          std::uint32_t argument, std::uint32_t line,
                                          std::uint32_t* other_line) {
  return add_prepared(name, hash(name), cover, action, argument, line, other_line);
}

RuleSetBuilder::Added RuleSetBuilder::add_prepared(const dns::Name& name, const std::uint64_t* hashes,
                                                   Cover cover, Action action, std::uint32_t argument,
                                                   std::uint32_t line, std::uint32_t* other_line) {
  Node* const node = find_node(name, hashes);
  const RuleIndex earlier = rule_at(node, cover);
  if (earlier != kNoRule) {
    if (other_line != nullptr) *other_line = set_->rule(earlier).line;
    return Added::kDuplicate;
  }
  append(name, hashes, cover, action, argument, line, node);
  return Added::kNew;
}

RuleSetBuilder::Added RuleSetBuilder::add_answer(const dns::Name& name, Cover cover, std::uint16_t type,
                                                 std::uint32_t ttl, std::span<const std::uint8_t> rdata,
                                                 std::uint32_t line, std::uint32_t* other_line) {
  if (kRecordHeader + rdata.size() > kMaxAnswerOctets) {
    if (other_line != nullptr) *other_line = line;
    return Added::kTooLarge;
  }
  const std::vector<std::uint8_t> record = make_record(type, ttl, rdata);
  const std::uint64_t* const hashes = hash(name);
  Node* const node = find_node(name, hashes);
  const RuleIndex earlier = rule_at(node, cover);
  if (earlier != kNoRule) {
    Rule& rule = set_->rule(earlier);
    if (other_line != nullptr) *other_line = rule.line;
    return rule.action == Action::kAnswer ? merge(rule, type, record) : Added::kDuplicate;
  }
  const auto next = static_cast<std::uint32_t>(set_->answers_.size());
  const auto [single, fresh] = single_answers_.try_emplace(std::string(record.begin(), record.end()), next);
  if (fresh) {
    set_->answers_.push_back(Answer{{AnswerGroup{type, 1, record}}});
    shared_.insert(next);
    answer_octets_ += 2 * record.size() + kAnswerOverhead;
  }
  append(name, hashes, cover, Action::kAnswer, single->second, line, node);
  return Added::kNew;
}

RuleSetBuilder::Added RuleSetBuilder::merge(Rule& rule, std::uint16_t type,
                                            std::span<const std::uint8_t> record) {
  constexpr auto kCname = static_cast<std::uint16_t>(dns::Type::kCname);
  {
    const Answer& answer = set_->answers_[rule.argument];
    const AnswerGroup* const group = answer.find(type);
    if (group != nullptr && has_rdata(*group, record)) return Added::kDuplicate;
    if (type == kCname || answer.find(kCname) != nullptr) return Added::kCnameConflict;
    if (group != nullptr && group->wire.size() + record.size() > kMaxAnswerOctets) return Added::kTooLarge;
  }
  if (shared_.contains(rule.argument)) {
    Answer copy = set_->answers_[rule.argument];
    set_->answers_.push_back(std::move(copy));
    answer_octets_ += kAnswerOverhead;
    rule.argument = static_cast<std::uint32_t>(set_->answers_.size() - 1);
  }
  std::vector<AnswerGroup>& groups = set_->answers_[rule.argument].groups;
  answer_octets_ += 2 * (sizeof(AnswerGroup) + record.size());
  const auto same = std::ranges::find(groups, type, &AnswerGroup::type);
  if (same == groups.end()) {
    groups.push_back({type, 1, {record.begin(), record.end()}});
  } else {
    same->wire.insert(same->wire.end(), record.begin(), record.end());
    ++same->count;
  }
  return Added::kMerged;
}

std::size_t RuleSetBuilder::memory_octets() const {
  return slots_.memory_octets() + set_->units_.memory_octets() + set_->several_.memory_octets() +
         answer_octets_;
}

std::unique_ptr<const RuleSet> RuleSetBuilder::build() {
  RuleSet& set = *set_;
  set.nodes_ = used_;
  const std::size_t buckets = used_ < RuleSet::kSlots ? 1 : used_ / RuleSet::kNodesPerBucket + 1;
  set.buckets_.append_zeros(buckets);
  for (std::size_t i = 0; i < slots_.size(); ++i)
    if (slots_[i].node != 0) set.insert(slots_[i].hash, slots_[i].node);
  set.rules_end_ = static_cast<RuleIndex>(set.units_.size());
  set.units_.append_zeros(kPaddingUnits);
  set.units_.shrink();
  set.several_.shrink();
  set.answers_.shrink_to_fit();
  std::unique_ptr<const RuleSet> finished = std::move(set_);
  start();
  return finished;
}

}  // namespace shunt::rules
