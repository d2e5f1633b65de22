// What a burst carries from stage to stage.
#pragma once

#include <array>
#include <cstdint>

#include "dataplane/base/limits.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"
#include "dataplane/net/frame.h"
#include "dataplane/rules/trie.h"
#include "dataplane/stages/context.h"

namespace shunt {

/// One query, whatever brought it. Reused from burst to burst: nothing is cleared that a stage doesn't need
/// clear. What every query needs comes first.
struct alignas(kCacheLine) Query {
  rte_mbuf* packet;    ///< owned by the burst until a stage takes it
  std::uint8_t* wire;  ///< the DNS message, inside `packet`
  std::uint16_t length;
  std::uint16_t room;  ///< octets writable at `wire`
  std::uint16_t endpoint;
  std::uint8_t port;  ///< UDP: index of the port it came from
  bool sampled;       ///< drawn to tell the control plane of its rule (RuleSampler), once it is matched
  state::Transport transport;
  std::uint32_t network;
  state::Cache::Place place;  ///< where its answer may be cached
  state::CacheKey key;
  net::FrameView frame;  ///< UDP: where the headers are; streams: the client's address and port only
  /// Of the octets that an answer replaces: the DNS header, and what lies behind the question.
  net::Sum replaced_sum;
  dns::Question question;
  std::uint64_t ticket;
  rules::Match match;
  const rules::RuleSet* set;        ///< that `match` is from; null: a miss
  const state::Upstream* upstream;  ///< who is to answer
  std::uint16_t client_bucket;      ///< Pending's, where it counts; from forward on
};

/// A frame that an upstream sent, to one of our source ports.
struct Answer {
  rte_mbuf* packet;
  net::FrameView frame;
};

/// Hashes of all suffixes of a burst's names, level by level: one level of the burst is four cache lines.
struct SuffixHashes {
  std::array<std::array<std::uint64_t, kBurst>, dns::kMaxLabels + 1> at;
};

struct Burst {
  unsigned queries = 0;  ///< taken by classify or from the orders ring
  unsigned aliases = 0;  ///< of them, the control plane's own
  unsigned answers = 0;
  unsigned live = 0;                       ///< queries that the next stage is to look at
  std::array<std::uint8_t, kBurst> alive;  ///< their indices
  std::array<Query, kBurst> query;
  std::array<Answer, kBurst> answer;
  /// Where answers are taken apart, one after the other: too large to be cleared for each.
  dns::Reply reply;
  dns::Name name;
  SuffixHashes hashes;
};

}  // namespace shunt
