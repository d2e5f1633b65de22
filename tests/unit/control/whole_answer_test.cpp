// What a stream client gets when its answer had to be asked for again: nothing of the hop behind.
#include "control/whole_answer.h"

#include <gtest/gtest.h>

#include "dataplane/base/bytes.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"
#include "tests/support/dns_messages.h"

namespace shunt::control {
namespace {

using shunt::testing::append;
using shunt::testing::append16;
using shunt::testing::append32;
using shunt::testing::Bytes;
using shunt::testing::pointer;
using shunt::testing::wire_name;

Bytes option(unsigned code, const Bytes& data) {
  Bytes out;
  append16(out, code);
  append16(out, static_cast<unsigned>(data.size()));
  append(out, data);
  return out;
}
const Bytes kSubnet = option(8, {0, 1, 24, 0, 198, 51, 100}),
            kAnswerSubnet = option(8, {0, 1, 24, 16, 198, 51, 100});
const Bytes kHop = [] {
  Bytes all;
  for (const unsigned code : {3u, 10u, 11u, 12u, 15u})
    append(all, option(code, {0, 22, 3, 4, 5, 6, 7, 8}));
  return all;
}();

struct Opt {
  bool present = true;
  std::uint32_t ttl = 0;  ///< extended RCODE, version, DO
  Bytes options;
};

void append_opt(Bytes& m, const Opt& opt) {
  append(m, Bytes{0, 0, 41, 4, 208});
  append32(m, opt.ttl);
  append16(m, static_cast<unsigned>(opt.options.size()));
  append(m, opt.options);
}

Bytes message(std::string_view name, unsigned flags, unsigned answers, const Opt& opt,
              bool opt_first = false) {
  const unsigned additionals = opt_first ? 2 : 0;
  Bytes m;
  for (const unsigned field : {0x1234u, flags, 1u, answers, 0u, additionals + (opt.present ? 1 : 0)})
    append16(m, field);
  append(m, wire_name(name));
  append32(m, 0x00100001);
  const auto record = [&m] {
    append(m, pointer(12));
    append32(m, 0x00100001);
    append32(m, 60);
    append16(m, 3);
    append(m, Bytes{2, 'o', 'k'});
  };
  for (unsigned i = 0; i < answers; ++i)
    record();
  if (opt_first) record();
  if (opt.present) append_opt(m, opt);
  if (opt_first) record();
  return m;
}

dns::Reply parsed(const Bytes& m) {
  dns::Reply reply;
  dns::Name name;
  EXPECT_EQ(dns::parse_reply(m, reply, name), dns::ReplyVerdict::kGood);
  return reply;
}
Bytes options_of(const Bytes& m) {
  const dns::Edns edns = parsed(m).edns;
  return {m.begin() + edns.options_offset, m.begin() + edns.options_offset + edns.options_length};
}

constexpr unsigned kCut = dns::kQr | dns::kTc | dns::kRd | dns::kRa, kWhole = dns::kQr | dns::kRd;
constexpr std::uint32_t kDo = 0x8000;

TEST(WholeAnswer, TheQuestionAgainIsAQueryWithOurOpt) {
  const Bytes cut = message("BiG.test", kCut | dns::kCd | dns::kAd, 0, {.ttl = kDo, .options = kSubnet});
  const Bytes again = question_again(cut);
  dns::Question question;
  ASSERT_EQ(dns::parse_query(again, question), dns::QueryVerdict::kGood);
  EXPECT_EQ(question.flags, dns::kRd | dns::kCd | dns::kAd);
  EXPECT_TRUE(std::equal(&again[12], &again[question.end], &cut[12])) << "in the client's spelling";
  EXPECT_TRUE(question.edns.dnssec_ok);
  EXPECT_EQ(question.edns.udp_size, 1232);
  EXPECT_EQ(Bytes(again.begin() + question.edns.options_offset, again.end()), kSubnet);
  ASSERT_EQ(dns::parse_query(question_again(message("a.test", kCut, 0, {.present = false})), question),
            dns::QueryVerdict::kGood);
  EXPECT_FALSE(question.edns.present);
  EXPECT_TRUE(question_again(Bytes(11)).empty());
}

TEST(WholeAnswer, OptIsOursAndNothingBetweenTwoHopsGoesOn) {
  Bytes all = kHop;
  append(all, kAnswerSubnet);
  const Bytes whole = message("big.test", kWhole, 3, {.ttl = 0, .options = all});
  for (const Bytes& options : {Bytes{}, kSubnet}) {
    const Bytes out = whole_for_client(message("BiG.test", kCut, 0, {.ttl = kDo, .options = options}), whole);
    const dns::Reply reply = parsed(out);
    EXPECT_EQ(reply.header.ancount, 3);
    EXPECT_EQ(reply.header.arcount, 1);
    EXPECT_TRUE(reply.edns.dnssec_ok);
    EXPECT_EQ(reply.edns.udp_size, 1232);
    EXPECT_EQ(options_of(out), options.empty() ? Bytes{} : kAnswerSubnet);
    EXPECT_EQ(out[13], 'B') << "the client's spelling";
    EXPECT_EQ(reply.header.flags, dns::kQr | dns::kRd | dns::kRa);
  }
  EXPECT_FALSE(
      parsed(whole_for_client(message("big.test", kCut, 0, {.present = false}), whole)).edns.present);
  // And a target that has none.
  const Bytes bare = message("big.test", kWhole, 3, {.present = false});
  EXPECT_TRUE(parsed(whole_for_client(message("big.test", kCut, 0, {}), bare)).edns.present);
}

TEST(WholeAnswer, AdIsForThoseWhoAskedForIt) {
  const Bytes whole = message("big.test", kWhole | dns::kAd, 1, {});
  const auto has_ad = [&whole](unsigned flags, std::uint32_t ttl) {
    return (parsed(whole_for_client(message("big.test", kCut | flags, 0, {.ttl = ttl}), whole)).header.flags &
            dns::kAd) != 0;
  };
  EXPECT_FALSE(has_ad(0, 0));
  EXPECT_TRUE(has_ad(dns::kAd, 0));
  EXPECT_TRUE(has_ad(0, kDo));
}

TEST(WholeAnswer, ExtendedRcodesNeedAnOpt) {
  const Bytes whole = message("big.test", kWhole | 7, 0, {.ttl = 0x01000000});  // BADCOOKIE
  EXPECT_EQ(parsed(whole_for_client(message("big.test", kCut, 0, {}), whole)).rcode(), 23);
  EXPECT_EQ(parsed(whole_for_client(message("big.test", kCut, 0, {.present = false}), whole)).rcode(), 2);
}

TEST(WholeAnswer, RecordsBehindTheOptAreLeftOut) {
  const Bytes out = whole_for_client(message("big.test", kCut, 0, {}),
                                     message("big.test", kWhole, 2, {.options = kHop}, true));
  EXPECT_EQ(parsed(out).header.arcount, 2);
  EXPECT_TRUE(options_of(out).empty());
}

TEST(WholeAnswer, AnAnswerToAnotherQuestionIsNone) {
  const Bytes cut = message("big.test", kCut, 0, {});
  EXPECT_TRUE(whole_for_client(cut, message("bag.test", kWhole, 1, {})).empty());
  Bytes other = message("big.test", kWhole, 1, {});
  other[23] = 17;  // its type
  EXPECT_TRUE(whole_for_client(cut, other).empty());
  other = message("big.test", kWhole, 1, {});
  other.pop_back();
  EXPECT_TRUE(whole_for_client(cut, other).empty());
}

}  // namespace
}  // namespace shunt::control
