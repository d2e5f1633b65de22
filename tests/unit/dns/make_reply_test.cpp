// Answers of our own, made in the query's place.
#include <gtest/gtest.h>

#include <string>

#include "dataplane/base/limits.h"
#include "dataplane/dns/reply.h"
#include "tests/support/dns_messages.h"

namespace shunt::dns {
namespace {

using namespace shunt::testing;

constexpr std::size_t kRoom = kMaxMessage;

/// The answer to `query`, in a buffer of exactly `room` octets.
Bytes reply_to(const Bytes& query, const ReplyFields& fields, std::size_t room = kRoom) {
  Question q;
  parse_query(query, q);
  Bytes padded = query;
  padded.resize(std::max(room, query.size()), 0xee);
  ExactBuffer buffer(padded);
  const std::size_t length = make_reply(buffer.data(), padded.size(), q, fields);
  EXPECT_LE(length, padded.size());
  return {buffer.data(), buffer.data() + length};
}

struct Read {
  Bytes wire;
  Reply reply;
  Name name;
};
Read read(const Bytes& wire) {
  Read r{wire, {}, {}};
  EXPECT_EQ(parse_reply(wire, r.reply, r.name), ReplyVerdict::kGood);
  return r;
}

MessageBuilder www(unsigned flags = kRd) {
  return MessageBuilder(0x1234, flags).question(wire_name("wWw.eXample.com"), 1);
}
constexpr std::size_t kQuestionEnd = 33;

/// `count` A records of the question's name.
Bytes addresses(std::size_t count) {
  Bytes out;
  for (std::size_t i = 0; i < count; ++i) {
    append(out, pointer(12));
    append16(out, 1);
    append16(out, 1);
    append32(out, 60);
    append16(out, 4);
    append(out, Bytes{192, 0, 2, static_cast<std::uint8_t>(i)});
  }
  return out;
}

TEST(MakeReply, KeepsIdQuestionAndItsCase) {
  const Bytes query = www().build();
  const Read r = read(reply_to(query, {.rcode = Rcode::kNxDomain}));
  EXPECT_EQ(r.wire.size(), query.size());
  EXPECT_TRUE(std::equal(query.begin() + 12, query.end(), r.wire.begin() + 12))
      << "octet by octet, case and all";
  EXPECT_EQ(r.reply.header.id, 0x1234);
  EXPECT_EQ(r.reply.header.flags, kQr | kRd | kRa | 3);
  EXPECT_EQ(r.reply.header.qdcount, 1);
  EXPECT_EQ(r.reply.header.ancount + r.reply.header.nscount + r.reply.header.arcount, 0);
}

TEST(MakeReply, OnlyRdAndCdSurvive) {
  const Read r =
      read(reply_to(www(kRd | kCd | kAd | kZ | kAa | kTc | 0xf).build(), {.rcode = Rcode::kRefused}));
  EXPECT_EQ(r.reply.header.flags, kQr | kRd | kRa | kCd | 5);
  EXPECT_EQ(read(reply_to(www(0).build(), {})).reply.header.flags, kQr | kRa);
  EXPECT_EQ(read(reply_to(www(0).build(), {.authoritative = true})).reply.header.flags, kQr | kRa | kAa);
}

TEST(MakeReply, ExtendedErrorWhereTheQueryHadEdns) {
  const Read r =
      read(reply_to(www().opt({.udp_size = 4096, .dnssec_ok = true, .options = option(10, 8)}).build(),
                    {.rcode = Rcode::kServFail, .error = ExtendedError::kNetworkError}));
  EXPECT_EQ(r.wire.size(), kQuestionEnd + kOptSize + kExtendedErrorSize);
  EXPECT_EQ(r.reply.header.arcount, 1);
  EXPECT_EQ(r.reply.rcode(), 2);
  EXPECT_TRUE(r.reply.edns.dnssec_ok);
  EXPECT_EQ(r.reply.edns.udp_size, kEdnsSize);
  EXPECT_EQ(r.reply.edns.version, 0);
  const Bytes ede(r.wire.end() - 6, r.wire.end());
  EXPECT_EQ(ede, (Bytes{0, 15, 0, 2, 0, 23}));
}

TEST(MakeReply, NoEdnsWhereTheQueryHadNone) {
  const Read r =
      read(reply_to(www().build(), {.rcode = Rcode::kServFail, .error = ExtendedError::kNetworkError}));
  EXPECT_EQ(r.wire.size(), kQuestionEnd);
  EXPECT_FALSE(r.reply.edns.present);
}

TEST(MakeReply, TheExtendedErrorGivesWayWhereThereIsNoRoom) {
  const Bytes query = www().opt().build();
  const ReplyFields fields{.rcode = Rcode::kServFail, .error = ExtendedError::kNetworkError};
  EXPECT_EQ(reply_to(query, fields, query.size()).size(), query.size());
  EXPECT_EQ(reply_to(query, fields, query.size() + 5).size(), query.size());
  EXPECT_EQ(reply_to(query, fields, query.size() + 6).size(), query.size() + 6);
}

TEST(MakeReply, BadVersNeedsTheUpperBitsInTheOpt) {
  const Bytes query = www().opt({.version = 1}).build();
  Question q;
  ASSERT_EQ(parse_query(query, q), QueryVerdict::kBadVers);
  const Read r = read(reply_to(query, {.rcode = Rcode::kBadVers}));
  EXPECT_EQ(r.reply.rcode(), 16);
  EXPECT_EQ(r.reply.header.flags & kRcodeMask, 0);
  EXPECT_EQ(r.reply.edns.version, 0) << "the version that we do speak";
}

TEST(MakeReply, AnRcodeThatNeedsAnOptWithoutOneIsServfail) {
  EXPECT_EQ(read(reply_to(www().build(), {.rcode = Rcode::kBadVers})).reply.rcode(), 2);
}

TEST(MakeReply, WithoutAQuestionTheHeaderAlone) {
  for (const Bytes& query :
       {MessageBuilder(9, kRd).build(), MessageBuilder(9, kRd).opt().build(),
        MessageBuilder(9, kRd).question(pointer(12)).build(),
        MessageBuilder(9, kRd).question({0x40, 0}).build(),
        MessageBuilder(9, kRd).question(wire_name("a")).question(wire_name("b")).build()}) {
    const Bytes records = addresses(1);
    for (const ReplyFields& fields :
         {ReplyFields{.rcode = Rcode::kFormErr, .error = ExtendedError::kOther},
          ReplyFields{.rcode = Rcode::kFormErr, .records = records, .ancount = 1}}) {
      const Bytes wire = reply_to(query, fields);
      ASSERT_EQ(wire.size(), kHeaderSize);
      const Header h = load_header(wire.data());
      EXPECT_EQ(h.id, 9);
      EXPECT_EQ(h.flags, kQr | kRd | kRa | 1);
      EXPECT_EQ(h.qdcount + h.ancount + h.nscount + h.arcount, 0);
    }
  }
}

TEST(MakeReply, FormErrWithAReadableQuestionKeepsItAndNothingBehindIt) {
  const Read r = read(reply_to(www().opt().raw(Bytes(100, 0xaa)).build(), {.rcode = Rcode::kFormErr}));
  EXPECT_EQ(r.wire.size(), kQuestionEnd + kOptSize);
  EXPECT_EQ(r.reply.rcode(), 1);
  const Read two = read(reply_to(www().opt().opt().build(), {.rcode = Rcode::kFormErr}));
  EXPECT_EQ(two.wire.size(), kQuestionEnd) << "two OPTs earn none";
}

TEST(MakeReply, OpcodeOtherThanQueryIsMirroredWithCleanFlags) {
  for (unsigned opcode : {1u, 2u, 4u, 5u, 6u, 15u}) {
    const Bytes wire =
        reply_to(www(opcode << 11 | kRd | kCd | kAd | kAa | 0xf).build(), {.rcode = Rcode::kNotImp});
    ASSERT_EQ(wire.size(), kHeaderSize);
    const Header h = load_header(wire.data());
    EXPECT_EQ(h.flags, kQr | opcode << 11 | 4);
    EXPECT_EQ(h.qdcount + h.ancount + h.nscount + h.arcount, 0);
  }
}

TEST(MakeReply, RecordsOfARule) {
  const Bytes records = addresses(2);
  const Read r = read(reply_to(www().opt().build(), {.records = records, .ancount = 2}));
  EXPECT_EQ(r.reply.header.ancount, 2);
  EXPECT_EQ(r.reply.header.arcount, 1);
  EXPECT_TRUE(std::equal(records.begin(), records.end(), r.wire.begin() + kQuestionEnd));
  EXPECT_EQ(r.wire.size(), kQuestionEnd + records.size() + kOptSize);
  EXPECT_EQ(r.reply.min_ttl, 60u);
  EXPECT_TRUE(r.reply.has_answer_of_type);
}

TEST(MakeReply, RecordsThatDoNotFitTheClient) {
  const Bytes records = addresses(40);  // 640 octets
  const Bytes plain = reply_to(www().build(), {.records = records, .ancount = 40});
  EXPECT_EQ(plain.size(), kQuestionEnd);
  Header h = load_header(plain.data());
  EXPECT_EQ(h.flags, kQr | kTc | kRd | kRa);
  EXPECT_EQ(h.ancount, 0);
  const Bytes small = reply_to(www().opt({.udp_size = 600}).build(), {.records = records, .ancount = 40});
  EXPECT_EQ(small.size(), kQuestionEnd + kOptSize) << "the OPT stays";
  h = load_header(small.data());
  EXPECT_TRUE(h.flags & kTc);
  EXPECT_EQ(h.arcount, 1);
  const Read large =
      read(reply_to(www().opt({.udp_size = 700}).build(), {.records = records, .ancount = 40}));
  EXPECT_EQ(large.reply.header.ancount, 40);
}

TEST(MakeReply, TheLimitIsExact) {
  const Bytes records = addresses(40);
  const auto size = static_cast<unsigned>(kQuestionEnd + records.size() + kOptSize);
  EXPECT_EQ(reply_to(www().opt({.udp_size = size}).build(), {.records = records, .ancount = 40}).size(),
            size);
  EXPECT_EQ(reply_to(www().opt({.udp_size = size - 1}).build(), {.records = records, .ancount = 40}).size(),
            kQuestionEnd + kOptSize);
}

TEST(MakeReply, RecordsThatDoNotFitTheBuffer) {
  const Bytes records = addresses(40);
  const Bytes wire = reply_to(www().opt({.udp_size = 1232}).build(), {.records = records, .ancount = 40},
                              kQuestionEnd + 100);
  EXPECT_TRUE(load_header(wire.data()).flags & kTc);
  EXPECT_EQ(wire.size(), kQuestionEnd + kOptSize);
}

TEST(MakeReply, OverAStreamOnlyTheBufferLimits) {
  const Bytes records = addresses(80);  // 1280 octets
  const Read r = read(reply_to(www().build(), {.stream = true, .records = records, .ancount = 80}));
  EXPECT_EQ(r.reply.header.ancount, 80);
  EXPECT_FALSE(r.reply.truncated());
  const Bytes cut = reply_to(www().build(), {.stream = true, .records = records, .ancount = 80}, 1000);
  EXPECT_TRUE(load_header(cut.data()).flags & kTc);
}

TEST(MakeReply, TheLongestQuestionFitsWithEverythingOfOurs) {
  Bytes name = repeated_labels(3, 63);
  name.pop_back();
  append(name, label(std::string(61, 'Z')));
  name.push_back(0);
  const Bytes query = MessageBuilder().question(name).opt({.udp_size = 0}).build();
  Bytes soa(kSyntheticSoaSize);
  write_synthetic_soa(soa.data(), 12);
  const Read r = read(reply_to(
      query, {.rcode = Rcode::kNxDomain, .error = ExtendedError::kBlocked, .records = soa, .nscount = 1}));
  EXPECT_FALSE(r.reply.truncated());
  EXPECT_EQ(r.reply.header.nscount, 1);
}

TEST(SyntheticSoa, IsAnSoaThatCachesFor60Seconds) {
  Bytes soa(kSyntheticSoaSize);
  ExactBuffer exact(soa);
  write_synthetic_soa(exact.data(), 16);
  soa.assign(exact.data(), exact.data() + kSyntheticSoaSize);
  EXPECT_EQ(load_be16(soa.data()), 0xc010);
  for (Rcode rcode : {Rcode::kNoError, Rcode::kNxDomain}) {
    const Read r = read(reply_to(www().build(), {.rcode = rcode, .records = soa, .nscount = 1}));
    EXPECT_TRUE(r.reply.has_soa);
    EXPECT_EQ(r.reply.negative_ttl, kBlockedTtl);
    EXPECT_EQ(cacheable_seconds(r.reply, 5), kBlockedTtl);
  }
}

TEST(ClientLimit, WithinItsBounds) {
  EXPECT_EQ(client_limit({}), 512u);
  const auto of = [](unsigned size) {
    return client_limit({.present = true, .udp_size = static_cast<std::uint16_t>(size)});
  };
  EXPECT_EQ(of(0), 512u);
  EXPECT_EQ(of(511), 512u);
  EXPECT_EQ(of(512), 512u);
  EXPECT_EQ(of(1000), 1000u);
  EXPECT_EQ(of(1232), 1232u);
  EXPECT_EQ(of(4096), 1232u);
  EXPECT_EQ(of(65535), 1232u);
}

}  // namespace
}  // namespace shunt::dns
