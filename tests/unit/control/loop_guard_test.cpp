// Targets that lead back here: what is asked of them, and what they aren't asked for any more.
#include "control/loop_guard.h"

#include <gtest/gtest.h>

#include <set>

#include "dataplane/dns/query.h"

namespace shunt::control {
namespace {

using std::chrono::milliseconds;

class LoopGuardTest : public ::testing::Test {
 protected:
  LoopGuardTest()
      : random_(Random::Seed{1, 2, 3}),
        guard_(random_,
               {[this](std::uint32_t, std::uint64_t tag) { tag_ = tag; },
                [this](std::uint32_t target, const std::vector<std::uint8_t>& question) {
                  EXPECT_EQ(target, 7u);
                  dns::Question read;
                  EXPECT_EQ(dns::parse_query(question, read), dns::QueryVerdict::kGood);
                  EXPECT_EQ(read.type, state::LoopProbe::kType);
                  state::LoopProbe probe;
                  EXPECT_TRUE(probe.read_label(read.name.wire.data()));
                  EXPECT_EQ(probe.target, 7u);
                  EXPECT_EQ(probe.tag, tag_);
                  EXPECT_TRUE(tags_.insert(probe.tag).second) << "never the same twice";
                  asked_.push_back(dns::to_text(read.name.octets().subspan(1 + state::LoopProbe::kLabel)));
                  return can_ask_;
                },
                [this](std::uint32_t, std::uint64_t tag) { return back_ && tag == *tags_.find(tag_); },
                [this](std::uint32_t, const std::vector<dns::Name>& names, const std::string& news) {
                  avoided_.clear();
                  for (const dns::Name& name : names)
                    avoided_.push_back(dns::to_text(name.octets()));
                  if (!news.empty()) news_.push_back(news);
                }}) {
    guard_.set_targets({{7, {milliseconds(1000)}}});
  }

  void suspect(const std::string& name) {
    now_ += milliseconds(600);
    guard_.suspect(7, dns::parse_name(name)->octets(), now_);
  }
  /// The last question ends: all below one of `loops` come back.
  void end() {
    const std::string name = asked_.back();
    back_ = false;
    for (const std::string& loop : loops_)
      back_ |= loop == "." || name == loop || name.ends_with("." + loop);
    guard_.ended(7, now_);
    back_ = false;
  }
  /// Until nothing is asked any more.
  void end_all() {
    for (std::size_t seen = asked_.size() - 1; seen < asked_.size(); ++seen)
      end();
  }
  using Names = std::vector<std::string>;

  Random random_;
  std::uint64_t tag_ = 0;
  std::set<std::uint64_t> tags_;
  bool back_ = false, can_ask_ = true;
  Names asked_, avoided_, news_, loops_;
  LoopGuard guard_;
  LoopGuard::Time now_{};
};

TEST_F(LoopGuardTest, ANameThatDoesNotComeBackIsForgotten) {
  suspect("www.corp");
  EXPECT_EQ(asked_, Names{"www.corp."});
  EXPECT_NE(tag_, 0u);
  end();
  EXPECT_EQ(tag_, 0u) << "nobody is to look out for it any more";
  EXPECT_TRUE(news_.empty());
  EXPECT_TRUE(guard_.names(7).empty());
}

TEST_F(LoopGuardTest, TheHighestNameThatComesBackIsAvoidedAndToldOnce) {
  loops_ = {"loop.corp."};
  suspect("a.b.loop.corp");
  end_all();
  EXPECT_EQ(asked_, (Names{"a.b.loop.corp.", "b.loop.corp.", "loop.corp.", "corp."}));
  EXPECT_EQ(avoided_, Names{"loop.corp."});
  EXPECT_EQ(news_, Names{"leads back here: it isn't asked for loop.corp. and below"});
  EXPECT_TRUE(guard_.leads_back(7, *dns::parse_name("x.LOOP.corp")));
  EXPECT_TRUE(guard_.leads_back(7, *dns::parse_name("loop.corp")));
  EXPECT_FALSE(guard_.leads_back(7, *dns::parse_name("corp")));
  EXPECT_FALSE(guard_.leads_back(7, *dns::parse_name("noloop.corp")));
}

TEST_F(LoopGuardTest, ATargetThatLeadsBackForEverythingIsAvoidedForTheRoot) {
  loops_ = {"."};
  suspect("www.corp");
  end_all();
  EXPECT_EQ(avoided_, Names{"."});
  EXPECT_TRUE(guard_.leads_back(7, *dns::parse_name("anything.at.all")));
}

TEST_F(LoopGuardTest, ATickSeesWhatCameBackBeforeTheAnswer) {
  suspect("www.corp");
  guard_.tick(now_);
  EXPECT_TRUE(avoided_.empty());
  back_ = true;
  guard_.tick(now_);
  EXPECT_EQ(avoided_, Names{"www.corp."});
}

TEST_F(LoopGuardTest, AProbeWithoutAnEndIsOverSomeTime) {
  suspect("www.corp");
  suspect("other.corp");
  EXPECT_EQ(asked_.size(), 1u) << "one at a time";
  now_ += milliseconds(5000);
  guard_.tick(now_);
  suspect("other.corp");
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(LoopGuardTest, SuspicionsAreNotLookedIntoAllTheTime) {
  for (int i = 0; i < 100; ++i) {
    guard_.suspect(7, dns::parse_name("www.corp")->octets(), now_ + milliseconds(i));
    if (i == 0) end();
  }
  EXPECT_EQ(asked_.size(), 1u);
}

TEST_F(LoopGuardTest, WhatWasFoundIsTriedAgainAndDroppedAfterTwoTriesThatDidNotComeBack) {
  loops_ = {"corp."};
  suspect("corp");
  end_all();
  ASSERT_EQ(avoided_, Names{"corp."});
  const auto probe_again = [&] {
    const std::size_t before = asked_.size();
    guard_.tick(now_ += milliseconds(900));
    EXPECT_EQ(asked_.size(), before);
    guard_.tick(now_ += milliseconds(200));
    ASSERT_EQ(asked_.size(), before + 1);
    end();
  };
  for (int i = 0; i < 3; ++i)
    probe_again();
  EXPECT_EQ(avoided_, Names{"corp."});
  loops_.clear();
  probe_again();
  loops_ = {"corp."};
  probe_again();
  loops_.clear();
  probe_again();
  EXPECT_EQ(avoided_, Names{"corp."}) << "one that got lost proves nothing";
  probe_again();
  EXPECT_TRUE(avoided_.empty());
  EXPECT_EQ(news_.back(), "leads back here no more for corp.");
}

TEST_F(LoopGuardTest, SeveralNamesUpToALimit) {
  for (unsigned i = 0; i < state::TargetLoops::kMax + 2; ++i)
    loops_.push_back("n" + std::to_string(i) + ".corp.");
  for (const std::string& name : loops_) {
    suspect(name);
    end_all();
  }
  EXPECT_EQ(avoided_.size(), state::TargetLoops::kMax);
  const std::size_t before = asked_.size();
  suspect("n0.corp");
  EXPECT_EQ(asked_.size(), before) << "it is known";
}

TEST_F(LoopGuardTest, NamesWithoutRoomForALabelAreNotProbed) {
  std::string longest;
  for (int i = 0; i < 59; ++i)
    longest += "abc.";
  suspect(longest);
  EXPECT_TRUE(asked_.empty());
  const std::array<std::uint8_t, 3> garbage{5, 'a', 'b'};
  guard_.suspect(7, garbage, now_ + milliseconds(9000));
  EXPECT_TRUE(asked_.empty());
}

TEST_F(LoopGuardTest, AProbeThatCanNotBeSentLeavesNothingBehind) {
  can_ask_ = false;
  suspect("www.corp");
  EXPECT_EQ(tag_, 0u);
  can_ask_ = true;
  suspect("www.corp");
  EXPECT_EQ(asked_.size(), 2u);
}

TEST_F(LoopGuardTest, TargetsThatGoTakeTheirLoopsAlong) {
  loops_ = {"corp."};
  suspect("corp");
  end_all();
  guard_.set_targets({{7, {milliseconds(100)}}});
  EXPECT_EQ(guard_.names(7), Names{"corp."}) << "a reload that leaves it as it is";
  guard_.set_targets({});
  guard_.set_targets({{7, {}}});
  EXPECT_TRUE(guard_.names(7).empty());
  guard_.suspect(8, dns::parse_name("corp")->octets(), now_);  // nobody's
  guard_.ended(8, now_);
}

TEST(LoopProbe, LabelsAreReadAsTheyWereWritten) {
  const state::LoopProbe probe{0xabc, 0xfedcba9876543210};
  std::array<std::uint8_t, 1 + state::LoopProbe::kLabel> label;
  probe.write_label(label.data());
  state::LoopProbe read;
  ASSERT_TRUE(read.read_label(label.data()));
  EXPECT_EQ(read.target, probe.target);
  EXPECT_EQ(read.tag, probe.tag);
  label[9] = 'g';
  EXPECT_FALSE(read.read_label(label.data()));
  label[9] = 'A';
  EXPECT_FALSE(read.read_label(label.data())) << "names are lower-cased before";
  label[9] = 'a';
  label[0] = 19;
  EXPECT_FALSE(read.read_label(label.data()));
}

TEST(TargetLoops, CoverTheNameAndWhatIsBelow) {
  const dns::HashKey key;
  state::TargetLoops loops;
  const auto set = [&](unsigned entry, const char* text) {
    const auto name = dns::parse_name(text);
    loops.entries[entry].hash = dns::hash_name(key, name->wire.data(), name->length);
    loops.entries[entry].labels = name->labels;
  };
  const auto covered = [&](const char* text, unsigned count) {
    const auto name = dns::parse_name(text);
    return loops.cover(key, name->wire.data(), name->length, count);
  };
  set(0, "loop.corp");
  set(1, "a.very.long.name.of.many.labels.example");
  EXPECT_TRUE(covered("loop.corp", 1));
  EXPECT_TRUE(covered("a.b.loop.corp", 1));
  EXPECT_FALSE(covered("corp", 1));
  EXPECT_FALSE(covered("xloop.corp", 1));
  EXPECT_FALSE(covered("loop.corp.", 0));
  EXPECT_FALSE(covered("x.a.very.long.name.of.many.labels.example", 1));
  EXPECT_TRUE(covered("x.a.very.long.name.of.many.labels.example", 2));
  set(0, ".");
  EXPECT_TRUE(covered(".", 1));
  EXPECT_TRUE(covered("corp", 1));
}

}  // namespace
}  // namespace shunt::control
