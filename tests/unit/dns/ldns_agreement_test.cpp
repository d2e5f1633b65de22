// The parsers against ldns, and against a second reading of our own that tells why a message is bad.
//
// Where parse_reply says kGood, ldns_wire2pkt accepts the message and reads the same in it, but for what
// shunt passes on unread (all other octets being equal, ldns accepts once that is made harmless):
//   - RDATA of other types than SOA and OPT: shunt copies it, ldns takes it apart (and loses its place where
//     the RDATA is longer than the fields in it), a TSIG's even out of its section;
//   - what a compression pointer leads to: shunt checks that it leads backwards, ldns follows it;
//   - records of a truncated answer.
// Where ldns accepts a message, parse_reply says kGood, but for faults that ldns leaves to its callers or is
// generous with: see is_beyond_ldns().
#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"
#include "tests/support/reference_reader.h"
#include "tests/unit/dns/ldns_corpus.h"

namespace shunt::dns {
namespace {

using namespace shunt::testing;

constexpr unsigned kMutatedAnswers = 150'000;
constexpr unsigned kMutatedQueries = 100'000;

bool is_beyond_ldns(Fault fault) {
  switch (fault) {
    case Fault::kDirection:     // ldns reads queries and answers alike,
    case Fault::kOpcode:        // of every opcode,
    case Fault::kQdcount:       // with any number of questions;
    case Fault::kCompressed:    // follows pointers in questions,
    case Fault::kPointerPlace:  // and pointers forwards and into the header, as long as they end;
    case Fault::kOptPlace:      // takes an OPT in any section,
    case Fault::kOptTwice:      // several of them,
    case Fault::kOptMalformed:  // with any owner, and doesn't look into its options;
    case Fault::kSoaMalformed:  // takes an SOA that ends after any of its fields,
    case Fault::kTrailing:      // and ignores what follows the last record.
      return true;
    default:
      return false;
  }
}

std::string hex(const Bytes& message) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (std::uint8_t octet : message) {
    out += kDigits[octet >> 4];
    out += kDigits[octet & 15];
  }
  return out;
}

Bytes lower_wire(const ldns_rdf* name) {
  Bytes out(ldns_rdf_data(name), ldns_rdf_data(name) + ldns_rdf_size(name));
  for (std::uint8_t& octet : out) {
    if (octet >= 'A' && octet <= 'Z') octet |= 0x20;
  }
  return out;
}

void expect_same_question(const ldns_pkt* packet, const Name& name, unsigned type, unsigned klass) {
  const ldns_rr* question = ldns_rr_list_rr(ldns_pkt_question(packet), 0);
  EXPECT_EQ(lower_wire(ldns_rr_owner(question)), Bytes(name.octets().begin(), name.octets().end()));
  EXPECT_EQ(ldns_dname_label_count(ldns_rr_owner(question)), name.labels);
  EXPECT_EQ(ldns_rr_get_type(question), type);
  EXPECT_EQ(ldns_rr_get_class(question), klass);
}

void expect_same_edns(const ldns_pkt* packet, const Edns& edns) {
  EXPECT_EQ(ldns_pkt_edns(packet), edns.present);
  if (!edns.present) return;
  EXPECT_EQ(ldns_pkt_edns_udp_size(packet), edns.udp_size);
  EXPECT_EQ(ldns_pkt_edns_do(packet), edns.dnssec_ok);
  EXPECT_EQ(ldns_pkt_edns_version(packet), edns.version);
  EXPECT_EQ(ldns_pkt_edns_extended_rcode(packet), edns.extended_rcode);
  const ldns_rdf* data = ldns_pkt_edns_data(packet);
  EXPECT_EQ(data == nullptr ? 0 : ldns_rdf_size(data), edns.options_length);
}

/// Header, question, EDNS, TTLs: all that parse_reply tells.
void expect_same_answer(const Bytes& message, const ldns_pkt* packet, const Reply& reply, const Name& name) {
  EXPECT_EQ(ldns_pkt_id(packet), reply.header.id);
  EXPECT_EQ(ldns_pkt_get_rcode(packet), reply.rcode() & 15);
  EXPECT_EQ(ldns_pkt_ancount(packet), reply.header.ancount);
  EXPECT_EQ(ldns_pkt_nscount(packet), reply.header.nscount);
  EXPECT_EQ(ldns_pkt_arcount(packet) + (reply.edns.present ? 1 : 0), reply.header.arcount);
  expect_same_question(packet, name, reply.type, reply.klass);
  expect_same_edns(packet, reply.edns);

  std::size_t count = 0;
  std::uint32_t min_ttl = 0xffffffff, negative = 0xffffffff;
  bool soa = false, answer = false;
  for (const ldns_rr_list* section :
       {ldns_pkt_answer(packet), ldns_pkt_authority(packet), ldns_pkt_additional(packet)}) {
    for (std::size_t i = 0; i < ldns_rr_list_rr_count(section); ++i) {
      const ldns_rr* rr = ldns_rr_list_rr(section, i);
      const std::uint32_t ttl = ldns_rr_ttl(rr) > 0x7fffffff ? 0 : ldns_rr_ttl(rr);
      if (count < kMaxTtls) {
        EXPECT_EQ(load_be32(&message.at(reply.ttl_offset[count])), ldns_rr_ttl(rr));
      }
      min_ttl = std::min(min_ttl, ttl);
      if (section == ldns_pkt_authority(packet) && ldns_rr_get_type(rr) == LDNS_RR_TYPE_SOA) {
        soa = true;
        negative = std::min({negative, ttl, ldns_rdf2native_int32(ldns_rr_rdf(rr, 6))});
      }
      if (section == ldns_pkt_answer(packet) && ldns_rr_get_class(rr) == reply.klass) {
        answer |= ldns_rr_get_type(rr) == reply.type || reply.type == LDNS_RR_TYPE_ANY;
      }
      ++count;
    }
  }
  EXPECT_EQ(count, reply.ttl_count);
  EXPECT_EQ(count == 0 ? 0 : min_ttl, reply.min_ttl);
  EXPECT_EQ(soa, reply.has_soa);
  EXPECT_EQ(soa ? negative : 0, reply.negative_ttl);
  EXPECT_EQ(answer, reply.has_answer_of_type);
}

/// `message` with all RDATA made opaque and all pointers of owners leading to the root label of the question.
Bytes made_harmless(Bytes message, const Reading& reading) {
  for (const RecordPlace& p : reading.records) {
    if (p.type != 41) store_be16(&message[p.fixed], 65280);
    if (p.pointer)
      store_be16(&message[*p.pointer], static_cast<std::uint16_t>(0xc000 | (reading.question_end - 5)));
  }
  return message;
}

/// False where ldns reads other records than are there: it goes on behind the last field that it knows of a
/// record's type instead of behind its RDATA, and takes a TSIG out of its section.
bool keeps_its_place(const Bytes& message, const Reading& reading) {
  return std::all_of(reading.records.begin(), reading.records.end(), [&](const RecordPlace& p) {
    if (p.type == LDNS_RR_TYPE_TSIG) return false;
    ldns_rr* rr = nullptr;
    std::size_t at = p.owner;
    if (ldns_wire2rr(&rr, message.data(), message.size(), &at, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK)
      return true;
    ldns_rr_free(rr);
    return at == p.rdata + p.rdlength;
  });
}

/// The header and question of `message` alone.
Bytes first_part(Bytes message, std::size_t question_end) {
  message.resize(question_end);
  std::fill(message.begin() + 6, message.begin() + 12, std::uint8_t{0});
  return message;
}

enum Outcome { kBothAccept, kHarmlessAccepted, kTruncated, kBothReject, kGenerous, kOutcomes };

Outcome compare_answer(const Bytes& message) {
  const Reading reading = ReferenceReader(message).read_answer();
  const ExactBuffer exact(message);
  Reply reply;
  Name name;
  const ReplyVerdict verdict = parse_reply(exact.span(), reply, name);
  const ReplyVerdict expected = reading.fault == Fault::kNone        ? ReplyVerdict::kGood
                                : reading.fault == Fault::kShort     ? ReplyVerdict::kShort
                                : reading.fault == Fault::kDirection ? ReplyVerdict::kNotResponse
                                                                     : ReplyVerdict::kMalformed;
  EXPECT_EQ(verdict, expected) << static_cast<int>(reading.fault);

  ldns_status status;
  const Packet packet = read_with_ldns(exact.span(), status);
  if (verdict != ReplyVerdict::kGood) {
    if (packet == nullptr) return kBothReject;
    EXPECT_TRUE(is_beyond_ldns(reading.fault) || !keeps_its_place(message, reading))
        << static_cast<int>(reading.fault);
    return kGenerous;
  }
  EXPECT_EQ(reply.question_end, reading.question_end);
  if (reply.truncated()) {
    const Packet question = read_with_ldns(first_part(message, reading.question_end), status);
    EXPECT_NE(question, nullptr) << ldns_get_errorstr_by_id(status);
    if (question != nullptr) expect_same_question(question.get(), name, reply.type, reply.klass);
    return kTruncated;
  }
  if (packet != nullptr && keeps_its_place(message, reading)) {
    expect_same_answer(message, packet.get(), reply, name);
    return kBothAccept;
  }
  const ldns_status why = status;
  const Bytes harmless = made_harmless(message, reading);
  const Packet second = read_with_ldns(harmless, status);
  EXPECT_NE(second, nullptr) << ldns_get_errorstr_by_id(why) << ", then " << ldns_get_errorstr_by_id(status);
  EXPECT_EQ(parse_reply(harmless, reply, name), ReplyVerdict::kGood);
  if (second != nullptr) expect_same_answer(harmless, second.get(), reply, name);
  return kHarmlessAccepted;
}

TEST(LdnsAgreement, AnswersAsRealServersSendThem) {
  for (const Bytes& message : answer_corpus()) {
    const Outcome outcome = compare_answer(message);
    EXPECT_TRUE(outcome == kBothAccept || outcome == kTruncated) << hex(message);
    if (HasFailure()) FAIL() << hex(message);
  }
}

TEST(LdnsAgreement, MutatedAnswers) {
  const std::vector<Bytes> corpus = answer_corpus();
  Random random(Random::Seed{42});
  std::array<unsigned, kOutcomes> outcomes{};
  for (unsigned i = 0; i < kMutatedAnswers; ++i) {
    const auto size = static_cast<std::uint32_t>(corpus.size());
    const Bytes& other = corpus[random.below(size)];
    const Bytes message = mutate(corpus[i % size], other, random);
    ++outcomes[compare_answer(message)];
    if (HasFailure()) FAIL() << hex(message);
  }
  // All ways must have been gone, or the mutations are too wild or too tame to say anything.
  for (unsigned count : outcomes)
    EXPECT_GT(count, kMutatedAnswers / 400);
}

/// What parse_query must say, from the second reading.
QueryVerdict expected_verdict(const Bytes& message, const Reading& reading) {
  if (reading.fault == Fault::kShort) return QueryVerdict::kShort;
  if (reading.fault == Fault::kDirection) return QueryVerdict::kResponse;
  if (reading.fault == Fault::kOpcode) return QueryVerdict::kNotImp;
  if (reading.fault != Fault::kNone) return QueryVerdict::kFormErr;
  for (const RecordPlace& p : reading.records) {
    if (p.type != 41) return QueryVerdict::kFormErr;
  }
  if (!reading.records.empty() && (reading.records[0].ttl >> 16 & 0xff) != 0) return QueryVerdict::kBadVers;
  const unsigned type = load_be16(&message[reading.question_end - 4]);
  if (load_be16(&message[reading.question_end - 2]) != kClassIn || type == 251 || type == 252) {
    return QueryVerdict::kRefused;
  }
  return type == 249 || type == 250 || type == 253 || type == 254 ? QueryVerdict::kNotImp
                                                                  : QueryVerdict::kGood;
}

Outcome compare_query(const Bytes& message) {
  const Reading reading = ReferenceReader(message).read_query();
  const ExactBuffer exact(message);
  Question q;
  const QueryVerdict verdict = parse_query(exact.span(), q);
  EXPECT_EQ(verdict, expected_verdict(message, reading));

  ldns_status status;
  const Packet packet = read_with_ldns(exact.span(), status);
  const bool well_formed = verdict == QueryVerdict::kGood || verdict == QueryVerdict::kBadVers ||
                           verdict == QueryVerdict::kRefused ||
                           (verdict == QueryVerdict::kNotImp && (q.flags & kOpcodeMask) == 0);
  if (!well_formed) {
    const bool records =
        std::any_of(reading.records.begin(), reading.records.end(), [](auto& p) { return p.type != 41; });
    if (packet == nullptr) return kBothReject;
    EXPECT_TRUE(is_beyond_ldns(reading.fault) || records) << static_cast<int>(reading.fault);
    return kGenerous;
  }
  EXPECT_NE(packet, nullptr) << ldns_get_errorstr_by_id(status);
  if (packet == nullptr) return kBothReject;
  EXPECT_EQ(ldns_pkt_id(packet.get()), q.id);
  EXPECT_EQ(ldns_pkt_rd(packet.get()), q.recursion_desired());
  EXPECT_EQ(ldns_pkt_cd(packet.get()), q.checking_disabled());
  EXPECT_EQ(q.end, reading.question_end);
  expect_same_question(packet.get(), q.name, q.type, q.klass);
  expect_same_edns(packet.get(), q.edns);
  return kBothAccept;
}

TEST(LdnsAgreement, QueriesAsRealClientsSendThem) {
  for (const Bytes& message : query_corpus()) {
    EXPECT_EQ(compare_query(message), kBothAccept) << hex(message);
    if (HasFailure()) FAIL() << hex(message);
  }
}

TEST(LdnsAgreement, MutatedQueries) {
  const std::vector<Bytes> corpus = query_corpus();
  Random random(Random::Seed{43});
  std::array<unsigned, kOutcomes> outcomes{};
  for (unsigned i = 0; i < kMutatedQueries; ++i) {
    const auto size = static_cast<std::uint32_t>(corpus.size());
    const Bytes& other = corpus[random.below(size)];
    const Bytes message = mutate(corpus[i % size], other, random);
    ++outcomes[compare_query(message)];
    if (HasFailure()) FAIL() << hex(message);
  }
  for (Outcome o : {kBothAccept, kBothReject, kGenerous})
    EXPECT_GT(outcomes[o], kMutatedQueries / 400);
}

}  // namespace
}  // namespace shunt::dns
