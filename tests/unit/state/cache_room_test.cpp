// What the cache keeps when there is more than it can hold.
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <random>
#include <string>

#include "tests/unit/state/cache_fixture.h"

namespace shunt::state {
namespace {

using testing::Key;
using testing::Message;
using testing::Octets;
using testing::Record;
using testing::TestCache;

std::string host(unsigned i) {
  return "host" + std::to_string(i) + ".onprem.corp";
}
Message answer_for(const std::string& name, std::uint32_t ttl = 300) {
  return {.name = name, .answer = {Record{.ttl = ttl}}};
}

// How many answers of one record are held when nothing was ever asked twice.
std::size_t capacity(std::size_t octets) {
  TestCache cache(octets);
  for (unsigned i = 0; cache->evictions() == 0; ++i)
    cache.insert(Key(host(i)), answer_for(host(i)), 0, 300);
  return cache->entries();
}

TEST(CacheRoom, AnAnswerOfOneRecordTakesAtMost256Octets) {
  constexpr std::size_t kMemory = 4 << 20;
  const std::size_t held = capacity(kMemory);
  RecordProperty("octets_per_entry", static_cast<int>(kMemory / held));
  EXPECT_LE(kMemory / held, 256u);
}

TEST(CacheRoom, WhatIsUnusedServesNamesAskedOnce) {
  constexpr std::size_t kMemory = 1 << 20;
  TestCache cache(kMemory);
  const auto held = static_cast<unsigned>(capacity(kMemory) * 9 / 10);
  for (unsigned i = 0; i < held; ++i)
    cache.insert(Key(host(i)), answer_for(host(i)), 0, 300);
  for (unsigned i = 0; i < held; ++i)
    EXPECT_TRUE(cache.find(Key(host(i)), 0)) << i;
}

TEST(CacheRoom, AFloodOfUniqueNamesLeavesTheHotSet) {
  constexpr std::size_t kMemory = 1 << 20;
  const auto total = static_cast<unsigned>(capacity(kMemory));
  const unsigned hot = total / 4;
  TestCache cache(kMemory);
  std::deque<Key> hot_keys;
  for (unsigned i = 0; i < hot; ++i)
    hot_keys.emplace_back("hot" + std::to_string(i) + ".onprem.corp");
  std::mt19937 random(1);
  std::size_t asked = 0, found = 0;
  const auto ask_a_hot_one = [&] {
    const unsigned i = static_cast<unsigned>(random() % hot);
    ++asked;
    if (cache.find(hot_keys[i], 0)) {
      ++found;
    } else {
      const std::string name = "hot" + std::to_string(i) + ".onprem.corp";
      cache.insert(hot_keys[i], answer_for(name), 0, 300);
    }
  };
  for (unsigned i = 0; i < 10 * hot; ++i)
    ask_a_hot_one();
  asked = found = 0;
  for (unsigned i = 0; i < 10 * total; ++i) {
    cache.insert(Key(host(i)), answer_for(host(i)), 0, 300);
    ask_a_hot_one();
  }
  const double share = static_cast<double>(found) / static_cast<double>(asked);
  RecordProperty("hit_share_percent", static_cast<int>(100 * share));
  EXPECT_GE(share, 0.95);
  EXPECT_TRUE(cache->consistent());
}

// A hundred names among a flood that never stops.
class CacheStanding : public ::testing::Test {
 protected:
  static constexpr std::size_t kMemory = 1 << 20;
  static constexpr unsigned kNames = 100;

  CacheStanding() : cache_(kMemory), total_(static_cast<unsigned>(capacity(kMemory))) {
    for (unsigned i = 0; i < kNames; ++i)
      keys_.emplace_back(name(i));
  }
  static std::string name(unsigned i) { return "name" + std::to_string(i) + ".onprem.corp"; }
  void flood(unsigned names, std::uint32_t now) {
    for (; names != 0; --names, ++flooded_)
      cache_.insert(Key(host(flooded_)), answer_for(host(flooded_)), now, 300);
  }
  void insert_all(std::uint32_t now, std::uint32_t seconds) {
    for (unsigned i = 0; i < kNames; ++i)
      cache_.insert(keys_[i], answer_for(name(i)), now, seconds);
  }
  unsigned find_all(std::uint32_t now) {
    unsigned found = 0;
    for (const Key& key : keys_)
      found += cache_.find(key, now) ? 1u : 0u;
    return found;
  }

  TestCache cache_;
  const unsigned total_;
  unsigned flooded_ = 0;
  std::deque<Key> keys_;
};

TEST_F(CacheStanding, ANameThatComesBackAtOnceAfterAFloodEarnsItsPlace) {
  flood(2 * total_, 0);
  insert_all(0, 300);
  flood(total_ / 8, 0);
  ASSERT_EQ(find_all(0), 0u) << "they fell out of the small ring";
  insert_all(0, 300);
  flood(total_ / 2, 0);
  EXPECT_GE(find_all(0), kNames * 8 / 10);
}

TEST_F(CacheStanding, ARenewedAnswerKeepsItsPlace) {
  flood(2 * total_, 0);
  insert_all(0, 60);
  ASSERT_EQ(find_all(0), kNames);
  flood(total_ / 2, 0);
  ASSERT_GE(find_all(0), kNames * 9 / 10);
  EXPECT_EQ(find_all(60), 0u) << "expired";
  insert_all(60, 60);
  flood(total_ / 2, 60);
  EXPECT_GE(find_all(60), kNames * 9 / 10);
}

TEST(CacheRoom, ExpiredAnswersMakeRoomFirst) {
  constexpr std::size_t kMemory = 1 << 20;
  TestCache cache(kMemory);
  const auto total = static_cast<unsigned>(capacity(kMemory));
  for (unsigned i = 0; i < total; ++i)
    cache.insert(Key(host(i)), answer_for(host(i), 10), 0, 10);
  ASSERT_EQ(cache->evictions(), 0u);
  for (unsigned i = total; i < 3 * total / 2; ++i)
    cache.insert(Key(host(i)), answer_for(host(i)), 10, 300);
  // By chance forty answers may crowd around one hash: then one of them goes.
  EXPECT_LE(cache->evictions(), 2u);
  unsigned found = 0;
  for (unsigned i = total; i < 3 * total / 2; ++i)
    found += cache.find(Key(host(i)), 10).has_value();
  EXPECT_GE(found + 2, total / 2);
}

TEST(CacheRoom, AllHotStaysBoundedAndConsistent) {
  TestCache cache(1 << 18);
  const auto total = static_cast<unsigned>(capacity(1 << 18));
  for (unsigned i = 0; i < 5 * total; ++i) {
    const Key key(host(i));
    cache.insert(key, answer_for(host(i)), 0, 300);
    EXPECT_TRUE(cache.find(key, 0));
    for (unsigned back = 1; back < 40 && back <= i; ++back)
      cache.find(Key(host(i - back * 37 % (i + 1))), 0);
    if (i % 997 == 0) {
      ASSERT_TRUE(cache->consistent());
    }
  }
  EXPECT_GE(cache->entries(), total / 2);
}

// Proven answers, each asked twice, stream through the main ring. Those that go on being asked stay; the
// others make room.
TEST(CacheRoom, TheMainRingKeepsWhatIsAskedAgain) {
  constexpr std::size_t kMemory = 1 << 20;
  const auto total = static_cast<unsigned>(capacity(kMemory));
  const unsigned asked = total / 4, idle = total / 4;
  TestCache cache(kMemory);
  const auto name_of = [](const char* kind, unsigned i) { return kind + std::to_string(i) + ".onprem.corp"; };
  const auto prove = [&](const std::string& name) {
    const Key key(name);
    cache.insert(key, answer_for(name), 0, 300);
    cache.find(key, 0);
  };
  for (unsigned i = 0; i < asked; ++i)
    prove(name_of("asked", i));
  for (unsigned i = 0; i < idle; ++i)
    prove(name_of("idle", i));
  unsigned found_asked = 0, found_idle = 0, newest = 0;
  for (unsigned i = 0; i < 4 * total; ++i) {
    prove(name_of("new", i));
    cache.find(Key(name_of("asked", i % asked)), 0);
  }
  for (unsigned i = 0; i < asked; ++i)
    found_asked += cache.find(Key(name_of("asked", i)), 0) ? 1u : 0u;
  for (unsigned i = 0; i < idle; ++i)
    found_idle += cache.find(Key(name_of("idle", i)), 0) ? 1u : 0u;
  for (unsigned i = 0; i < total / 2; ++i) {
    newest += cache.find(Key(name_of("new", 4 * total - 1 - i)), 0) ? 1u : 0u;
  }
  EXPECT_GE(found_asked, asked * 95 / 100);
  EXPECT_LE(found_idle, idle * 5 / 100);
  EXPECT_GE(newest, total / 2 * 95 / 100);
}

struct Expected {
  Octets body;
  std::uint32_t until;
};

// Replays the same operations on a plain map. A cache may forget; what it gives must be what was stored last.
class CacheOracle : public ::testing::TestWithParam<std::size_t> {};

TEST_P(CacheOracle, WhatIsFoundIsWhatWasStoredLast) {
  TestCache cache(GetParam());
  std::map<std::tuple<unsigned, std::uint16_t, Origin>, Expected> known;
  std::mt19937 random(7);
  const auto below = [&random](unsigned bound) { return static_cast<unsigned>(random() % bound); };
  std::uint32_t now = 1000;
  std::size_t found = 0;
  for (unsigned step = 0; step < 60000; ++step) {
    if (below(50) == 0) ++now;
    const unsigned number = below(2) == 0 ? below(50) : below(3000);
    const auto type = static_cast<std::uint16_t>(1 + below(2));
    const Origin origin = below(3);
    const Key key(host(number), type, origin);
    const auto id = std::tuple(number, type, origin);
    if (below(3) == 0) {
      const std::uint32_t ttl = 1 + below(200);
      Message message{.name = host(number), .type = type, .answer = {}};
      for (unsigned records = below(4); records-- != 0;) {
        Octets data(below(20) == 0 ? below(600) : below(20));
        for (std::uint8_t& octet : data)
          octet = static_cast<std::uint8_t>(random());
        message.answer.push_back({.type = 16, .ttl = ttl + below(100), .data = data});
      }
      if (below(2) == 0) message.opt = Message::Opt::kLast;
      // What a failed insertion leaves of the one before is still right: the caller asked for no change.
      if (cache.insert(key, message, now, ttl)) known[id] = {body_of(message), now + ttl};
    } else if (CacheHit hit; cache->find(*key, now, hit)) {
      ++found;
      const auto expected = known.find(id);
      ASSERT_NE(expected, known.end());
      ASSERT_LT(now, expected->second.until);
      ASSERT_EQ(Octets(hit.body, hit.body + hit.body_length), expected->second.body);
      for (unsigned i = 0; i < hit.ttl_count; ++i)
        ASSERT_LE(hit.ttl_offset[i] + 4, hit.body_length);
    }
    if (below(5000) == 0) {
      cache->flush();
      known.clear();
    } else if (below(2000) == 0) {
      cache->flush(Key(host(number)).name());
      std::erase_if(known, [&](const auto& entry) { return std::get<0>(entry.first) == number; });
    }
    if (step % 500 == 0) {
      ASSERT_TRUE(cache->consistent()) << step;
    }
  }
  EXPECT_GT(found, 500u);
}

INSTANTIATE_TEST_SUITE_P(Sizes, CacheOracle, ::testing::Values(8192, 20000, 65536 + 8, 300000, 4 << 20));

}  // namespace
}  // namespace shunt::state
