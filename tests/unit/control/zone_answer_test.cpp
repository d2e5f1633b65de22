// What private zones answer, name by name.
#include "control/zone_answer.h"

#include <gtest/gtest.h>
#include <ldns/ldns.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "conf/zone_file.h"
#include "control/zone_lookup.h"
#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"

namespace shunt::control {
namespace {

using Texts = std::vector<std::string>;

std::shared_ptr<const conf::Zone> read(std::string_view text) {
  std::vector<conf::Diagnostic> errors;
  auto zone = conf::read_zone_text(text, "test.zone", errors);
  EXPECT_EQ(conf::to_text(errors), "");
  return zone;
}

dns::Name name_of(std::string_view text) {
  return dns::parse_name(text).value_or(dns::Name{});
}

std::vector<std::uint8_t> question(std::string_view name, ldns_rr_type type) {
  const dns::Name wire = name_of(name);
  std::vector<std::uint8_t> octets(wire.octets().begin(), wire.octets().end());
  octets.resize(octets.size() + 4);
  store_be16(&octets[octets.size() - 4], static_cast<std::uint16_t>(type));
  store_be16(&octets[octets.size() - 2], dns::kClassIn);
  return octets;
}

/// A message as a person reads it.
struct Read {
  std::string rcode;
  bool aa = false, tc = false;
  Texts answer, authority, additional;
};

Texts texts(const ldns_rr_list* records) {
  Texts all;
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(records); ++i) {
    char* const text = ldns_rr2str(ldns_rr_list_rr(records, i));
    std::string line(text);
    std::free(text);
    std::replace(line.begin(), line.end(), '\t', ' ');
    line.pop_back();
    all.push_back(line);
  }
  return all;
}

Read read_message(const std::vector<std::uint8_t>& wire) {
  ldns_pkt* packet = nullptr;
  EXPECT_EQ(ldns_wire2pkt(&packet, wire.data(), wire.size()), LDNS_STATUS_OK);
  Read read;
  char* const rcode = ldns_pkt_rcode2str(ldns_pkt_get_rcode(packet));
  read.rcode = rcode;
  std::free(rcode);
  read.aa = ldns_pkt_aa(packet);
  read.tc = ldns_pkt_tc(packet);
  read.answer = texts(ldns_pkt_answer(packet));
  read.authority = texts(ldns_pkt_authority(packet));
  read.additional = texts(ldns_pkt_additional(packet));
  ldns_pkt_free(packet);
  return read;
}

class Zones : public testing::Test {
 protected:
  void add(std::string_view text) { zones_.push_back(read(text)); }

  /// The zone with the longest name, as the match has it.
  const conf::Zone* zone_of(const dns::Name& name) const {
    const conf::Zone* best = nullptr;
    for (const auto& zone : zones_) {
      const unsigned labels = zone->apex().labels;
      if (name.labels < labels || !std::ranges::equal(suffix_of(name, labels), zone->apex().octets()))
        continue;
      if (best == nullptr || best->apex().labels < labels) best = zone.get();
    }
    return best;
  }
  ZoneAnswer start(std::string_view name, ldns_rr_type type, std::size_t limit = kMaxMessage) const {
    return ZoneAnswer(question(name, type), limit, [this](const dns::Name& n) { return zone_of(n); });
  }
  Read ask(std::string_view name, ldns_rr_type type, std::size_t limit = kMaxMessage) const {
    const ZoneAnswer answer = start(name, type, limit);
    EXPECT_FALSE(answer.failed());
    EXPECT_FALSE(answer.next().has_value());
    return read_message(answer.finish());
  }

  std::vector<std::shared_ptr<const conf::Zone>> zones_;
};

/// The zone of RFC 4592 section 2.2.1.
class Wildcards : public Zones {
 protected:
  Wildcards() {
    add(R"($ORIGIN example.
example.                 3600 IN  SOA   ns.example.com. hostmaster.example. 1 3600 600 86400 60
example.                 3600     NS    ns.example.com.
example.                 3600     NS    ns.example.net.
*.example.               3600     TXT   "this is a wildcard"
*.example.               3600     MX    10 host1.example.
sub.*.example.           3600     TXT   "this is not a wildcard"
host1.example.           3600     A     192.0.2.1
_ssh._tcp.host1.example. 3600     SRV   0 0 22 host1.example.
_ssh._tcp.host2.example. 3600     SRV   0 0 22 host2.example.
subdel.example.          3600     NS    ns.example.com.
subdel.example.          3600     NS    ns.example.net.
)");
  }
  static constexpr auto kSoa = "example. 60 IN SOA ns.example.com. hostmaster.example. 1 3600 600 86400 60";
  void expect_nodata(std::string_view name, ldns_rr_type type) {
    const Read r = ask(name, type);
    EXPECT_EQ(r.rcode, "NOERROR") << name;
    EXPECT_EQ(r.answer, Texts{}) << name;
    EXPECT_EQ(r.authority, Texts{kSoa}) << name;
    EXPECT_TRUE(r.aa);
  }
  void expect_nxdomain(std::string_view name, ldns_rr_type type) {
    const Read r = ask(name, type);
    EXPECT_EQ(r.rcode, "NXDOMAIN") << name;
    EXPECT_EQ(r.answer, Texts{}) << name;
    EXPECT_EQ(r.authority, Texts{kSoa}) << name;
    EXPECT_TRUE(r.aa);
  }
};

TEST_F(Wildcards, SynthesizeWhereNothingCloserExists) {
  EXPECT_EQ(ask("host3.example", LDNS_RR_TYPE_MX).answer,
            Texts{"host3.example. 3600 IN MX 10 host1.example."});
  expect_nodata("host3.example", LDNS_RR_TYPE_A);
  EXPECT_EQ(ask("foo.bar.example", LDNS_RR_TYPE_TXT).answer,
            Texts{"foo.bar.example. 3600 IN TXT \"this is a wildcard\""});
}

TEST_F(Wildcards, DontReachBelowNamesThatExist) {
  expect_nodata("host1.example", LDNS_RR_TYPE_MX);                  // host1.example exists
  expect_nodata("sub.*.example", LDNS_RR_TYPE_MX);                  // so does this
  expect_nxdomain("_telnet._tcp.host1.example", LDNS_RR_TYPE_SRV);  // _tcp.host1.example exists, empty
  expect_nxdomain("ghost.*.example", LDNS_RR_TYPE_MX);              // *.example exists
  expect_nodata("_tcp.host1.example", LDNS_RR_TYPE_SRV);            // an empty non-terminal
  const Read cut = ask("host.subdel.example", LDNS_RR_TYPE_A);      // below a delegation
  EXPECT_EQ(cut.rcode, "NOERROR");
  EXPECT_FALSE(cut.aa);
  EXPECT_EQ(cut.answer, Texts{});
  EXPECT_EQ(cut.authority, (Texts{"subdel.example. 3600 IN NS ns.example.com.",
                                  "subdel.example. 3600 IN NS ns.example.net."}));
}

TEST_F(Wildcards, AreNamesLikeOthersWhenAskedFor) {
  EXPECT_EQ(ask("*.example", LDNS_RR_TYPE_TXT).answer,
            Texts{"*.example. 3600 IN TXT \"this is a wildcard\""});
  expect_nodata("*.example", LDNS_RR_TYPE_A);
  EXPECT_EQ(ask("sub.*.example", LDNS_RR_TYPE_TXT).answer,
            Texts{"sub.*.example. 3600 IN TXT \"this is not a wildcard\""});
}

class Corp : public Zones {
 protected:
  Corp() {
    add(R"($ORIGIN corp.
$TTL 300
@ SOA ns host 1 3600 600 86400 600
@ NS ns
ns A 192.0.2.1
www CNAME web
web A 192.0.2.2
web AAAA 2001:db8::2
gone CNAME nowhere
empty CNAME a.ent
b.a.ent A 192.0.2.9
*.wild CNAME web
out CNAME www.example.com.
long1 CNAME long2
long2 CNAME out
loop1 CNAME loop2
loop2 CNAME loop1
self CNAME self
to-part CNAME www.part.corp.
sub NS ns.sub
sub NS ns
sub DS 12345 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
ns.sub A 192.0.2.53
ns.sub AAAA 2001:db8::53
www.sub A 192.0.2.99
into CNAME www.sub
old DNAME web
x.web A 192.0.2.3
far DNAME example.com.
apart DS 1 13 2 00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff
MiXed TXT "case"
c1 CNAME c2
c2 CNAME c3
c3 CNAME c4
c4 CNAME c5
c5 CNAME c6
c6 CNAME c7
c7 CNAME c8
c8 CNAME c9
c9 CNAME web
)");
    add("$ORIGIN part.corp.\n@ 60 SOA ns host 1 2 3 4 5\n@ 60 NS ns\nwww 60 A 192.0.2.7\nback 60 CNAME "
        "web.corp.\n");
  }
};

TEST_F(Corp, AliasesAreFollowedWithinTheZone) {
  const Read r = ask("www.corp", LDNS_RR_TYPE_A);
  EXPECT_TRUE(r.aa);
  EXPECT_EQ(r.answer, (Texts{"www.corp. 300 IN CNAME web.corp.", "web.corp. 300 IN A 192.0.2.2"}));
  EXPECT_EQ(r.authority, Texts{});
  EXPECT_EQ(ask("www.corp", LDNS_RR_TYPE_CNAME).answer, Texts{"www.corp. 300 IN CNAME web.corp."});
  EXPECT_EQ(ask("x.y.wild.corp", LDNS_RR_TYPE_AAAA).answer,
            (Texts{"x.y.wild.corp. 300 IN CNAME web.corp.", "web.corp. 300 IN AAAA 2001:db8::2"}));
}

TEST_F(Corp, AnAliasHasTheDenialOfItsTarget) {
  const Texts soa{
      "corp. 300 IN SOA ns.corp. host.corp. 1 3600 600 86400 600"};  // the lesser of TTL and MINIMUM
  const Read gone = ask("gone.corp", LDNS_RR_TYPE_A);
  EXPECT_EQ(gone.rcode, "NXDOMAIN");
  EXPECT_EQ(gone.answer, Texts{"gone.corp. 300 IN CNAME nowhere.corp."});
  EXPECT_EQ(gone.authority, soa);
  const Read empty = ask("empty.corp", LDNS_RR_TYPE_A);
  EXPECT_EQ(empty.rcode, "NOERROR");
  EXPECT_EQ(empty.authority, soa);
  EXPECT_EQ(ask("www.corp", LDNS_RR_TYPE_MX).authority, soa);
}

TEST_F(Corp, AliasesAreFollowedFromZoneToZone) {
  EXPECT_EQ(ask("to-part.corp", LDNS_RR_TYPE_A).answer,
            (Texts{"to-part.corp. 300 IN CNAME www.part.corp.", "www.part.corp. 60 IN A 192.0.2.7"}));
  EXPECT_EQ(ask("back.part.corp", LDNS_RR_TYPE_A).answer,
            (Texts{"back.part.corp. 60 IN CNAME web.corp.", "web.corp. 300 IN A 192.0.2.2"}));
}

TEST_F(Corp, LoopsEnd) {
  const Read r = ask("loop1.corp", LDNS_RR_TYPE_A);
  EXPECT_EQ(r.rcode, "NOERROR");
  EXPECT_EQ(r.answer,
            (Texts{"loop1.corp. 300 IN CNAME loop2.corp.", "loop2.corp. 300 IN CNAME loop1.corp."}));
  EXPECT_EQ(ask("self.corp", LDNS_RR_TYPE_A).answer, Texts{"self.corp. 300 IN CNAME self.corp."});
}

TEST_F(Corp, LongChainsFail) {
  EXPECT_TRUE(start("c1.corp", LDNS_RR_TYPE_A).failed());
  EXPECT_FALSE(start("c2.corp", LDNS_RR_TYPE_A).failed());
}

TEST_F(Corp, DelegationsReferWithGlue) {
  for (const char* const name : {"sub.corp", "www.sub.corp", "a.b.sub.corp", "ns.sub.corp"}) {
    const Read r = ask(name, LDNS_RR_TYPE_A);
    EXPECT_FALSE(r.aa);
    EXPECT_EQ(r.rcode, "NOERROR");
    EXPECT_EQ(r.answer, Texts{});
    EXPECT_EQ(r.authority, (Texts{"sub.corp. 300 IN NS ns.sub.corp.", "sub.corp. 300 IN NS ns.corp."}));
    EXPECT_EQ(r.additional, (Texts{"ns.sub.corp. 300 IN A 192.0.2.53",
                                   "ns.sub.corp. 300 IN AAAA 2001:db8::53", "ns.corp. 300 IN A 192.0.2.1"}));
  }
  const Read into = ask("into.corp", LDNS_RR_TYPE_A);
  EXPECT_TRUE(into.aa);  // of the alias
  EXPECT_EQ(into.answer, Texts{"into.corp. 300 IN CNAME www.sub.corp."});
  EXPECT_EQ(into.authority.size(), 2u);
}

TEST_F(Corp, DsIsTheParents) {
  const Read r = ask("sub.corp", LDNS_RR_TYPE_DS);
  EXPECT_TRUE(r.aa);
  ASSERT_EQ(r.answer.size(), 1u);
  EXPECT_EQ(r.answer[0].substr(0, 18), "sub.corp. 300 IN D");
  EXPECT_EQ(ask("www.sub.corp", LDNS_RR_TYPE_DS).authority.size(), 2u);  // below it: referred
  // part.corp is a zone of its own here; what is said of it stands in corp.
  const Read part = ask("part.corp", LDNS_RR_TYPE_DS);
  EXPECT_EQ(part.authority, Texts{"corp. 300 IN SOA ns.corp. host.corp. 1 3600 600 86400 600"});
  EXPECT_EQ(ask("corp", LDNS_RR_TYPE_DS).authority.size(), 1u);
}

TEST_F(Corp, DnamesMakeAliases) {
  EXPECT_EQ(ask("x.old.corp", LDNS_RR_TYPE_A).answer,
            (Texts{"old.corp. 300 IN DNAME web.corp.", "x.old.corp. 300 IN CNAME x.web.corp.",
                   "x.web.corp. 300 IN A 192.0.2.3"}));
  EXPECT_EQ(ask("y.old.corp", LDNS_RR_TYPE_CNAME).answer,
            (Texts{"old.corp. 300 IN DNAME web.corp.", "y.old.corp. 300 IN CNAME y.web.corp."}));
  EXPECT_EQ(ask("old.corp", LDNS_RR_TYPE_DNAME).answer, Texts{"old.corp. 300 IN DNAME web.corp."});
  EXPECT_EQ(ask("old.corp", LDNS_RR_TYPE_A).authority.size(), 1u);  // the name itself isn't renamed
  const ZoneAnswer far = start("a.b.far.corp", LDNS_RR_TYPE_A);
  ASSERT_TRUE(far.next().has_value());
  EXPECT_EQ(dns::to_text(far.next()->octets()), "a.b.example.com.");
}

TEST_F(Corp, ADnameThatMakesANameTooLongIsYxdomain) {
  std::string name;
  for (int i = 0; i < 3; ++i)
    name += std::string(63, 'a') + ".";
  name += std::string(50, 'b') + ".far.corp";
  const Read r = ask(name, LDNS_RR_TYPE_A);
  EXPECT_EQ(r.rcode, "YXDOMAIN");
  EXPECT_EQ(r.answer, Texts{"far.corp. 300 IN DNAME example.com."});
}

TEST_F(Corp, AnyFindsOneRrset) {
  EXPECT_EQ(ask("web.corp", LDNS_RR_TYPE_ANY).answer, Texts{"web.corp. 300 IN A 192.0.2.2"});
  EXPECT_EQ(ask("www.corp", LDNS_RR_TYPE_ANY).answer, Texts{"www.corp. 300 IN CNAME web.corp."});
  EXPECT_EQ(ask("a.ent.corp", LDNS_RR_TYPE_ANY).authority.size(), 1u);
}

TEST_F(Corp, TheQuestionsSpellingStays) {
  std::vector<std::uint8_t> asked = question("mixed.corp", LDNS_RR_TYPE_TXT);
  asked[1] = 'M';
  const ZoneAnswer answer(asked, kMaxMessage, [this](const dns::Name& n) { return zone_of(n); });
  const std::vector<std::uint8_t> wire = answer.finish();
  EXPECT_TRUE(std::equal(asked.begin(), asked.end(), wire.begin() + dns::kHeaderSize));
  EXPECT_EQ(read_message(wire).answer, Texts{"Mixed.corp. 300 IN TXT \"case\""});
}

TEST_F(Corp, AnswersThatDontFitAreTruncated) {
  const Read r = ask("www.corp", LDNS_RR_TYPE_A, 50);
  EXPECT_TRUE(r.tc);
  EXPECT_TRUE(r.aa);
  EXPECT_EQ(r.answer, Texts{});
  const std::size_t whole = start("www.corp", LDNS_RR_TYPE_A).finish().size();
  EXPECT_FALSE(ask("www.corp", LDNS_RR_TYPE_A, whole).tc);
  EXPECT_TRUE(ask("www.corp", LDNS_RR_TYPE_A, whole - 1).tc);
}

/// An answer to `name`, from elsewhere.
std::vector<std::uint8_t> foreign(std::string_view name, ldns_rr_type type, ldns_pkt_rcode rcode,
                                  const Texts& answer, const Texts& authority = {}) {
  ldns_pkt* packet = nullptr;
  ldns_pkt_query_new_frm_str(&packet, std::string(name).c_str(), type, LDNS_RR_CLASS_IN, LDNS_QR);
  ldns_pkt_set_rcode(packet, rcode);
  const auto push = [packet](ldns_pkt_section section, const Texts& lines) {
    for (const std::string& line : lines) {
      ldns_rr* rr = nullptr;
      EXPECT_EQ(ldns_rr_new_frm_str(&rr, line.c_str(), 0, nullptr, nullptr), LDNS_STATUS_OK) << line;
      ldns_pkt_push_rr(packet, section, rr);
    }
  };
  push(LDNS_SECTION_ANSWER, answer);
  push(LDNS_SECTION_AUTHORITY, authority);
  std::uint8_t* octets = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(ldns_pkt2wire(&octets, packet, &size), LDNS_STATUS_OK);
  std::vector<std::uint8_t> wire(octets, octets + size);
  std::free(octets);
  ldns_pkt_free(packet);
  return wire;
}

TEST_F(Corp, AnAliasThatLeavesTheZonesIsJoinedWithItsAnswer) {
  ZoneAnswer answer = start("long1.corp", LDNS_RR_TYPE_A);
  ASSERT_TRUE(answer.next().has_value());
  EXPECT_EQ(dns::to_text(answer.next()->octets()), "www.example.com.");
  EXPECT_EQ(answer.type(), LDNS_RR_TYPE_A);
  EXPECT_FALSE(answer.joined());
  ASSERT_TRUE(answer.join(
      foreign("www.example.com.", LDNS_RR_TYPE_A, LDNS_RCODE_NOERROR,
              {"www.example.com. 20 IN CNAME cdn.example.net.", "cdn.example.net. 10 IN A 198.51.100.1"},
              {"example.net. 30 IN NS ns.example.net."})));
  EXPECT_TRUE(answer.joined());
  EXPECT_FALSE(answer.next().has_value());
  const Read r = read_message(answer.finish());
  EXPECT_TRUE(r.aa);
  EXPECT_EQ(r.answer,
            (Texts{"long1.corp. 300 IN CNAME long2.corp.", "long2.corp. 300 IN CNAME out.corp.",
                   "out.corp. 300 IN CNAME www.example.com.", "www.example.com. 20 IN CNAME cdn.example.net.",
                   "cdn.example.net. 10 IN A 198.51.100.1"}));
  EXPECT_EQ(r.authority, Texts{});
}

TEST_F(Corp, DenialsOfTheTargetAreTheAliass) {
  ZoneAnswer answer = start("out.corp", LDNS_RR_TYPE_A);
  ASSERT_TRUE(answer.join(foreign("www.example.com.", LDNS_RR_TYPE_A, LDNS_RCODE_NXDOMAIN, {},
                                  {"example.com. 30 IN SOA a.example.com. b.example.com. 1 2 3 4 5"})));
  const Read r = read_message(answer.finish());
  EXPECT_EQ(r.rcode, "NXDOMAIN");
  EXPECT_EQ(r.answer, Texts{"out.corp. 300 IN CNAME www.example.com."});
  EXPECT_EQ(r.authority, Texts{"example.com. 30 IN SOA a.example.com. b.example.com. 1 2 3 4 5"});
}

TEST_F(Corp, FailuresOfTheTargetBringNothing) {
  ZoneAnswer answer = start("out.corp", LDNS_RR_TYPE_A);
  EXPECT_FALSE(answer.join(foreign("www.example.com.", LDNS_RR_TYPE_A, LDNS_RCODE_SERVFAIL, {})));
  EXPECT_FALSE(answer.join({}));
  const std::vector<std::uint8_t> good =
      foreign("www.example.com.", LDNS_RR_TYPE_A, LDNS_RCODE_NOERROR, {"www.example.com. 20 IN A 192.0.2.1"});
  EXPECT_FALSE(answer.join(std::span(good).first(good.size() - 1)));
  EXPECT_TRUE(answer.join(good));
}

TEST(ZoneOfTheRoot, AnswersForEverything) {
  const auto zone =
      read("$ORIGIN .\n@ 60 SOA a b 1 2 3 4 5\n@ 60 NS a\na.b 60 A 192.0.2.1\n*.c 60 A 192.0.2.2\n");
  EXPECT_EQ(look_up(*zone, name_of("a.b"), 1).verdict, ZoneVerdict::kAnswer);
  EXPECT_EQ(look_up(*zone, name_of("b"), 1).verdict, ZoneVerdict::kNoData);
  EXPECT_EQ(look_up(*zone, name_of("x.c"), 1).verdict, ZoneVerdict::kAnswer);
  EXPECT_EQ(look_up(*zone, name_of("x"), 1).verdict, ZoneVerdict::kNxDomain);
  EXPECT_EQ(look_up(*zone, name_of("."), 6).verdict, ZoneVerdict::kAnswer);
}

}  // namespace
}  // namespace shunt::control
