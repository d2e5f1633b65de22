// Answers in wire format, parsed as the worker parses them, and a cache over memory of exactly the size asked
// for.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/dns/name.h"
#include "dataplane/dns/reply.h"
#include "dataplane/state/cache.h"

namespace shunt::state::testing {

using Octets = std::vector<std::uint8_t>;

/// A record whose owner is the question's name (a pointer to it).
struct Record {
  std::uint16_t type = 1;
  std::uint32_t ttl = 300;
  Octets data = {192, 0, 2, 1};
};

struct Message {
  std::string name = "www.onprem.corp";
  std::uint16_t type = 1;
  std::uint16_t flags = 0x8180;
  std::vector<Record> answer = {Record{}};
  std::vector<Record> authority;
  std::vector<Record> additional;
  enum class Opt { kNone, kLast, kFirst } opt = Opt::kNone;  ///< where in the additional section
  std::uint8_t extended_rcode = 0;
};

/// A message and what parse_reply() makes of it; fails the process where it isn't good.
struct ParsedMessage {
  Octets wire;
  dns::Reply reply;
};
ParsedMessage parse(const Message& message);
/// The sections behind the question, OPT left out: what a cache is to give back.
Octets body_of(const Message& message);

/// A key for `name`, which it owns.
class Key {
 public:
  explicit Key(const std::string& name, std::uint16_t type = 1, Origin origin = 1, std::uint8_t flags = 1,
               Routing routing = 1);
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  const CacheKey& operator*() const { return key_; }
  const dns::Name& name() const { return name_; }

 private:
  dns::Name name_;
  CacheKey key_;
};

/// A cache in memory from the heap, so that the sanitizer sees what it touches beside it.
class TestCache {
 public:
  explicit TestCache(std::size_t octets) : memory_(allocate(octets)), cache_({memory_.get(), octets}) {}
  Cache* operator->() { return &cache_; }

  bool insert(const Key& key, const Message& message, std::uint32_t now, std::uint32_t seconds,
              std::uint32_t max_ttl = 86400, bool raise_ttls = false) {
    const ParsedMessage parsed = parse(message);
    return cache_.insert(*key, parsed.wire, parsed.reply, now, seconds, max_ttl, raise_ttls);
  }
  /// The body as a client gets it, or nothing.
  std::optional<Octets> find(const Key& key, std::uint32_t now) {
    CacheHit hit;
    if (!cache_.find(*key, now, hit)) return std::nullopt;
    Octets body(hit.body_length);
    copy_aged(hit, body.data(), body.size());
    return body;
  }

 private:
  static std::byte* allocate(std::size_t octets) {
    void* memory = nullptr;
    if (posix_memalign(&memory, kCacheLine, octets) != 0) std::abort();
    return static_cast<std::byte*>(memory);
  }
  struct Free {
    void operator()(std::byte* memory) const { std::free(memory); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  Cache cache_;
};

}  // namespace shunt::state::testing
