// The rows of "DNS on the wire" that the parser of queries decides. Messages lie in buffers of their exact
// size.
#include "dataplane/dns/query.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "tests/support/dns_messages.h"

namespace shunt::dns {
namespace {

using namespace shunt::testing;

struct Parsed {
  QueryVerdict verdict;
  std::shared_ptr<Question> question;
  const Question* operator->() const { return question.get(); }
};

/// Into a record that another packet left its traces in.
Parsed parse(const Bytes& message) {
  static const Bytes kBefore = MessageBuilder(0xffff, kRd | kCd)
                                   .question(wire_name("left.over.from.before"), 99)
                                   .opt({.udp_size = 4000, .dnssec_ok = true, .options = option(8, 7)})
                                   .build();
  auto question = std::make_shared<Question>();
  EXPECT_EQ(parse_query(kBefore, *question), QueryVerdict::kGood);
  const ExactBuffer exact(message);
  return {parse_query(exact.span(), *question), question};
}

MessageBuilder www() {
  return MessageBuilder().question(wire_name("www.example.com"));
}

void expect_no_question(const Parsed& p) {
  EXPECT_EQ(p->end, kHeaderSize);
  EXPECT_EQ(p->type, 0);
  EXPECT_EQ(p->klass, 0);
  EXPECT_EQ(p->name.labels, 0);
  EXPECT_EQ(p->name.length, 1);
  EXPECT_FALSE(p->edns.present);
}

void expect_www(const Parsed& p) {
  EXPECT_EQ(p->end, kHeaderSize + 17 + 4);
  EXPECT_EQ(to_text(p->name.octets()), "www.example.com.");
  EXPECT_EQ(p->klass, 1);
}

TEST(ParseQuery, PlainQuery) {
  const Parsed p =
      parse(MessageBuilder(0xabcd, kRd | kCd).question(wire_name("wWw.eXample.Com"), 28).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kGood);
  expect_www(p);
  EXPECT_EQ(p->id, 0xabcd);
  EXPECT_EQ(p->flags, kRd | kCd);
  EXPECT_TRUE(p->recursion_desired());
  EXPECT_TRUE(p->checking_disabled());
  EXPECT_EQ(p->type, 28);
  EXPECT_FALSE(p->edns.present);
  EXPECT_FALSE(p->edns.foreign_options);
  EXPECT_FALSE(p->edns.dnssec_ok);
}

TEST(ParseQuery, QueryWithEdns) {
  const Parsed p = parse(www().opt({.udp_size = 4096, .dnssec_ok = true}).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kGood);
  expect_www(p);
  EXPECT_TRUE(p->edns.present);
  EXPECT_TRUE(p->edns.dnssec_ok);
  EXPECT_FALSE(p->edns.foreign_options);
  EXPECT_EQ(p->edns.udp_size, 4096);
  EXPECT_EQ(p->edns.record_offset, p->end);
  EXPECT_EQ(p->edns.options_offset, p->end + kOptSize);
  EXPECT_EQ(p->edns.options_length, 0);
}

TEST(ParseQuery, RootAndShortNames) {
  for (const char* text : {".", "a", "com", "a.bc"}) {
    const Parsed p = parse(MessageBuilder().question(wire_name(text), 2).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kGood) << text;
    EXPECT_EQ(to_text(p->name.octets()), text == std::string_view(".") ? "." : std::string(text) + ".");
    EXPECT_EQ(p->type, 2);
  }
}

TEST(ParseQuery, FlagsOfTheClientDoNotMatter) {
  for (unsigned flags :
       {0u, unsigned{kAd}, unsigned{kZ}, unsigned{kAa}, unsigned{kTc}, unsigned{kRa}, 0x000fu}) {
    const Parsed p = parse(MessageBuilder(1, flags).question(wire_name("www.example.com")).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kGood) << flags;
    EXPECT_EQ(p->flags, flags);
    EXPECT_FALSE(p->recursion_desired());
  }
}

// --- no whole header: dropped

TEST(ParseQuery, NoWholeHeader) {
  const Bytes whole = www().build();
  for (std::size_t length = 0; length < kHeaderSize; ++length) {
    const Parsed p = parse(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    EXPECT_EQ(p.verdict, QueryVerdict::kShort) << length;
    expect_no_question(p);
  }
}

// --- QR set in a query: dropped

TEST(ParseQuery, QrSet) {
  EXPECT_EQ(parse(MessageBuilder(1, kQr).question(wire_name("a.b")).build()).verdict,
            QueryVerdict::kResponse);
  EXPECT_EQ(parse(MessageBuilder(1, kQr).build()).verdict, QueryVerdict::kResponse) << "whatever follows";
  EXPECT_EQ(parse(MessageBuilder(1, kQr | 0x2800).build()).verdict, QueryVerdict::kResponse)
      << "whatever the opcode";
  EXPECT_EQ(parse(MessageBuilder(1, 0xffff).raw(Bytes(100, 0xff)).build()).verdict, QueryVerdict::kResponse);
}

// --- opcode other than QUERY: NOTIMP

TEST(ParseQuery, OpcodeOtherThanQuery) {
  for (unsigned opcode = 1; opcode < 16; ++opcode) {
    const unsigned flags = opcode << 11 | kRd;
    for (const Bytes& message :
         {MessageBuilder(7, flags).question(wire_name("www.example.com")).build(),
          MessageBuilder(7, flags).build(), MessageBuilder(7, flags).raw({1, 2, 3}).build()}) {
      const Parsed p = parse(message);
      EXPECT_EQ(p.verdict, QueryVerdict::kNotImp) << opcode;
      EXPECT_EQ(p->id, 7);
      EXPECT_EQ(p->flags, flags);
      expect_no_question(p);
    }
  }
}

// --- QDCOUNT other than 1: FORMERR

TEST(ParseQuery, QdcountZero) {
  Parsed p = parse(MessageBuilder().build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  EXPECT_EQ(p->id, 0x1234);
  EXPECT_EQ(p->flags, kRd);
  expect_no_question(p);
  p = parse(MessageBuilder().opt().build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr) << "not even with an OPT";
  expect_no_question(p);
  MessageBuilder lying = www();
  lying.header().qdcount = 0;
  p = parse(lying.build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  expect_no_question(p);
}

TEST(ParseQuery, QdcountTwo) {
  const Parsed p = parse(www().question(wire_name("b.example")).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  expect_no_question(p);
  MessageBuilder lying = www();
  for (unsigned count : {2u, 0x100u, 0x101u, 0xffffu}) {
    lying.header().qdcount = static_cast<std::uint16_t>(count);
    EXPECT_EQ(parse(lying.build()).verdict, QueryVerdict::kFormErr) << count;
  }
}

TEST(ParseQuery, QdcountOneAndNothingBehindTheHeader) {
  MessageBuilder b;
  b.header().qdcount = 1;
  const Parsed p = parse(b.build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  expect_no_question(p);
}

// --- cut, over-long and compressed names

TEST(ParseQuery, EveryCutOfAQuery) {
  const Bytes whole = www().opt({.options = option(10, 8)}).build();
  for (std::size_t length = kHeaderSize; length < whole.size(); ++length) {
    const Parsed p = parse(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    EXPECT_EQ(p.verdict, QueryVerdict::kFormErr) << length;
    EXPECT_EQ(p->end, length < kHeaderSize + 21 ? kHeaderSize : kHeaderSize + 21) << length;
    EXPECT_FALSE(p->edns.present) << length;
  }
}

TEST(ParseQuery, NameOf255Octets) {
  Bytes name = repeated_labels(3, 63);
  name.pop_back();
  append(name, label(std::string(61, 'Z')));
  name.push_back(0);
  const Parsed p = parse(MessageBuilder().question(name).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kGood);
  EXPECT_EQ(p->name.length, 255);
  EXPECT_EQ(p->end, kHeaderSize + 255 + 4);
}

TEST(ParseQuery, NameOf256Octets) {
  Bytes name = repeated_labels(3, 63);
  name.pop_back();
  append(name, label(std::string(62, 'z')));
  name.push_back(0);
  const Parsed p = parse(MessageBuilder().question(name).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  expect_no_question(p);
}

TEST(ParseQuery, Name127Labels) {
  const Parsed p = parse(MessageBuilder().question(repeated_labels(127, 1)).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kGood);
  EXPECT_EQ(p->name.labels, 127);
  EXPECT_EQ(parse(MessageBuilder().question(repeated_labels(128, 1)).build()).verdict,
            QueryVerdict::kFormErr);
}

TEST(ParseQuery, LabelOf63Octets) {
  EXPECT_EQ(parse(MessageBuilder().question(repeated_labels(2, 63)).build()).verdict, QueryVerdict::kGood);
}

TEST(ParseQuery, LabelType0x40) {
  EXPECT_EQ(parse(MessageBuilder().question({0x41, 'a', 0}).build()).verdict, QueryVerdict::kFormErr);
  EXPECT_EQ(parse(MessageBuilder().question({1, 'a', 0x40, 0}).build()).verdict, QueryVerdict::kFormErr);
  Bytes name{0x40};  // a label of 64 octets, were it one
  name.resize(65, 'a');
  name.push_back(0);
  EXPECT_EQ(parse(MessageBuilder().question(name).build()).verdict, QueryVerdict::kFormErr);
}

TEST(ParseQuery, LabelType0x80) {
  EXPECT_EQ(parse(MessageBuilder().question({0x80, 0}).build()).verdict, QueryVerdict::kFormErr);
  EXPECT_EQ(parse(MessageBuilder().question({1, 'a', 0xbf, 0}).build()).verdict, QueryVerdict::kFormErr);
}

TEST(ParseQuery, CompressedQuestion) {
  for (unsigned target : {0u, 4u, 12u, 13u, 0x3fffu}) {
    const Parsed p = parse(MessageBuilder().question(pointer(target)).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kFormErr) << target;
    expect_no_question(p);
    Bytes name = label("www");
    append(name, pointer(target));
    EXPECT_EQ(parse(MessageBuilder().question(name).build()).verdict, QueryVerdict::kFormErr) << target;
  }
}

TEST(ParseQuery, NulAndDotInsideLabels) {
  Bytes name = label(std::string("w\0w", 3));
  append(name, label("a.b"));
  name.push_back(0);
  const Parsed p = parse(MessageBuilder().question(name).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kGood);
  EXPECT_EQ(p->name.labels, 2);
  EXPECT_EQ(to_text(p->name.octets()), "w\\000w.a\\.b.");
}

TEST(ParseQuery, MixedCaseIsReadInLowerCaseAndLeftInTheMessage) {
  const Bytes message = MessageBuilder().question(wire_name("wWw.ExAmPlE.cOm")).build();
  const ExactBuffer exact(message);
  Question q;
  EXPECT_EQ(parse_query(exact.span(), q), QueryVerdict::kGood);
  EXPECT_EQ(to_text(q.name.octets()), "www.example.com.");
  EXPECT_TRUE(std::equal(message.begin(), message.end(), exact.span().begin()));
}

// --- records where none belong, trailing octets

TEST(ParseQuery, AnswerRecordInAQuery) {
  const Parsed p = parse(www().answer(pointer(12), 1, 60, {1, 2, 3, 4}).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  expect_www(p);
}

TEST(ParseQuery, AuthorityRecordInAQuery) {
  const Parsed p = parse(www().authority(pointer(12), 6, 60, soa_rdata(60)).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  expect_www(p);
}

TEST(ParseQuery, RecordOtherThanOptInTheAdditionalSection) {
  EXPECT_EQ(parse(www().additional(wire_name("."), 1, 60, {1, 2, 3, 4}).build()).verdict,
            QueryVerdict::kFormErr);
  EXPECT_EQ(parse(www().additional(wire_name("key"), 250, 0, Bytes(20)).build()).verdict,
            QueryVerdict::kFormErr)
      << "TSIG";
}

TEST(ParseQuery, CountsThatPromiseMoreThanThereIs) {
  const auto with = [](auto set) {
    MessageBuilder b = www();
    set(b.header());
    return parse(b.build()).verdict;
  };
  EXPECT_EQ(with([](Header& h) { h.ancount = 1; }), QueryVerdict::kFormErr);
  EXPECT_EQ(with([](Header& h) { h.nscount = 1; }), QueryVerdict::kFormErr);
  EXPECT_EQ(with([](Header& h) { h.arcount = 1; }), QueryVerdict::kFormErr);
  EXPECT_EQ(with([](Header& h) { h.arcount = 0xffff; }), QueryVerdict::kFormErr);
  EXPECT_EQ(with([](Header& h) { h.ancount = 0x100; }), QueryVerdict::kFormErr);
}

TEST(ParseQuery, TrailingOctets) {
  for (std::size_t count : {1u, 2u, 11u, 500u}) {
    Parsed p = parse(www().raw(Bytes(count, 0)).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kFormErr) << count;
    expect_www(p);
    EXPECT_FALSE(p->edns.present);
    p = parse(www().opt().raw(Bytes(count, 0)).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kFormErr) << count << " behind the OPT";
    EXPECT_TRUE(p->edns.present) << "so that the answer has one";
  }
  MessageBuilder uncounted = www().opt();
  uncounted.header().arcount = 0;
  EXPECT_EQ(parse(uncounted.build()).verdict, QueryVerdict::kFormErr) << "an OPT that isn't counted";
}

TEST(ParseQuery, LargerThanAnyMessage) {
  EXPECT_EQ(parse(www().opt({.options = option(12, 65000)}).build()).verdict, QueryVerdict::kGood);
  EXPECT_EQ(parse(www().raw(Bytes(65536)).build()).verdict, QueryVerdict::kFormErr);
}

// --- EDNS

TEST(ParseQuery, TwoOpts) {
  const Parsed p = parse(www().opt().opt().build());
  EXPECT_EQ(p.verdict, QueryVerdict::kFormErr);
  expect_www(p);
  EXPECT_FALSE(p->edns.present);
}

TEST(ParseQuery, SecondOptHiddenBehindTheFirst) {
  MessageBuilder b = www().opt().opt();
  b.header().arcount = 1;
  EXPECT_EQ(parse(b.build()).verdict, QueryVerdict::kFormErr);
}

TEST(ParseQuery, EdnsVersionAbove0) {
  for (unsigned version : {1u, 2u, 255u}) {
    const Parsed p = parse(www().opt({.version = static_cast<std::uint8_t>(version)}).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kBadVers) << version;
    expect_www(p);
    EXPECT_TRUE(p->edns.present);
    EXPECT_EQ(p->edns.version, version);
  }
}

TEST(ParseQuery, EdnsVersionAbove0InAMalformedQuery) {
  EXPECT_EQ(parse(www().opt({.version = 1}).raw({0}).build()).verdict, QueryVerdict::kFormErr);
}

TEST(ParseQuery, OptWhoseOwnerIsNotTheRoot) {
  EXPECT_EQ(parse(www().additional(wire_name("x"), 41, 0, {}).build()).verdict, QueryVerdict::kFormErr);
  EXPECT_EQ(parse(www().additional(pointer(12), 41, 0, {}).build()).verdict, QueryVerdict::kFormErr);
  // 28 is the root behind "com": the root all the same, but no server sends it so.
  EXPECT_EQ(parse(www().additional(pointer(28), 41, 0, {}).build()).verdict, QueryVerdict::kFormErr);
}

TEST(ParseQuery, OptWhoseOptionsRunPastIt) {
  EXPECT_EQ(parse(www().opt({.options = {0, 10, 0, 9, 1, 2, 3, 4, 5, 6, 7, 8}}).build()).verdict,
            QueryVerdict::kFormErr);
  EXPECT_EQ(parse(www().opt({.options = {0, 10, 0xff, 0xff}}).build()).verdict, QueryVerdict::kFormErr);
  for (std::size_t cut : {1u, 2u, 3u}) {
    const Parsed p = parse(www().opt({.options = Bytes(cut, 0)}).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kFormErr) << "an option header of " << cut << " octets";
    EXPECT_FALSE(p->edns.present);
  }
}

TEST(ParseQuery, OptOfEveryKnownHopOptionIsShareable) {
  Bytes options = option(3);
  append(options, option(10, 8));
  append(options, option(11));
  append(options, option(12, 100));
  append(options, option(15, 2));
  const Parsed p = parse(www().opt({.options = options}).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kGood);
  EXPECT_FALSE(p->edns.foreign_options);
  EXPECT_EQ(p->edns.options_length, options.size());
}

TEST(ParseQuery, OptionsWeDoNotKnowAreForeign) {
  for (unsigned code : {0u, 1u, 2u, 4u, 5u, 8u, 9u, 13u, 14u, 16u, 18u, 26946u, 65001u, 65535u}) {
    Bytes options = option(10, 8);
    append(options, option(code, 4));
    append(options, option(12, 3));
    const Parsed p = parse(www().opt({.options = options}).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kGood) << code;
    EXPECT_TRUE(p->edns.foreign_options) << code;
  }
}

TEST(ParseQuery, NothingOfAnEarlierPacketStays) {
  const Parsed p = parse(MessageBuilder(0, 0).question(wire_name(".")).build());
  EXPECT_EQ(p.verdict, QueryVerdict::kGood);
  EXPECT_EQ(p->edns.udp_size, 0);
  EXPECT_FALSE(p->edns.present || p->edns.foreign_options || p->edns.dnssec_ok);
  EXPECT_EQ(p->name.labels, 0);
  EXPECT_EQ(p->name.offset[0], 0);
}

// --- types and classes

TEST(ParseQuery, ZoneTransfersAreRefused) {
  EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), 252).build()).verdict, QueryVerdict::kRefused);
  EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), 251).build()).verdict, QueryVerdict::kRefused);
}

TEST(ParseQuery, AnyIsAnOrdinaryType) {
  EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), 255).build()).verdict, QueryVerdict::kGood);
}

TEST(ParseQuery, ChaosAndOtherClassesAreRefused) {
  for (unsigned klass : {0u, 2u, 3u, 4u, 254u, 255u, 256u, 0x0101u, 65535u}) {
    const Parsed p = parse(MessageBuilder().question(wire_name("version.bind"), 16, klass).build());
    EXPECT_EQ(p.verdict, QueryVerdict::kRefused) << klass;
    EXPECT_EQ(p->klass, klass);
    EXPECT_GT(p->end, kHeaderSize);
  }
}

TEST(ParseQuery, TypesOfOtherProtocols) {
  for (unsigned type : {249u, 250u, 253u, 254u}) {
    EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), type).build()).verdict, QueryVerdict::kNotImp)
        << type;
  }
}

TEST(ParseQuery, RefusedAndNotImpOnlyWhereTheRestIsWellFormed) {
  EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), 252).raw({0}).build()).verdict,
            QueryVerdict::kFormErr);
  EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), 249).raw({0}).build()).verdict,
            QueryVerdict::kFormErr);
  EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), 1, 3).opt().opt().build()).verdict,
            QueryVerdict::kFormErr);
  EXPECT_EQ(parse(MessageBuilder().question(wire_name("a.b"), 252).opt({.version = 1}).build()).verdict,
            QueryVerdict::kBadVers);
}

}  // namespace
}  // namespace shunt::dns
