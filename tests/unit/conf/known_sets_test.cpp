// Which rule sets are built anew, and which are taken from a configuration that was loaded before; and lines
// by the million take the same way as all others.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>

#include "conf/load.h"
#include "conf/rule_lines.h"
#include "conf/rule_names.h"
#include "tests/unit/conf/config_text.h"
#include "tests/unit/conf/rule_lines_fixture.h"

namespace shunt::conf {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// One set with a file and one with a list, loaded; and then again, after some change.
class KnownSets : public testing::Test {
 protected:
  KnownSets()
      : folder_(std::filesystem::temp_directory_path() / ("shunt-known-" + std::to_string(getpid()))) {
    std::filesystem::create_directory(folder_);
    write("onprem.example forward corp-dns\n");
    first_ = load(text());
    EXPECT_TRUE(first_.config) << to_text(first_.errors);
    EXPECT_EQ(first_.sets_built, 2u);
  }
  ~KnownSets() override { std::filesystem::remove_all(folder_); }

  void write(std::string_view rules) { std::ofstream(folder_ / "corp.rules") << rules; }
  static std::string text() {
    return below("\n[[rules]]\nname = \"listed\"\nfile = \"corp.rules\"\nlist = [\"a.example system\"]\n");
  }
  Loaded load(std::string_view text, LoadOptions options = {}) {
    return load_text(text, (folder_ / "shunt.toml").string(), options);
  }
  /// Loads `text` where the first load's sets are known. `stamp`: of the file when it was read.
  Loaded again(std::string_view text, std::optional<FileStamp> stamp) {
    std::vector<Diagnostic> errors;
    auto listed = std::make_shared<BuiltRuleSet>(build_rule_set(
        *first_.config, first_.config->rule_sets[1], {},
        [](std::string_view) { return std::optional<std::uint32_t>(0); }, errors));
    listed->file_stamp = stamp;
    listed_ = listed;
    LoadOptions options;
    options.known = {{&first_.config->rule_sets[0], first_.rule_sets[0]},
                     {&first_.config->rule_sets[1], listed_}};
    return load(text, options);
  }
  std::optional<FileStamp> stamp() const { return stamp_of((folder_ / "corp.rules").string()); }

  std::filesystem::path folder_;
  Loaded first_;
  std::shared_ptr<const BuiltRuleSet> listed_;
};

TEST_F(KnownSets, AreTakenWhereNothingHasChanged) {
  const Loaded second = again(text(), stamp());
  ASSERT_TRUE(second.config) << to_text(second.errors);
  EXPECT_EQ(second.sets_built, 0u);
  EXPECT_THAT(second.rule_sets, ElementsAre(first_.rule_sets[0], listed_));
}

TEST_F(KnownSets, AFileThatWasJustWrittenMayChangeWithoutATrace) {
  EXPECT_FALSE(first_.rule_sets[1]->file_stamp) << "it is new";
  EXPECT_TRUE(first_.rule_sets[0]->file_stamp == std::nullopt) << "it has no file";
  const Loaded second = again(text(), first_.rule_sets[1]->file_stamp);
  EXPECT_EQ(second.sets_built, 1u);
}

TEST_F(KnownSets, AnOldFileIsRememberedAsItWasRead) {
  FileStamp old = stamp().value();
  EXPECT_FALSE(is_settled(old));
  old.modified_ns -= 10'000'000'000;
  EXPECT_FALSE(is_settled(old)) << "its times can be set back, but not that of the change";
  old.changed_ns -= 10'000'000'000;
  EXPECT_TRUE(is_settled(old));
}

TEST_F(KnownSets, AChangedFileIsBuiltAnew) {
  const auto before = stamp();
  write("onprem.example forward internet\n");  // as many octets
  const Loaded second = again(text(), before);
  EXPECT_EQ(second.sets_built, 1u);
  EXPECT_EQ(second.rule_sets[0], first_.rule_sets[0]);
  EXPECT_NE(second.rule_sets[1], listed_);
}

TEST_F(KnownSets, AnotherListOrActionIsBuiltAnew) {
  EXPECT_EQ(again(change("a.example system", "a.example block drop", text()), stamp()).sets_built, 1u);
  EXPECT_EQ(
      again(change("name = \"listed\"\n", "name = \"listed\"\nlist_action = \"system\"\n", text()), stamp())
          .sets_built,
      1u);
  EXPECT_EQ(again(change("name = \"listed\"", "name = \"other\"", text()), stamp()).sets_built, 1u);
}

TEST_F(KnownSets, RulesFollowWhereTheirSetIsMoved) {
  const Loaded second = again("# one line more\n" + text(), stamp());
  ASSERT_TRUE(second.config);
  EXPECT_EQ(second.sets_built, 0u);
  EXPECT_EQ(second.rule_sets[1]->describe_line(*second.config, second.config->rule_sets[1], 0),
            second.config->path + ":" + std::to_string(second.config->rule_sets[1].list_positions[0].line));
}

TEST_F(KnownSets, AnUpstreamThatIsGoneIsAMistakeAgain) {
  const std::string gone = change("name = \"corp-dns\"\noutbound", "name = \"renamed\"\noutbound", text());
  const Loaded second = again(gone, stamp());
  EXPECT_FALSE(second.config);
  ASSERT_THAT(second.errors, SizeIs(2)) << to_text(second.errors);
  EXPECT_THAT(second.errors[0].message, HasSubstr("no upstream \"corp-dns\""));
  EXPECT_THAT(second.rule_sets, IsEmpty());
}

TEST_F(KnownSets, AllThatAreHeldCountAgainstRulesMemory) {
  std::string rules;
  for (int i = 0; i < 30'000; ++i)
    rules += "n" + std::to_string(i) + ".corp system\n";
  write(rules);
  const std::string limited = "[dataplane]\nrules_memory = \"4MiB\"\n" + text();
  const Loaded alone = load(limited);
  ASSERT_TRUE(alone.config) << to_text(alone.errors);
  EXPECT_THAT(to_text(alone.warnings, "warning"),
              HasSubstr("rules_memory = 4 MiB does not hold those of the three generations"));
  LoadOptions options;
  options.known = {{&first_.config->rule_sets[1], alone.rule_sets[1]},
                   {&first_.config->rule_sets[1], load(text()).rule_sets[1]},
                   {&first_.config->rule_sets[1], alone.rule_sets[1]}};
  const Loaded beside = load(limited, options);
  ASSERT_THAT(beside.errors, SizeIs(1)) << to_text(beside.errors);
  EXPECT_THAT(beside.errors[0].message, HasSubstr("rules_memory = 4 MiB holds"));
  EXPECT_THAT(beside.errors[0].message, HasSubstr("MiB of other rules already"));
}

TEST(PlainNames, AreReadAsAllOthers) {
  std::mt19937_64 random(7);
  static constexpr std::string_view kCharacters = "aZ09-_..=*\\\"#/ \t:~\x80";
  dns::Name plain;
  RuleName whole;
  rules::Cover cover;
  unsigned taken = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text;
    for (auto n = random() % 12; n > 0; --n)
      text += kCharacters[random() % (random() % 3 == 0 ? kCharacters.size() : 8)];
    const std::size_t size = read_plain_name(text, plain, cover);
    if (size == 0) continue;
    ++taken;
    ASSERT_TRUE(size == text.size() || text[size] == ' ' || text[size] == '\t') << text;
    ASSERT_EQ(parse_rule_name(text.substr(0, size), whole), "") << text;
    ASSERT_EQ(whole.cover, cover) << text;
    ASSERT_EQ(whole.names.size(), 1u) << text;
    const dns::Name& name = whole.names[0];
    ASSERT_EQ(dns::to_text(name.octets()), dns::to_text(plain.octets())) << text;
    ASSERT_EQ(name.labels, plain.labels) << text;
    for (unsigned k = 0; k <= name.labels; ++k)
      ASSERT_EQ(name.offset[k], plain.offset[k]) << text;
  }
  EXPECT_GT(taken, 10'000u);
}

TEST(PlainNames, LongOnesAreLeftToTheOthers) {
  dns::Name name;
  rules::Cover cover;
  const std::string label(63, 'a');
  EXPECT_EQ(read_plain_name(label + "." + label, name, cover), 127u);
  EXPECT_EQ(name.labels, 2u);
  EXPECT_EQ(read_plain_name(label + "a.b", name, cover), 0u);
  EXPECT_EQ(read_plain_name(label + "." + label + ".b", name, cover), 0u) << "longer than kMaxPlainName";
  for (const char* text : {"", ".", "=", "*.", "192.0.2.1", "a..b", ".a", "a#", "a/8", "=*.a", "a.1"})
    EXPECT_EQ(read_plain_name(text, name, cover), 0u) << text;
  EXPECT_EQ(read_plain_name("a. x", name, cover), 2u);
}

TEST_F(RuleLines, MistakesOfQueuedLinesAreToldInTheirOrder) {
  std::string text;
  for (int i = 0; i < 100; ++i)
    text += "n" + std::to_string(i) + ".corp forward cloud\n";
  text +=
      "x.corp sistem\nN7.corp. forward cloud\n=n8.corp forward cloud\nn99.corp forward cloud\ny.corp block\n";
  file(text);
  build();
  ASSERT_THAT(errors_, SizeIs(4)) << to_text(errors_);
  const std::vector<std::uint32_t> lines = {101, 102, 104, 105};
  for (std::size_t i = 0; i < lines.size(); ++i)
    EXPECT_EQ(errors_[i].position.line, lines[i]);
  EXPECT_EQ(errors_[1].source_line, "N7.corp. forward cloud");
  EXPECT_EQ(errors_[1].position.column, 1u);
  EXPECT_THAT(errors_[1].message, HasSubstr("\"n7.corp\" has a rule already, at " + file_ + ":8"));
  EXPECT_EQ(built_.set->size(), 101u);
  EXPECT_THAT(built_.upstreams, ElementsAre("cloud"));
}

TEST_F(RuleLines, QueuedLinesOfAListMayRepeatThemselves) {
  source_.list_action = "block nxdomain";
  file("a.corp\na.corp \nb.corp\na.corp block nxdomain\na.corp system\n*.a.corp\n*.a.corp\n");
  build();
  ASSERT_THAT(errors_, SizeIs(2)) << to_text(errors_);
  EXPECT_EQ(errors_[0].position.line, 4u) << "a whole line says that it is meant";
  EXPECT_EQ(errors_[1].position.line, 5u);
  EXPECT_THAT(texts(),
              ElementsAre("a.corp block nxdomain", "b.corp block nxdomain", "*.a.corp block nxdomain"));
}

}  // namespace
}  // namespace shunt::conf
