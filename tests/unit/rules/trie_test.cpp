// The rule trie by example: covers, the root, answers, duplicates.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/rules/trie.h"
#include "dataplane/rules/trie_builder.h"

namespace shunt::rules {
namespace {

using Added = RuleSetBuilder::Added;
using dns::Name;

const dns::HashKey kKey{};

Name name_of(std::string_view text) {
  const auto name = dns::parse_name(text);
  EXPECT_TRUE(name.has_value()) << text;
  return name.value();
}

/// The line of the rule that `text` matches, or -1.
int line_for(const RuleSet& set, std::string_view text) {
  const Name name = name_of(text);
  std::array<std::uint64_t, dns::kMaxLabels + 1> hashes;
  dns::hash_suffixes(kKey, name, hashes.data());
  const Match match = set.find(name, hashes.data());
  return match.found() ? static_cast<int>(set.rule(match.rule).line) : -1;
}

class Set {
 public:
  Set& add(std::string_view name, Cover cover, std::uint32_t line) {
    EXPECT_EQ(builder_.add(name_of(name), cover, Action::kSystem, 0, line), Added::kNew);
    return *this;
  }
  std::unique_ptr<const RuleSet> build() { return builder_.build(); }

 private:
  RuleSetBuilder builder_{kKey};
};

TEST(RuleSet, EmptySetMatchesNothing) {
  const auto set = Set().build();
  EXPECT_EQ(set->size(), 0u);
  EXPECT_EQ(line_for(*set, "."), -1);
  EXPECT_EQ(line_for(*set, "a.b.c"), -1);
}

TEST(RuleSet, SuffixCoversTheNameAndAllBelowOnLabelsOnly) {
  const auto set = Set().add("onprem.corp", Cover::kSuffix, 1).build();
  EXPECT_EQ(line_for(*set, "onprem.corp"), 1);
  EXPECT_EQ(line_for(*set, "OnPrem.CORP."), 1);
  EXPECT_EQ(line_for(*set, "a.b.onprem.corp"), 1);
  EXPECT_EQ(line_for(*set, "notonprem.corp"), -1);
  EXPECT_EQ(line_for(*set, "corp"), -1);
  EXPECT_EQ(line_for(*set, "onprem.corp.example"), -1);
  EXPECT_EQ(line_for(*set, "a\\.onprem.corp"), -1);
  EXPECT_EQ(line_for(*set, "."), -1);
}

TEST(RuleSet, BelowDoesNotCoverTheNameItself) {
  const auto set = Set().add("x.corp", Cover::kBelow, 1).add("corp", Cover::kSuffix, 2).build();
  EXPECT_EQ(line_for(*set, "x.corp"), 2);
  EXPECT_EQ(line_for(*set, "a.x.corp"), 1);
  EXPECT_EQ(line_for(*set, "a.b.x.corp"), 1);
  EXPECT_EQ(line_for(*set, "corp"), 2);
}

TEST(RuleSet, ExactCoversNothingBelow) {
  const auto set = Set().add("www.corp", Cover::kExact, 1).add("corp", Cover::kBelow, 2).build();
  EXPECT_EQ(line_for(*set, "www.corp"), 1);
  EXPECT_EQ(line_for(*set, "a.www.corp"), 2);
  EXPECT_EQ(line_for(*set, "corp"), -1);
}

TEST(RuleSet, ThreeRulesOfOneName) {
  const auto set =
      Set().add("n.t", Cover::kSuffix, 1).add("n.t", Cover::kBelow, 2).add("n.t", Cover::kExact, 3).build();
  EXPECT_EQ(line_for(*set, "n.t"), 3);
  EXPECT_EQ(line_for(*set, "a.n.t"), 2);
  EXPECT_EQ(set->nodes(), 2u);
  const auto all = set->find_all(name_of("n.t"));
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(set->rule(all[0]).line, 3u);
  EXPECT_EQ(set->rule(all[1]).line, 1u);
}

TEST(RuleSet, RootIsANameLikeAnother) {
  const auto set =
      Set().add(".", Cover::kBelow, 1).add(".", Cover::kExact, 2).add("a", Cover::kExact, 3).build();
  EXPECT_EQ(line_for(*set, "."), 2);
  EXPECT_EQ(line_for(*set, "a"), 3);
  EXPECT_EQ(line_for(*set, "b"), 1);
  EXPECT_EQ(line_for(*set, "b.a"), 1);
  EXPECT_EQ(set->name(0).size(), 1u);
}

TEST(RuleSet, LongestNameWinsOverEmptyNonTerminals) {
  const auto set = Set().add("a.b.c.d", Cover::kSuffix, 1).add("d", Cover::kSuffix, 2).build();
  EXPECT_EQ(line_for(*set, "b.c.d"), 2);
  EXPECT_EQ(line_for(*set, "x.b.c.d"), 2);
  EXPECT_EQ(line_for(*set, "x.a.b.c.d"), 1);
  EXPECT_EQ(set->nodes(), 4u);
}

TEST(RuleSet, ListsItsRulesInOrder) {
  // Names about the sizes at which a rule takes another unit.
  Set lines;
  for (std::uint32_t length = 1; length <= 63; ++length)
    lines.add(std::string(length, 'a') + "." + std::string(length, 'b'), Cover::kSuffix, length);
  lines.add(".", Cover::kSuffix, 64);
  const auto set = lines.build();
  EXPECT_EQ(set->size(), 64u);
  std::uint32_t line = 0;
  for (const RuleIndex i : set->rules()) {
    ++line;
    EXPECT_EQ(set->rule(i).line, line);
    EXPECT_EQ(set->name(i).size(), line == 64 ? 1 : 2 * line + 3);
  }
  EXPECT_EQ(line, 64u);
  const auto none = Set().build();
  for (const RuleIndex i : none->rules())
    ADD_FAILURE() << i;
}

TEST(RuleSet, ComparesEveryOctetOfANameOfAnyLength) {
  // Under this key labels of up to seven octets have one hash: only the comparison tells them apart.
  const dns::HashKey broken{0, 0};
  std::vector<std::uint64_t> hashes((dns::kMaxLabels + 1) * kBurst);
  for (std::size_t labels = 1; labels <= 40; ++labels) {
    std::string text;
    for (std::size_t i = 0; i < labels; ++i)
      text += "c.";
    RuleSetBuilder builder(broken);
    builder.add(name_of(text), Cover::kSuffix, Action::kSystem, 0, 1);
    const auto set = builder.build();
    for (std::size_t changed = 0; changed <= labels; ++changed) {
      std::string asked = text;
      if (changed < labels) asked[2 * changed] = 'd';
      const Name name = name_of("x." + asked);
      dns::hash_suffixes(broken, name, hashes.data(), kBurst);
      const Name* const pointer = &name;
      Match match;
      set->find_burst(1, &pointer, hashes.data(), 0, &match);
      EXPECT_EQ(match.found(), changed == labels) << asked;
      EXPECT_EQ(set->find(name, hashes.data(), kBurst).found(), changed == labels) << asked;
    }
  }
}

TEST(RuleSet, EarlierSetWinsATie) {
  const auto one = Set().add("a.b", Cover::kSuffix, 1).build();
  const auto two = Set().add("a.b", Cover::kSuffix, 2).add("c", Cover::kSuffix, 3).build();
  const Name names[] = {name_of("x.a.b"), name_of("x.c"), name_of("d")};
  const Name* pointers[] = {&names[0], &names[1], &names[2]};
  std::vector<std::uint64_t> hashes((dns::kMaxLabels + 1) * kBurst);
  for (unsigned i = 0; i < 3; ++i)
    dns::hash_suffixes(kKey, names[i], &hashes[i], kBurst);
  std::array<Match, kBurst> best{};
  one->find_burst(3, pointers, hashes.data(), 0, best.data());
  two->find_burst(3, pointers, hashes.data(), 1, best.data());
  EXPECT_EQ(best[0].set, 0);
  EXPECT_EQ(one->rule(best[0].rule).line, 1u);
  EXPECT_EQ(best[1].set, 1);
  EXPECT_EQ(two->rule(best[1].rule).line, 3u);
  EXPECT_FALSE(best[2].found());
}

TEST(RuleSetBuilder, TellsTheEarlierLineOfADuplicate) {
  RuleSetBuilder builder(kKey);
  EXPECT_EQ(builder.add(name_of("A.b"), Cover::kSuffix, Action::kSystem, 0, 7), Added::kNew);
  std::uint32_t other = 0;
  EXPECT_EQ(builder.add(name_of("a.B"), Cover::kSuffix, Action::kBlockDrop, 0, 9, &other), Added::kDuplicate);
  EXPECT_EQ(other, 7u);
  ASSERT_NE(builder.find(name_of("a.b"), Cover::kSuffix), nullptr);
  EXPECT_EQ(builder.find(name_of("a.b"), Cover::kSuffix)->action, Action::kSystem);
  EXPECT_EQ(builder.find(name_of("a.b"), Cover::kExact), nullptr);
  EXPECT_EQ(builder.find(name_of("b"), Cover::kSuffix), nullptr);
}

TEST(RuleSetBuilder, IsEmptyAfterBuild) {
  RuleSetBuilder builder(kKey);
  builder.add(name_of("a"), Cover::kSuffix, Action::kSystem, 0, 1);
  EXPECT_EQ(builder.build()->size(), 1u);
  EXPECT_EQ(builder.add(name_of("a"), Cover::kSuffix, Action::kSystem, 0, 2), Added::kNew);
  const auto again = builder.build();
  EXPECT_EQ(again->size(), 1u);
  EXPECT_EQ(line_for(*again, "a"), 2);
}

class Answers : public testing::Test {
 protected:
  Added add(std::string_view name, std::uint16_t type, std::vector<std::uint8_t> rdata,
            std::uint32_t ttl = 60, Cover cover = Cover::kExact) {
    return builder_.add_answer(name_of(name), cover, type, ttl, rdata, ++line_, &other_);
  }
  RuleSetBuilder builder_{kKey};
  std::uint32_t line_ = 0, other_ = 0;
};

TEST_F(Answers, LinesOfOneNameAddUp) {
  EXPECT_EQ(add("a.b", 1, {192, 0, 2, 1}), Added::kNew);
  EXPECT_EQ(add("a.b", 1, {192, 0, 2, 2}, 0x01020304), Added::kMerged);
  EXPECT_EQ(add("a.b", 16, {1, 'x'}), Added::kMerged);
  EXPECT_EQ(add("a.b", 1, {192, 0, 2, 1}, 99), Added::kDuplicate);
  EXPECT_EQ(other_, 1u);
  const auto set = builder_.build();
  ASSERT_EQ(set->size(), 1u);
  const Answer& answer = set->answer(set->rule(0).argument);
  ASSERT_EQ(answer.groups.size(), 2u);
  const AnswerGroup* a = answer.find(1);
  ASSERT_NE(a, nullptr);
  EXPECT_EQ(a->count, 2);
  const std::vector<std::uint8_t> expected{0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1,
                                           0xc0, 0x0c, 0, 1, 0, 1, 1, 2, 3, 4,  0, 4, 192, 0, 2, 2};
  EXPECT_EQ(a->wire, expected);
  EXPECT_EQ(answer.find(16)->count, 1);
  EXPECT_EQ(answer.find(28), nullptr);
}

TEST_F(Answers, EqualSingleAnswersAreStoredOnceAndStayApart) {
  add("a", 1, {0, 0, 0, 0});
  add("b", 1, {0, 0, 0, 0});
  EXPECT_EQ(add("b", 1, {0, 0, 0, 1}), Added::kMerged);
  add("c", 1, {0, 0, 0, 0});
  const auto set = builder_.build();
  std::vector<std::uint32_t> answers;
  for (const RuleIndex i : set->rules())
    answers.push_back(set->rule(i).argument);
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0], answers[2]);
  EXPECT_EQ(set->answer(answers[0]).find(1)->count, 1);
  EXPECT_EQ(set->answer(answers[1]).find(1)->count, 2);
}

TEST_F(Answers, DoNotMixWithOtherActions) {
  EXPECT_EQ(builder_.add(name_of("a"), Cover::kExact, Action::kBlockNodata, 0, 5), Added::kNew);
  EXPECT_EQ(add("a", 1, {1, 2, 3, 4}), Added::kDuplicate);
  EXPECT_EQ(other_, 5u);
  EXPECT_EQ(add("a", 1, {1, 2, 3, 4}, 60, Cover::kSuffix), Added::kNew);
  EXPECT_EQ(builder_.add(name_of("a"), Cover::kSuffix, Action::kBlockNodata, 0, 6), Added::kDuplicate);
}

TEST_F(Answers, CnameStandsAlone) {
  EXPECT_EQ(add("a", 5, {1, 'x', 0}), Added::kNew);
  EXPECT_EQ(add("a", 1, {1, 2, 3, 4}), Added::kCnameConflict);
  EXPECT_EQ(add("a", 5, {1, 'y', 0}), Added::kCnameConflict);
  EXPECT_EQ(other_, 1u);
  EXPECT_EQ(add("b", 1, {1, 2, 3, 4}), Added::kNew);
  EXPECT_EQ(add("b", 5, {1, 'x', 0}), Added::kCnameConflict);
}

TEST_F(Answers, FitAMessage) {
  EXPECT_EQ(add("a", 16, std::vector<std::uint8_t>(kMaxAnswerOctets - 11)), Added::kTooLarge);
  EXPECT_EQ(add("a", 16, std::vector<std::uint8_t>(kMaxAnswerOctets - 12)), Added::kNew);
  EXPECT_EQ(add("a", 16, {1, 'x'}), Added::kTooLarge);
  EXPECT_EQ(add("a", 1, {1, 2, 3, 4}), Added::kMerged);
}

}  // namespace
}  // namespace shunt::rules
