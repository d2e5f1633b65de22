// What is asked: names, types, orders, shares.
#include "bench/perf/names.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <set>

#include "bench/perf/asks.h"
#include "dataplane/dns/name.h"

namespace shunt::perf {
namespace {

std::string name_of(const Question& question) {
  return dns::to_text({question.octets(), question.length - std::size_t{4}});
}
std::uint16_t type_of(const Question& question) {
  return load_be16(question.octets() + question.length - 4);
}

NameOptions pattern(std::uint32_t count, const std::string& type = "A") {
  NameOptions options;
  options.count = count;
  options.type = type;
  return options;
}

std::map<std::uint64_t, unsigned> count_asked(Asks& asks, unsigned draws) {
  std::map<std::uint64_t, unsigned> counts;
  for (unsigned i = 0; i < draws; ++i)
    ++counts[asks.next().number()];
  return counts;
}

TEST(Types, ByNameAndNumber) {
  EXPECT_EQ(parse_type("A"), 1);
  EXPECT_EQ(parse_type("aaaa"), 28);
  EXPECT_EQ(parse_type("TYPE64"), 64);
  for (const char* bad : {"", "AA", "TYPE", "TYPE-1", "TYPE65536", "TYPE1x", "B"})
    EXPECT_EQ(parse_type(bad), 0) << bad;
}

TEST(QuestionSet, ByPattern) {
  const auto set = make_questions(pattern(3, "MX"), 1);
  ASSERT_TRUE(set);
  ASSERT_EQ(set->count(), 3U);
  for (unsigned i = 0; i < 3; ++i) {
    EXPECT_EQ(name_of((*set)[i]), "n" + std::to_string(i) + ".example.com.");
    EXPECT_EQ(type_of((*set)[i]), 15);
  }
}

TEST(QuestionSet, TypesByWeight) {
  const auto set = make_questions(pattern(10000, "A:3,AAAA:1"), 1);
  ASSERT_TRUE(set);
  std::map<std::uint16_t, unsigned> types;
  for (unsigned i = 0; i < 10000; ++i)
    ++types[type_of((*set)[i])];
  EXPECT_EQ(types.size(), 2U);
  EXPECT_NEAR(types[1], 7500, 200);
  EXPECT_NEAR(types[28], 2500, 200);
}

TEST(QuestionSet, Mistakes) {
  for (const char* bad : {"", "B", "A:0", "A:x", "A:", "A:1.5", "A,,B", "A:-1"})
    EXPECT_FALSE(make_questions(pattern(1, bad), 1)) << bad;
  NameOptions same = pattern(2);
  same.pattern = "same.example";
  EXPECT_FALSE(make_questions(same, 1));
  same.pattern = "a..b%d";
  EXPECT_FALSE(make_questions(same, 1));
  same.file = "/nonexistent/names";
  EXPECT_FALSE(make_questions(same, 1));
}

TEST(QuestionSet, FromAFile) {
  const std::string path = testing::TempDir() + "shuntperf-names-" + std::to_string(::getpid());
  std::ofstream(path) << "# comment\nOne.example\n\ntwo.example AAAA\nthree.example TYPE99\n";
  NameOptions options = pattern(1, "NS");
  options.file = path;
  const auto set = make_questions(options, 1);
  ASSERT_TRUE(set);
  ASSERT_EQ(set->count(), 3U);
  EXPECT_EQ(name_of((*set)[0]), "one.example.");
  EXPECT_EQ(type_of((*set)[0]), 2);
  EXPECT_EQ(type_of((*set)[1]), 28);
  EXPECT_EQ(type_of((*set)[2]), 99);
  std::ofstream(path) << "one.example NONSENSE\n";
  const auto bad = make_questions(options, 1);
  ASSERT_FALSE(bad);
  EXPECT_NE(bad.error().find(path + ":1:"), std::string::npos) << bad.error();
  std::ofstream(path) << "# nothing\n";
  EXPECT_FALSE(make_questions(options, 1));
  std::remove(path.c_str());
}

TEST(QuestionSet, MixedCase) {
  NameOptions options = pattern(1000);
  options.mixed_case = true;
  const auto set = make_questions(options, 1);
  unsigned upper = 0, letters = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    for (const char c : name_of((*set)[i])) {
      letters += std::isalpha(c) != 0;
      upper += std::isupper(c) != 0;
    }
  }
  EXPECT_NEAR(static_cast<double>(upper) / letters, 0.5, 0.05);
}

TEST(QuestionSet, OptRecord) {
  NameOptions options = pattern(1);
  options.edns = 1232;
  options.dnssec = true;
  const auto set = make_questions(options, 1);
  const Question& question = (*set)[0];
  ASSERT_EQ(question.whole_length, question.length + 11);
  const std::vector<std::uint8_t> opt(question.octets() + question.length,
                                      question.octets() + question.whole_length);
  EXPECT_EQ(opt, (std::vector<std::uint8_t>{0, 0, 41, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0}));
}

TEST(Order, Sequential) {
  const Questions questions = *Questions::make(pattern(100), 1, 1);
  Asks asks(pattern(100), questions, 1);
  for (unsigned i = 0; i < 250; ++i)
    EXPECT_EQ(asks.next().number(), i % 100);
}

TEST(Order, Uniform) {
  NameOptions options = pattern(100);
  options.order = Order::kUniform;
  const Questions questions = *Questions::make(options, 1, 1);
  Asks asks(options, questions, 1);
  const auto counts = count_asked(asks, 100'000);
  ASSERT_EQ(counts.size(), 100U);
  for (const auto& [number, count] : counts)
    EXPECT_NEAR(count, 1000, 200) << number;
}

TEST(Order, Zipf) {
  NameOptions options = pattern(1000);
  options.order = Order::kZipf;
  options.zipf = 1;
  const Questions questions = *Questions::make(options, 1, 1);
  Asks asks(options, questions, 1);
  auto counts = count_asked(asks, 1'000'000);
  // Of 1,000 names with exponent 1, the first gets 1/H(1000) = 13.4 %, the tenth a tenth of that.
  EXPECT_NEAR(counts[0], 133'600, 3000);
  EXPECT_NEAR(counts[9], 13'360, 1000);
  EXPECT_GT(counts[0], counts[1]);
  EXPECT_GT(counts[1], counts[4]);
}

TEST(Order, SameSeedSameQueries) {
  NameOptions options = pattern(1000);
  options.order = Order::kUniform;
  options.edns = 1232;
  options.edns_share = 0.5;
  const Questions questions = *Questions::make(options, 1, 1);
  Asks a(options, questions, 5), b(options, questions, 5), c(options, questions, 6);
  unsigned differ = 0;
  for (unsigned i = 0; i < 1000; ++i) {
    const std::uint64_t first = a.next().bits;
    EXPECT_EQ(first, b.next().bits);
    differ += first != c.next().bits;
  }
  EXPECT_GT(differ, 900U);
}

TEST(Shares, NothingAndAll) {
  NameOptions options = pattern(10);
  options.edns = 1232;
  options.miss_share = 1;
  const Questions questions = *Questions::make(options, 1, 1);
  Asks asks(options, questions, 1);
  for (unsigned i = 0; i < 1000; ++i) {
    const Ask ask = asks.next();
    EXPECT_TRUE(ask.fresh());
    EXPECT_TRUE(ask.edns());
  }
  Asks none(pattern(10), questions, 1);
  for (unsigned i = 0; i < 1000; ++i)
    EXPECT_EQ(none.next().bits, i % 10);
}

std::string fresh_text(const FreshNames& fresh, std::uint64_t number) {
  const Question& question = fresh[number];
  std::string octets(question.octets(), question.octets() + question.length);
  alignas(16) std::array<char, FreshNames::kDigits> digits;
  _mm_store_si128(reinterpret_cast<__m128i*>(digits.data()), fresh.digits(number));
  octets.replace(fresh.digits_offset(), digits.size(), digits.data(), digits.size());
  return dns::to_text({reinterpret_cast<const std::uint8_t*>(octets.data()), octets.size() - 4});
}

TEST(FreshNames, NeverTheSame) {
  NameOptions options = pattern(1);
  const auto fresh = FreshNames::make(options, 1, 1);
  ASSERT_TRUE(fresh) << fresh.error();
  std::set<std::string> seen;
  for (unsigned i = 0; i < 100'000; ++i)
    seen.insert(fresh_text(*fresh, i));
  EXPECT_EQ(seen.size(), 100'000U);
  for (const std::string& name : seen) {
    ASSERT_EQ(name.size(), sizeof "x0123456789abcdef.miss.example.com." - 1) << name;
    ASSERT_EQ(name.substr(17), ".miss.example.com.") << name;
    ASSERT_EQ(name.find_first_not_of("0123456789abcdef", 1), 17U) << name;
  }
}

TEST(FreshNames, AnotherKeyOtherNames) {
  const auto one = FreshNames::make(pattern(1), 1, 1), other = FreshNames::make(pattern(1), 1, 2);
  std::set<std::string> seen;
  for (unsigned i = 0; i < 1000; ++i) {
    seen.insert(fresh_text(*one, i));
    seen.insert(fresh_text(*other, i));
  }
  // Keys that differ in a bit pair the numbers up; they hold other names in other runs only by chance.
  EXPECT_GE(seen.size(), 1000U);
}

TEST(FreshNames, TypesAndCaseAreMixed) {
  NameOptions options = pattern(1, "A:3,AAAA:1");
  options.mixed_case = true;
  options.miss_pattern = "a\\046%d-b.Miss.Example";
  const auto fresh = FreshNames::make(options, 1, 1);
  ASSERT_TRUE(fresh) << fresh.error();
  std::map<std::uint16_t, unsigned> types;
  std::set<std::string> tails;
  for (unsigned i = 0; i < 256; ++i) {
    ++types[type_of((*fresh)[i])];
    tails.insert(fresh_text(*fresh, i).substr(sizeof "a\\.0123456789abcdef" - 1));
  }
  EXPECT_EQ(types[1], 192U);
  EXPECT_EQ(types[28], 64U);
  EXPECT_GT(tails.size(), 100U);
}

TEST(FreshNames, Mistakes) {
  NameOptions options = pattern(1);
  for (const char* bad :
       {"fixed.example", "a..%d", "%dlong-long-long-long-long-long-long-long-long-label.example"}) {
    options.miss_pattern = bad;
    EXPECT_FALSE(FreshNames::make(options, 1, 1)) << bad;
  }
}

}  // namespace
}  // namespace shunt::perf
