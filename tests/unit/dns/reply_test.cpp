// Reading an upstream's answer: it may be as hostile as a client's query.
#include "dataplane/dns/reply.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "tests/support/dns_messages.h"

namespace shunt::dns {
namespace {

using namespace shunt::testing;

constexpr unsigned kAnswerFlags = kQr | kRd | kRa;

struct Parsed {
  ReplyVerdict verdict;
  std::shared_ptr<Reply> reply;
  std::shared_ptr<Name> name;
  const Reply* operator->() const { return reply.get(); }
};

/// Who knows the question already reads the same.
void expect_same_behind_question(std::span<const std::uint8_t> message, const Reply& whole) {
  Reply r;
  EXPECT_EQ(parse_reply(message, whole.question_end, r), ReplyVerdict::kGood);
  EXPECT_EQ(r.header.flags, whole.header.flags);
  EXPECT_EQ(r.type, whole.type);
  EXPECT_EQ(r.klass, whole.klass);
  EXPECT_EQ(r.question_end, whole.question_end);
  EXPECT_EQ(r.body_end, whole.body_end);
  EXPECT_EQ(r.opt_begin, whole.opt_begin);
  EXPECT_EQ(r.ttl_count, whole.ttl_count);
  EXPECT_EQ(r.min_ttl, whole.min_ttl);
  EXPECT_EQ(r.has_answer_of_type, whole.has_answer_of_type);
}

/// Into a record that another answer left its traces in.
Parsed parse(const Bytes& message) {
  static const Bytes kBefore = MessageBuilder(0xffff, kAnswerFlags | kAa)
                                   .question(wire_name("left.over.from.before"), 255)
                                   .answer(pointer(12), 1, 7, {1, 2, 3, 4})
                                   .authority(pointer(12), 6, 7, soa_rdata(7))
                                   .opt({.extended_rcode = 3, .options = option(8, 7)})
                                   .additional(pointer(12), 1, 7, {1, 2, 3, 4})
                                   .build();
  Parsed p{ReplyVerdict::kGood, std::make_shared<Reply>(), std::make_shared<Name>()};
  EXPECT_EQ(parse_reply(kBefore, *p.reply, *p.name), ReplyVerdict::kGood);
  const ExactBuffer exact(message);
  p.verdict = parse_reply(exact.span(), *p.reply, *p.name);
  if (p.verdict == ReplyVerdict::kGood) expect_same_behind_question(exact.span(), *p.reply);
  return p;
}

MessageBuilder www(unsigned type = 1, unsigned flags = kAnswerFlags) {
  return MessageBuilder(0x1234, flags).question(wire_name("wWw.example.com"), type);
}
constexpr unsigned kQuestionEnd = 33;  // of www()

/// One address and an OPT, as most answers are.
MessageBuilder ordinary() {
  return www().answer(pointer(12), 1, 300, {192, 0, 2, 1}).opt();
}

TEST(ParseReply, OrdinaryAnswer) {
  const Bytes message = ordinary().build();
  const Parsed p = parse(message);
  EXPECT_EQ(p.verdict, ReplyVerdict::kGood);
  EXPECT_EQ(p->header.id, 0x1234);
  EXPECT_EQ(p->header.flags, kAnswerFlags);
  EXPECT_EQ(p->header.ancount, 1);
  EXPECT_EQ(p->type, 1);
  EXPECT_EQ(p->klass, 1);
  EXPECT_EQ(p->question_end, kQuestionEnd);
  EXPECT_EQ(p->body_end, message.size() - kOptSize);
  EXPECT_EQ(p->opt_begin, p->body_end);
  EXPECT_EQ(p->opt_end, message.size());
  ASSERT_EQ(p->ttl_count, 1);
  EXPECT_EQ(load_be32(&message[p->ttl_offset[0]]), 300u);
  EXPECT_EQ(p->min_ttl, 300u);
  EXPECT_FALSE(p->has_soa);
  EXPECT_TRUE(p->has_answer_of_type);
  EXPECT_TRUE(p->edns.present);
  EXPECT_FALSE(p->edns.foreign_options);
  EXPECT_EQ(p->rcode(), 0);
  EXPECT_EQ(to_text(p.name->octets()), "www.example.com.");
}

TEST(ParseReply, WithoutEdnsTheBodyIsAll) {
  const Bytes message = www().answer(pointer(12), 1, 300, {192, 0, 2, 1}).build();
  const Parsed p = parse(message);
  EXPECT_EQ(p.verdict, ReplyVerdict::kGood);
  EXPECT_EQ(p->body_end, message.size());
  EXPECT_EQ(p->opt_begin, 0);
  EXPECT_EQ(p->opt_end, 0);
  EXPECT_FALSE(p->edns.present);
}

TEST(ParseReply, NoRecordsAtAll) {
  const Parsed p = parse(www().build());
  EXPECT_EQ(p.verdict, ReplyVerdict::kGood);
  EXPECT_EQ(p->body_end, kQuestionEnd);
  EXPECT_EQ(p->ttl_count, 0);
  EXPECT_EQ(p->min_ttl, 0u);
  EXPECT_EQ(p->negative_ttl, 0u);
  EXPECT_FALSE(p->has_answer_of_type);
}

TEST(ParseReply, OptBeforeOtherRecords) {
  MessageBuilder b = www().answer(pointer(12), 1, 300, {192, 0, 2, 1});
  const unsigned opt_at = b.here();
  const Bytes message = b.opt().additional(wire_name("ns"), 1, 100, {192, 0, 2, 2}).build();
  const Parsed p = parse(message);
  EXPECT_EQ(p.verdict, ReplyVerdict::kGood);
  EXPECT_EQ(p->opt_begin, opt_at);
  EXPECT_EQ(p->opt_end, opt_at + kOptSize);
  EXPECT_EQ(p->body_end, message.size());
  EXPECT_EQ(p->ttl_count, 2);
  EXPECT_EQ(p->min_ttl, 100u);
}

TEST(ParseReply, TtlsOfAllSectionsButOpt) {
  const Bytes message = www()
                            .answer(pointer(12), 5, 50, pointer(16))
                            .answer(pointer(16), 1, 40, {192, 0, 2, 1})
                            .authority(pointer(16), 2, 30, pointer(12))
                            .additional(pointer(12), 28, 20, Bytes(16))
                            .opt({.extended_rcode = 0, .dnssec_ok = false})
                            .build();
  const Parsed p = parse(message);
  EXPECT_EQ(p.verdict, ReplyVerdict::kGood);
  ASSERT_EQ(p->ttl_count, 4);
  for (std::uint32_t i = 0; i < 4; ++i)
    EXPECT_EQ(load_be32(&message[p->ttl_offset[i]]), 50 - 10 * i);
  EXPECT_EQ(p->min_ttl, 20u);
}

TEST(ParseReply, TtlsWithTheTopBitSetCountAsZero) {
  EXPECT_EQ(parse(www().answer(pointer(12), 1, 0x80000000, {1, 2, 3, 4}).build())->min_ttl, 0u);
  EXPECT_EQ(parse(www().answer(pointer(12), 1, 0x7fffffff, {1, 2, 3, 4}).build())->min_ttl, 0x7fffffffu);
}

TEST(ParseReply, MoreTtlsThanAreListed) {
  MessageBuilder b = www();
  for (unsigned i = 0; i < kMaxTtls; ++i)
    b.answer(pointer(12), 1, 1000 + i, {192, 0, 2, 1});
  EXPECT_EQ(cacheable_seconds(*parse(b.build()).reply, 5), 1000u);
  const Parsed p = parse(b.answer(pointer(12), 1, 9, {192, 0, 2, 1}).build());
  EXPECT_EQ(p.verdict, ReplyVerdict::kGood);
  EXPECT_EQ(p->ttl_count, kMaxTtls + 1);
  EXPECT_EQ(p->min_ttl, 9u);
  EXPECT_EQ(cacheable_seconds(*p.reply, 5), 0u) << "not every TTL could be aged";
}

TEST(ParseReply, NoWholeHeader) {
  const Bytes whole = ordinary().build();
  for (std::ptrdiff_t length = 0; length < 12; ++length) {
    EXPECT_EQ(parse(Bytes(whole.begin(), whole.begin() + length)).verdict, ReplyVerdict::kShort);
  }
}

TEST(ParseReply, QueriesAreNoAnswers) {
  EXPECT_EQ(parse(www(1, kRd).build()).verdict, ReplyVerdict::kNotResponse);
}

TEST(ParseReply, EveryCutIsMalformed) {
  const Bytes whole = www()
                          .answer(pointer(12), 1, 300, {192, 0, 2, 1})
                          .authority(wire_name("example.com"), 6, 60, soa_rdata(60))
                          .opt({.options = option(15, 2)})
                          .build();
  EXPECT_EQ(parse(whole).verdict, ReplyVerdict::kGood);
  for (std::size_t length = 12; length < whole.size(); ++length) {
    EXPECT_EQ(parse(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length))).verdict,
              ReplyVerdict::kMalformed)
        << length;
  }
}

TEST(CutToQuestion, LeavesATruncatedAnswerWhereTheQuestionIsWhole) {
  const Bytes whole = ordinary().build();
  constexpr std::size_t end = kQuestionEnd;
  for (std::size_t length = 0; length <= whole.size(); ++length) {
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
    cut.shrink_to_fit();
    const Bytes before = cut;
    ASSERT_EQ(cut_to_question(cut), length < end ? 0 : end) << length;
    if (length < end) {
      EXPECT_EQ(cut, before);
      continue;
    }
    cut.resize(end);
    const Parsed parsed = parse(cut);
    EXPECT_EQ(parsed.verdict, ReplyVerdict::kGood);
    EXPECT_TRUE(parsed->truncated());
    EXPECT_EQ(parsed->header.ancount, 0);
  }
}

TEST(CutToQuestion, NeedsOneQuestion) {
  Bytes none = MessageBuilder(1, kAnswerFlags).build(), two = www().question(wire_name("b")).build();
  EXPECT_EQ(cut_to_question(none), 0u);
  EXPECT_EQ(cut_to_question(two), 0u);
}

TEST(ParseReply, TrailingOctets) {
  EXPECT_EQ(parse(ordinary().raw({0}).build()).verdict, ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(www().raw({0}).build()).verdict, ReplyVerdict::kMalformed);
  MessageBuilder uncounted = ordinary();
  uncounted.header().arcount = 0;
  EXPECT_EQ(parse(uncounted.build()).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, QdcountZeroOrTwo) {
  EXPECT_EQ(parse(MessageBuilder(1, kAnswerFlags).build()).verdict, ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(MessageBuilder(1, kAnswerFlags).answer(wire_name("a"), 1, 5, Bytes(4)).build()).verdict,
            ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(www().question(wire_name("b")).build()).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, OpcodeOtherThanQuery) {
  EXPECT_EQ(parse(www(1, kAnswerFlags | 4 << 11).build()).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, CompressedQuestion) {
  EXPECT_EQ(parse(MessageBuilder(1, kAnswerFlags).question(pointer(12)).build()).verdict,
            ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(MessageBuilder(1, kAnswerFlags).question(pointer(4)).build()).verdict,
            ReplyVerdict::kMalformed);
}

TEST(ParseReply, OwnersWithBadPointersAndLabels) {
  const auto with_owner = [](const Bytes& owner) {
    return parse(www().answer(owner, 1, 300, {192, 0, 2, 1}).build()).verdict;
  };
  EXPECT_EQ(with_owner(pointer(12)), ReplyVerdict::kGood);
  EXPECT_EQ(with_owner(pointer(kQuestionEnd)), ReplyVerdict::kMalformed) << "to itself";
  EXPECT_EQ(with_owner(pointer(kQuestionEnd + 4)), ReplyVerdict::kMalformed) << "forwards";
  EXPECT_EQ(with_owner(pointer(0x3fff)), ReplyVerdict::kMalformed);
  EXPECT_EQ(with_owner(pointer(0)), ReplyVerdict::kMalformed) << "into the header";
  EXPECT_EQ(with_owner({0x40, 0}), ReplyVerdict::kMalformed);
  EXPECT_EQ(with_owner({0x80, 0}), ReplyVerdict::kMalformed);
  EXPECT_EQ(with_owner(repeated_labels(127, 1)), ReplyVerdict::kGood);
  EXPECT_EQ(with_owner(repeated_labels(128, 1)), ReplyVerdict::kMalformed);
}

TEST(ParseReply, RdlengthThatRunsPastTheMessage) {
  Bytes message = www().answer(pointer(12), 1, 300, {192, 0, 2, 1}).build();
  message[message.size() - 5] = 5;
  EXPECT_EQ(parse(message).verdict, ReplyVerdict::kMalformed);
  message[message.size() - 6] = 0xff;
  EXPECT_EQ(parse(message).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, TwoOpts) {
  EXPECT_EQ(parse(ordinary().opt().build()).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, OptOutsideTheAdditionalSection) {
  EXPECT_EQ(parse(www().answer(wire_name("."), 41, 0, {}).build()).verdict, ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(www().authority(wire_name("."), 41, 0, {}).build()).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, MalformedOpts) {
  EXPECT_EQ(parse(www().additional(pointer(28), 41, 0, {}).build()).verdict, ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(www().additional(wire_name("x"), 41, 0, {}).build()).verdict, ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(www().opt({.options = {0, 10, 0}}).build()).verdict, ReplyVerdict::kMalformed);
  EXPECT_EQ(parse(www().opt({.options = {0, 10, 0, 1}}).build()).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, CountsThatLie) {
  for (unsigned more : {2u, 3u, 0xffffu}) {
    MessageBuilder b = ordinary();
    b.header().ancount = static_cast<std::uint16_t>(more);
    EXPECT_EQ(parse(b.build()).verdict, ReplyVerdict::kMalformed) << more;
  }
  MessageBuilder b = ordinary();
  b.header().ancount = b.header().nscount = b.header().arcount = 0xffff;
  EXPECT_EQ(parse(b.build()).verdict, ReplyVerdict::kMalformed);
}

TEST(ParseReply, ExtendedRcode) {
  const Parsed p = parse(www(1, kAnswerFlags | 7).opt({.extended_rcode = 1}).build());
  EXPECT_EQ(p->rcode(), 23) << "BADCOOKIE";
}

TEST(ParseReply, TruncatedAnswersMayBreakOffAnywhere) {
  const Bytes whole = www(1, kAnswerFlags | kTc).answer(pointer(12), 1, 300, {192, 0, 2, 1}).opt().build();
  for (std::size_t length = kQuestionEnd; length <= whole.size(); ++length) {
    const Parsed p = parse(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    ASSERT_EQ(p.verdict, ReplyVerdict::kGood) << length;
    EXPECT_TRUE(p->truncated());
    EXPECT_EQ(p->question_end, kQuestionEnd);
    EXPECT_EQ(p->body_end, kQuestionEnd);
    EXPECT_EQ(p->ttl_count, 0);
    EXPECT_FALSE(p->edns.present);
    EXPECT_EQ(cacheable_seconds(*p.reply, 5), 0u);
  }
  EXPECT_EQ(parse(Bytes(whole.begin(), whole.begin() + 32)).verdict, ReplyVerdict::kMalformed)
      << "in its question";
}

// --- what may be cached

/// Of an answer built from `b`.
std::uint32_t cacheable(const MessageBuilder& b) {
  const Parsed p = parse(b.build());
  EXPECT_EQ(p.verdict, ReplyVerdict::kGood);
  return cacheable_seconds(*p.reply, 5);
}

TEST(Cacheable, PositiveAnswersForTheirSmallestTtl) {
  EXPECT_EQ(cacheable(www().answer(pointer(12), 1, 300, Bytes(4)).answer(pointer(12), 1, 200, Bytes(4))),
            200u);
  EXPECT_EQ(cacheable(www().answer(pointer(12), 1, 300, Bytes(4)).additional(wire_name("x"), 1, 7, Bytes(4))),
            7u);
  EXPECT_EQ(cacheable(www().answer(pointer(12), 1, 0, Bytes(4))), 0u);
}

TEST(Cacheable, NodataForTheLesserOfTheSoasTtlAndMinimum) {
  EXPECT_EQ(cacheable(www().authority(wire_name("com"), 6, 900, soa_rdata(60))), 60u);
  EXPECT_EQ(cacheable(www().authority(wire_name("com"), 6, 30, soa_rdata(60))), 30u);
  EXPECT_EQ(cacheable(www().authority(wire_name("com"), 6, 0x80000001, soa_rdata(60))), 0u);
}

TEST(Cacheable, NodataBehindACname) {
  MessageBuilder b =
      www().answer(pointer(12), 5, 20, wire_name("x")).authority(wire_name("com"), 6, 900, soa_rdata(60));
  EXPECT_EQ(cacheable(b), 20u);
}

TEST(Cacheable, NegativeAnswersWithoutSoaNever) {
  EXPECT_EQ(cacheable(www()), 0u);
  EXPECT_EQ(cacheable(www(1, kAnswerFlags | 3)), 0u);
  EXPECT_EQ(cacheable(www().answer(pointer(12), 5, 20, wire_name("x"))), 0u) << "a chain that ends nowhere";
  EXPECT_EQ(cacheable(www().authority(wire_name("com"), 2, 900, wire_name("ns"))), 0u) << "a referral";
  EXPECT_EQ(cacheable(www().additional(wire_name("com"), 6, 900, soa_rdata(60))), 0u) << "not in its section";
}

TEST(Cacheable, NxdomainWithSoa) {
  EXPECT_EQ(cacheable(www(1, kAnswerFlags | 3).authority(wire_name("com"), 6, 900, soa_rdata(60))), 60u);
  EXPECT_EQ(cacheable(www(1, kAnswerFlags | 3)
                          .answer(pointer(12), 1, 300, Bytes(4))
                          .authority(wire_name("com"), 6, 900, soa_rdata(60))),
            60u);
}

TEST(Cacheable, SeveralSoasTheLeastCounts) {
  EXPECT_EQ(cacheable(www()
                          .authority(wire_name("com"), 6, 900, soa_rdata(60))
                          .authority(wire_name("a"), 6, 9, soa_rdata(70))),
            9u);
}

TEST(Cacheable, ServfailForTheFailureTime) {
  EXPECT_EQ(cacheable(www(1, kAnswerFlags | 2)), 5u);
  EXPECT_EQ(cacheable(www(1, kAnswerFlags | 2).authority(wire_name("com"), 2, 3, wire_name("ns"))), 3u)
      << "never longer than a TTL within";
}

TEST(Cacheable, OtherRcodesNever) {
  for (unsigned rcode : {1u, 4u, 5u, 6u, 9u, 15u}) {
    EXPECT_EQ(cacheable(www(1, kAnswerFlags | rcode).answer(pointer(12), 1, 300, Bytes(4))), 0u) << rcode;
  }
  EXPECT_EQ(cacheable(www().answer(pointer(12), 1, 300, Bytes(4)).opt({.extended_rcode = 1})), 0u)
      << "BADVERS";
}

TEST(Cacheable, TheAskedTypeAndClassMustBeThere) {
  EXPECT_EQ(cacheable(www().answer(pointer(12), 28, 300, Bytes(16))), 0u);
  EXPECT_EQ(cacheable(www().answer(pointer(12), 1, 300, Bytes(4), 3)), 0u);
  EXPECT_EQ(cacheable(www(255).answer(pointer(12), 28, 300, Bytes(16))), 300u) << "any type will do for ANY";
  EXPECT_EQ(cacheable(www(255).answer(pointer(12), 28, 300, Bytes(16), 3)), 0u);
}

TEST(ParseReply, SoaInTheAuthoritySectionMustBeWhole) {
  const auto with_rdata = [](const Bytes& rdata) {
    return parse(www().authority(wire_name("com"), 6, 900, rdata).build()).verdict;
  };
  Bytes compressed = pointer(12);
  append(compressed, pointer(16));
  append(compressed, Bytes(20));
  EXPECT_EQ(with_rdata(compressed), ReplyVerdict::kGood);
  Bytes shorter = soa_rdata(60), longer = soa_rdata(60);
  shorter.pop_back();
  longer.push_back(0);
  EXPECT_EQ(with_rdata(shorter), ReplyVerdict::kMalformed);
  EXPECT_EQ(with_rdata(longer), ReplyVerdict::kMalformed);
  EXPECT_EQ(with_rdata({}), ReplyVerdict::kMalformed);
  EXPECT_EQ(with_rdata(Bytes(4)), ReplyVerdict::kMalformed);
  EXPECT_EQ(with_rdata({63, 'a'}), ReplyVerdict::kMalformed) << "a name that runs past the RDATA";
}

TEST(ParseReply, BehindAKnownQuestionTheRestIsCheckedAllTheSame) {
  const auto verdict = [](const Bytes& message) {
    const ExactBuffer exact(message);
    Reply r;
    return parse_reply(exact.span(), kQuestionEnd, r);
  };
  const Bytes good = ordinary().build();
  EXPECT_EQ(verdict(good), ReplyVerdict::kGood);
  for (std::size_t length = kQuestionEnd; length < good.size(); ++length) {
    EXPECT_EQ(verdict(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length))),
              ReplyVerdict::kMalformed)
        << length;
  }
  EXPECT_EQ(verdict(www(1, kAnswerFlags & ~unsigned{kQr}).build()), ReplyVerdict::kNotResponse);
  Bytes two_questions = good;
  two_questions[kQdcountOffset + 1] = 2;
  EXPECT_EQ(verdict(two_questions), ReplyVerdict::kMalformed);
}

}  // namespace
}  // namespace shunt::dns
