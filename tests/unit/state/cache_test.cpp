#include "dataplane/state/cache.h"

#include <gtest/gtest.h>

#include <string>

#include "dataplane/net/checksum.h"
#include "tests/unit/state/cache_fixture.h"

namespace shunt::state {
namespace {

using testing::body_of;
using testing::Key;
using testing::Message;
using testing::Octets;
using testing::Record;
using testing::TestCache;

constexpr std::size_t kMiB = 1 << 20;

std::string host(unsigned i) {
  return "host" + std::to_string(i) + ".onprem.corp";
}
Message answer_for(const std::string& name, std::uint32_t ttl = 300) {
  return {.name = name, .answer = {Record{.ttl = ttl}}};
}
Record soa(std::uint32_t ttl) {
  Octets data(22, 0);
  return {.type = 6, .ttl = ttl, .data = data};
}

TEST(Cache, WithoutMemoryFindsAndStoresNothing) {
  Cache off({});
  const Key key("www.onprem.corp");
  const auto parsed = testing::parse(Message{});
  CacheHit hit;
  EXPECT_FALSE(off.insert(*key, parsed.wire, parsed.reply, 1, 300, 86400, false));
  EXPECT_FALSE(off.find(*key, 1, hit));
  off.prefetch_bucket((*key).hash);
  off.prefetch_entry((*key).hash);
  EXPECT_EQ(off.flush(), 0u);
  EXPECT_EQ(off.flush(key.name()), 0u);
  EXPECT_EQ(off.entries() + off.octets() + off.evictions(), 0u);
}

TEST(Cache, ARoutingFindsOnlyWhatItWasLedTo) {
  TestCache cache(kMiB);
  const auto find_routed = [&cache](const Key& key) {
    cache->prefetch_bucket((*key).hash);
    const Cache::Place place = cache->prefetch_entry((*key).hash);
    CacheHit hit;
    return cache->find_routed(*key, place, 10, hit) ? std::optional(hit.flags) : std::nullopt;
  };
  const auto key = [](Origin origin, Routing routing) {
    return std::make_unique<Key>("www.onprem.corp", 1, origin, 1, routing);
  };
  ASSERT_TRUE(cache.insert(*key(1, 7), Message{.flags = 0x8180}, 0, 300));
  ASSERT_TRUE(cache.insert(*key(2, 8), Message{.flags = 0x8580}, 0, 300));
  EXPECT_EQ(find_routed(*key(0, 7)), dns::kRa) << "the origin isn't asked for";
  EXPECT_EQ(find_routed(*key(0, 8)), dns::kAa | dns::kRa);
  EXPECT_EQ(find_routed(*key(1, 9)), std::nullopt) << "nothing was matched yet";
  // A match of routing 9 leads to origin 1; from then on that is known.
  CacheHit hit;
  ASSERT_TRUE(cache->find(**key(1, 9), 10, hit));
  EXPECT_EQ(find_routed(*key(0, 9)), dns::kRa);
  EXPECT_EQ(find_routed(*key(0, 7)), std::nullopt) << "one routing is remembered";
  cache->flush();
  EXPECT_EQ(find_routed(*key(0, 9)), std::nullopt);
}

TEST(Cache, GivesBackTheAnswerWithItsCountsAndFlags) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  const Message message{.flags = 0x85b0,  // QR, AA, RD, RA, AD, CD
                        .answer = {Record{}, Record{.data = {192, 0, 2, 2}}},
                        .authority = {soa(900)},
                        .additional = {Record{.type = 28, .data = Octets(16, 7)}},
                        .opt = Message::Opt::kLast};
  ASSERT_TRUE(cache.insert(key, message, 100, 300));
  CacheHit hit;
  cache->prefetch_bucket((*key).hash);
  cache->prefetch_entry((*key).hash);
  ASSERT_TRUE(cache->find(*key, 100, hit));
  EXPECT_EQ(Octets(hit.body, hit.body + hit.body_length), body_of(message));
  EXPECT_EQ(hit.flags, dns::kAa | dns::kRa | dns::kAd);
  EXPECT_EQ(hit.ancount, 2);
  EXPECT_EQ(hit.nscount, 1);
  EXPECT_EQ(hit.arcount, 1) << "the OPT is not counted";
  EXPECT_EQ(hit.ttl_count, 4);
  EXPECT_EQ(hit.age, 0u);
}

TEST(Cache, KeepsTheRcodeOfNegativeAnswers) {
  TestCache cache(kMiB);
  const Key key("gone.onprem.corp");
  const Message message{.name = "gone.onprem.corp", .flags = 0x8183, .answer = {}, .authority = {soa(60)}};
  ASSERT_TRUE(cache.insert(key, message, 0, 60));
  CacheHit hit;
  ASSERT_TRUE(cache->find(*key, 59, hit));
  EXPECT_EQ(hit.flags & dns::kRcodeMask, 3);
  EXPECT_EQ(hit.nscount, 1);
}

TEST(Cache, KeepsAnAnswerWithoutRecords) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, {.flags = 0x8182, .answer = {}}, 10, 5));
  CacheHit hit;
  ASSERT_TRUE(cache->find(*key, 14, hit));
  EXPECT_EQ(hit.body_length, 0);
  EXPECT_EQ(aged_sum(hit) % 0xffff, 0);
  EXPECT_FALSE(cache->find(*key, 15, hit));
}

TEST(Cache, ComparesEveryPartOfTheKey) {
  TestCache cache(kMiB);
  ASSERT_TRUE(cache.insert(Key("www.onprem.corp", 1, 1, 1), {}, 0, 300));
  EXPECT_TRUE(cache.find(Key("www.onprem.corp", 1, 1, 1), 0));
  EXPECT_FALSE(cache.find(Key("www.onprem.corp", 28, 1, 1), 0)) << "type";
  EXPECT_FALSE(cache.find(Key("www.onprem.corp", 1, 2, 1), 0)) << "origin";
  EXPECT_FALSE(cache.find(Key("www.onprem.corp", 1, 1, 3), 0)) << "flags";
  EXPECT_FALSE(cache.find(Key("wwx.onprem.corp", 1, 1, 1), 0)) << "name";
}

TEST(Cache, EqualHashesProveNothing) {
  for (const char* name : {"www.onprem.corp", "ab", "a", "0123456789ab.corp"}) {
    TestCache cache(kMiB);
    const Key stored(name);
    ASSERT_TRUE(cache.insert(stored, answer_for(name), 0, 300));
    const auto finds = [&](CacheKey forged) {
      CacheHit hit;
      forged.hash = (*stored).hash;
      return cache->find(forged, 0, hit);
    };
    EXPECT_TRUE(finds(*Key(name))) << name;
    for (const char* other :
         {"wwx.onprem.corp", "www.onprem.corq", "ww.onprem.corp", "ac", "b", "ab.a", "."}) {
      EXPECT_FALSE(finds(*Key(other))) << name << ' ' << other;
    }
    EXPECT_FALSE(finds(*Key(name, 2))) << "type";
    EXPECT_FALSE(finds(*Key(name, 1, 2))) << "origin";
    EXPECT_FALSE(finds(*Key(name, 1, 1, 5))) << "flags";
  }
}

TEST(Cache, FindsTheLongestNames) {
  TestCache cache(kMiB);
  const std::string label(63, 'x');
  const std::string tail = "." + label + "." + label + ".";
  const std::string longest = label + tail + std::string(61, 'y');
  const std::string other = label + tail + std::string(60, 'y') + "z";
  const std::string many = [] {
    std::string name;
    for (int i = 0; i < 127; ++i)
      name += "a.";
    return name;
  }();
  ASSERT_TRUE(cache.insert(Key(longest), answer_for(longest), 0, 300));
  ASSERT_TRUE(cache.insert(Key(many), answer_for(many), 0, 300));
  ASSERT_TRUE(cache.insert(Key("."), answer_for("."), 0, 300));
  EXPECT_TRUE(cache.find(Key(longest), 0));
  EXPECT_TRUE(cache.find(Key(many), 0));
  EXPECT_TRUE(cache.find(Key("."), 0));
  EXPECT_FALSE(cache.find(Key(other), 0));
}

TEST(Cache, ForgetsAnAnswerWhenItsTimeIsOver) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, answer_for("www.onprem.corp", 300), 1000, 300));
  EXPECT_TRUE(cache.find(key, 1299));
  EXPECT_FALSE(cache.find(key, 1300));
  EXPECT_FALSE(cache.find(key, 999)) << "a clock that ran backwards";
}

TEST(Cache, KeepsNothingForNoTime) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  EXPECT_FALSE(cache.insert(key, {}, 0, 0));
  EXPECT_FALSE(cache.insert(key, answer_for("www.onprem.corp", 0), 0, 300));
  EXPECT_FALSE(cache.insert(key, answer_for("www.onprem.corp", 0x80000000), 0, 300)) << "RFC 2181 section 8";
}

TEST(Cache, NeverOutlivesItsShortestTtl) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, {.answer = {Record{.ttl = 300}, Record{.ttl = 20}}}, 0, 300));
  EXPECT_TRUE(cache.find(key, 19));
  EXPECT_FALSE(cache.find(key, 20));
}

TEST(Cache, CountsTtlsDown) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  const Message message{.answer = {Record{.ttl = 300}, Record{.ttl = 70000}}};
  ASSERT_TRUE(cache.insert(key, message, 50, 300));
  const Message aged{.answer = {Record{.ttl = 300 - 299}, Record{.ttl = 70000 - 299}}};
  EXPECT_EQ(cache.find(key, 349), body_of(aged));
  EXPECT_EQ(cache.find(key, 50), body_of(message));
}

// Whether a hit at second `now` says that the answer is to be asked for again; notes that it was.
bool is_due(TestCache& cache, const Key& key, std::uint32_t now) {
  CacheHit hit;
  EXPECT_TRUE(cache->find(*key, now, hit));
  const Cache::Due due = cache->take_due();
  if (due.entry == nullptr) return false;
  due.entry->note_refetch();
  return true;
}

TEST(Cache, TellsWhichHitOfAHotAnswerIsToRenewIt) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, answer_for("www.onprem.corp", 3200), 1000, 3200));
  EXPECT_FALSE(is_due(cache, key, 1000 + 3000)) << "the first hit since it came";
  EXPECT_FALSE(is_due(cache, key, 1000 + 2799));
  EXPECT_TRUE(is_due(cache, key, 1000 + 2800)) << "an eighth is left";
  EXPECT_FALSE(is_due(cache, key, 1000 + 2999));
  EXPECT_TRUE(is_due(cache, key, 1000 + 3000)) << "a sixteenth";
  EXPECT_FALSE(is_due(cache, key, 1000 + 3099));
  EXPECT_TRUE(is_due(cache, key, 1000 + 3100)) << "a thirty-second";
  EXPECT_FALSE(is_due(cache, key, 1000 + 3199)) << "three times are enough";
  EXPECT_FALSE(cache.find(key, 1000 + 3200));
}

TEST(Cache, AsksForAnAnswerOnceAlsoWhereItMovesMeanwhile) {
  TestCache cache(1 << 16);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, answer_for("www.onprem.corp", 3200), 0, 3200));
  ASSERT_FALSE(is_due(cache, key, 2900));
  ASSERT_TRUE(is_due(cache, key, 2900));
  // Others push it out of the small ring, into the main one.
  for (unsigned i = 0; i < 100; ++i) {
    const std::string name = "host" + std::to_string(i) + ".onprem.corp";
    cache.insert(Key(name), answer_for(name), 2900, 300);
  }
  EXPECT_FALSE(is_due(cache, key, 2900)) << "not hit since it moved";
  EXPECT_FALSE(is_due(cache, key, 2900)) << "asked for before it moved";
  EXPECT_TRUE(is_due(cache, key, 3000));
}

TEST(Cache, RenewsNeitherWhatLivesForSecondsNorFailuresNorWhatRulesAnswer) {
  TestCache cache(kMiB);
  const Key brief("brief.corp"), failed("failed.corp"), made("made.corp");
  ASSERT_TRUE(cache.insert(brief, answer_for("brief.corp", 7), 0, 7));
  ASSERT_TRUE(cache.insert(failed, {.name = "failed.corp", .flags = 0x8182, .answer = {}}, 0, 300));
  ASSERT_TRUE(cache->insert_made(*made, {Maker::kRule, 0, 0, 0, {}}, 0, 3600));
  for (unsigned hits = 0; hits < 3; ++hits) {
    EXPECT_FALSE(is_due(cache, brief, 6));
    EXPECT_FALSE(is_due(cache, failed, 299));
    EXPECT_FALSE(is_due(cache, made, 3599));
  }
  const Key longer("longer.corp");
  ASSERT_TRUE(cache.insert(longer, answer_for("longer.corp", 8), 0, 8));
  EXPECT_FALSE(is_due(cache, longer, 7));
  EXPECT_TRUE(is_due(cache, longer, 7));
}

TEST(Cache, CutsTtlsToTheMaximum) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, {.answer = {Record{.ttl = 100000}, Record{.ttl = 50}}}, 0, 50, 600));
  EXPECT_EQ(cache.find(key, 0), body_of({.answer = {Record{.ttl = 600}, Record{.ttl = 50}}}));
}

TEST(Cache, RaisesTtlsToTheMinimumWhereAsked) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  const Message message{.answer = {Record{.ttl = 0}, Record{.ttl = 500}}};
  ASSERT_TRUE(cache.insert(key, message, 0, 60, 86400, true));
  EXPECT_EQ(cache.find(key, 59), body_of({.answer = {Record{.ttl = 1}, Record{.ttl = 441}}}));
  EXPECT_FALSE(cache.find(key, 60));
}

// TTLs at odd and even offsets, as odd RDATA moves them.
TEST(Cache, KnowsTheSumOfTheAgedBodyWithoutReadingIt) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  std::vector<Record> records;
  for (unsigned i = 0; i < 40; ++i) {
    records.push_back(
        {.type = 16, .ttl = 0x10000 * i + 90000, .data = Octets(1 + i % 5, static_cast<std::uint8_t>(i))});
    const Message message{.answer = records};
    ASSERT_TRUE(cache.insert(key, message, 0, 86400));
    for (const std::uint32_t now : {0u, 1u, 255u, 256u, 65535u, 65536u, 86399u}) {
      CacheHit hit;
      ASSERT_TRUE(cache->find(*key, now, hit));
      const Octets body = cache.find(key, now).value();
      EXPECT_EQ(aged_sum(hit) % 0xffff, net::fold(net::add_octets(0, body.data(), body.size())) % 0xffff)
          << i << ' ' << now;
    }
  }
}

TEST(Cache, ANewAnswerReplacesTheOld) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  const Message newer{.answer = {Record{.data = {192, 0, 2, 99}}, Record{}}};
  ASSERT_TRUE(cache.insert(key, {}, 0, 300));
  ASSERT_TRUE(cache.insert(key, newer, 1, 300));
  EXPECT_EQ(cache.find(key, 1), body_of(newer));
  EXPECT_EQ(cache->entries(), 1u);
  EXPECT_TRUE(cache->consistent());
}

TEST(Cache, LeavesTheOptOut) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  const Message message{.additional = {Record{}}, .opt = Message::Opt::kLast};
  ASSERT_TRUE(cache.insert(key, message, 0, 300));
  EXPECT_EQ(cache.find(key, 0), body_of(message));
}

TEST(Cache, RefusesWhatItCannotGiveBackRight) {
  TestCache cache(kMiB);
  const Key key("www.onprem.corp");
  EXPECT_FALSE(cache.insert(key, {.additional = {Record{}}, .opt = Message::Opt::kFirst}, 0, 300))
      << "pointers behind the OPT may cross it";
  EXPECT_FALSE(cache.insert(key, {.flags = 0x8380}, 0, 300)) << "truncated";
  EXPECT_FALSE(cache.insert(key, {.opt = Message::Opt::kLast, .extended_rcode = 1}, 0, 300))
      << "extended RCODE";
  EXPECT_FALSE(cache.insert(Key("longer.onprem.corp"), {}, 0, 300)) << "answer to another question";
  EXPECT_FALSE(cache.insert(key, {.answer = std::vector<Record>(dns::kMaxTtls + 1, {.data = {}})}, 0, 300))
      << "more TTLs than are listed";
  EXPECT_FALSE(cache.insert(key, {.answer = {Record{.type = 16, .data = Octets(1410)}}}, 0, 300)) << "large";
  EXPECT_EQ(cache->entries(), 0u);
}

TEST(Cache, RefusesOffsetsThatLieElsewhere) {
  TestCache cache(16 * kMiB);
  const Key key("www.onprem.corp");
  const auto good = testing::parse(Message{});
  const auto stores = [&](const dns::Reply& reply) {
    return cache->insert(*key, good.wire, reply, 0, 300, 86400, false);
  };
  ASSERT_TRUE(stores(good.reply));
  dns::Reply bad = good.reply;
  bad.ttl_offset[0] = static_cast<std::uint16_t>(bad.body_end - 3);
  EXPECT_FALSE(stores(bad));
  bad = good.reply;
  bad.ttl_offset[0] = 11;
  EXPECT_FALSE(stores(bad));
  bad = good.reply;
  bad.body_end = static_cast<std::uint16_t>(good.wire.size() + 1);
  EXPECT_FALSE(stores(bad));
  bad = good.reply;
  bad.ttl_count = 0;
  bad.body_end = 12;
  EXPECT_FALSE(stores(bad));
  bad = good.reply;
  bad.edns.present = true;
  EXPECT_FALSE(stores(bad)) << "an OPT that the header doesn't count";
}

TEST(Cache, RefusesWhatTheSmallRingCannotHold) {
  TestCache cache(4096);
  EXPECT_FALSE(
      cache.insert(Key("www.onprem.corp"), {.answer = {Record{.type = 16, .data = Octets(100)}}}, 0, 300));
  TestCache larger(65536);
  EXPECT_TRUE(
      larger.insert(Key("www.onprem.corp"), {.answer = {Record{.type = 16, .data = Octets(1000)}}}, 0, 300));
}

TEST(Cache, ManyOriginsMayAnswerOneName) {
  TestCache cache(kMiB);
  for (Origin origin = 0; origin < 200; ++origin) {
    ASSERT_TRUE(cache.insert(Key("www.onprem.corp", 1, origin), {}, 0, 300));
    ASSERT_TRUE(cache->consistent());
  }
  EXPECT_EQ(cache->entries(), 40u) << "four buckets of ten";
  EXPECT_TRUE(cache.find(Key("www.onprem.corp", 1, 199), 0)) << "the newest is never the one that goes";
}

TEST(Cache, FlushForgetsEverything) {
  TestCache cache(kMiB);
  for (unsigned i = 0; i < 500; ++i)
    ASSERT_TRUE(cache.insert(Key(host(i)), answer_for(host(i)), 0, 300));
  EXPECT_EQ(cache->flush(), 500u);
  EXPECT_EQ(cache->entries(), 0u);
  EXPECT_EQ(cache->octets(), 0u);
  for (unsigned i = 0; i < 500; ++i)
    EXPECT_FALSE(cache.find(Key(host(i)), 0));
  EXPECT_TRUE(cache->consistent());
  EXPECT_TRUE(cache.insert(Key(host(1)), answer_for(host(1)), 0, 300));
  EXPECT_TRUE(cache.find(Key(host(1)), 0));
}

TEST(Cache, FlushOfASuffixKeepsToLabels) {
  TestCache cache(kMiB);
  const std::vector<std::string> below = {"onprem.corp", "www.onprem.corp", "a.b.c.onprem.corp"};
  const std::vector<std::string> beside = {"notonprem.corp", "corp", "onprem.corp.example", "."};
  for (const auto& list : {below, beside}) {
    for (const std::string& name : list)
      ASSERT_TRUE(cache.insert(Key(name), answer_for(name), 0, 300));
  }
  EXPECT_EQ(cache->flush(Key("onprem.corp").name()), below.size());
  for (const std::string& name : below)
    EXPECT_FALSE(cache.find(Key(name), 0)) << name;
  for (const std::string& name : beside)
    EXPECT_TRUE(cache.find(Key(name), 0)) << name;
  EXPECT_TRUE(cache->consistent());
  EXPECT_EQ(cache->flush(Key(".").name()), beside.size());
  EXPECT_EQ(cache->entries(), 0u);
}

TEST(CacheStale, AnExpiredAnswerIsFoundForAWhile) {
  TestCache cache(1 << 16);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, {}, 100, 300));
  CacheHit hit;
  EXPECT_FALSE(cache->find_stale(*key, 399, 1000, hit)) << "it is fresh still";
  EXPECT_FALSE(cache.find(key, 400));
  ASSERT_TRUE(cache->find_stale(*key, 400, 1000, hit));
  EXPECT_TRUE(cache->find_stale(*key, 1399, 1000, hit));
  EXPECT_FALSE(cache->find_stale(*key, 1400, 1000, hit));
  EXPECT_FALSE(cache->find_stale(*key, 400, 0, hit));
  EXPECT_FALSE(cache->find_stale(*Key("www.onprem.corp", 1, 2), 400, 1000, hit)) << "another origin's";
  Octets body(hit.body_length);
  copy_stale(hit, body.data(), 30);
  EXPECT_EQ(body, body_of({.answer = {Record{.ttl = 30}}}));
}

TEST(CacheStale, FailuresAreNotedBesideTheAnswer) {
  TestCache cache(1 << 16);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, {}, 100, 300));
  EXPECT_FALSE(cache->has_failed(*key, 500));
  cache->note_failure(*key, 500, 5);
  EXPECT_TRUE(cache->has_failed(*key, 504));
  EXPECT_FALSE(cache->has_failed(*key, 505));
  EXPECT_FALSE(cache->has_failed(*Key("www.onprem.corp", 28), 500));
  CacheHit hit;
  EXPECT_TRUE(cache->find_stale(*key, 504, 1000, hit));
  EXPECT_FALSE(cache.find(key, 504)) << "the note is no answer";
  EXPECT_TRUE(cache->consistent());
}

TEST(CacheStale, AServfailIsNoStaleAnswer) {
  TestCache cache(1 << 16);
  const Key key("www.onprem.corp");
  ASSERT_TRUE(cache.insert(key, {.flags = 0x8182, .answer = {}}, 100, 5));
  CacheHit hit;
  EXPECT_FALSE(cache->find_stale(*key, 110, 1000, hit));
}

}  // namespace
}  // namespace shunt::state
