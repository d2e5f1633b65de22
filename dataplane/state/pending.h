// Queries that wait: for an upstream's answer, or for the control plane's decision. One worker's; no locks,
// no allocation after start.
//
// A slot is one question in flight, with every client that asked it (waiters): none at first where a cached
// answer is asked for again before it expires. It is found in three ways:
//   by source port and id   an upstream's answer: one bucket, no search. Port and id are drawn from a
//   cryptographic generator until
//                           their keyed hash names a free bucket (twice as many as there can be tries), so
//                           the index costs no entropy
//   by question             an equal question joins the slot instead of being sent again
//   by deadline             a timing wheel
// A second try draws a pair of its own; the first stays valid until the slot ends, so that a slow answer
// still counts.
#pragma once

#include <array>
#include <cassert>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/address.h"
#include "dataplane/base/limits.h"
#include "dataplane/base/octets.h"
#include "dataplane/base/prefetch.h"
#include "dataplane/base/random.h"
#include "dataplane/dns/name.h"
#include "dataplane/dns/query.h"
#include "dataplane/state/slot.h"
#include "dataplane/state/source_ports.h"

namespace shunt::state {

/// What makes questions equal, and where an answer is cached.
struct QuestionKey {
  const dns::Name* name;
  std::uint64_t hash;
  std::uint32_t upstream;
  Origin origin;
  Routing routing;  ///< that led to the origin; not part of what makes equal
  std::uint16_t type, klass;
  std::uint8_t flags;
  FigureNumber figure;       ///< of the rule; not part of what makes equal
  std::uint32_t bucket = 0;  ///< from Pending::equal_bucket(): where equal ones are looked for
};

class Pending {
 public:
  /// Octets that `slots` (a power of two) take.
  static std::size_t memory_octets(std::uint32_t slots);

  /// `memory`, aligned to a cache line and zeroed, is the caller's and outlives this.
  Pending(std::span<std::byte> memory, std::uint32_t slots, SourcePorts ports, Random& random);

  /// For QuestionKey::bucket, from what else is in it.
  std::uint32_t equal_bucket(std::uint64_t hash, Origin origin) const {
    return static_cast<std::uint32_t>(dns::mix(hash ^ origin, secret_a_)) & equal_mask_;
  }
  /// The slot that waits for an equal question, or null.
  Slot* find_equal(const QuestionKey& key);
  /// A fresh slot without waiters, or null when all are taken. `shared` puts it in the index of questions.
  Slot* open(const QuestionKey& key, bool shared);
  /// A fresh waiter at the end of the slot's list, or null when all are taken.
  Waiter* add_waiter(Slot& slot);
  /// Takes the slot out of the index of questions: nobody joins any more, and its answer isn't cached.
  void unshare(Slot& slot);
  /// The question goes to another upstream, as if it had never been sent: late answers to it are nobody's,
  /// the control plane's among them.
  void redirect(Slot& slot, std::uint32_t upstream, Origin origin);
  /// Draws source port and id for a further try and enters them; null where tries or ports are used up.
  /// The caller fills in target, source and time.
  Try* begin_try(Slot& slot, std::uint16_t first_port, std::uint16_t last_port);
  /// For a burst of answers, in steps, so that loads are under way together: the pair's bucket, then its
  /// slot, then the slot's first waiter. The bucket is found once, what is in it asked again.
  std::uint32_t prefetch_pair(std::uint16_t port, std::uint16_t id) const {
    const std::uint32_t bucket = bucket_of(port, id);
    prefetch(&pairs_[bucket]);
    return bucket;
  }
  /// The slot whose try has this port and id, whose bucket that is, and which; null where there is none. A
  /// forgery that names no pair touches one cache line.
  Slot* find(std::uint32_t bucket, std::uint16_t port, std::uint16_t id, unsigned& which) {
    const Pair& pair = pairs_[bucket];
    if (pair.attempt == kNone || pair.port != port || pair.id != id) return nullptr;
    which = pair.attempt % kMaxTries;
    return &slots_[pair.attempt / kMaxTries];
  }
  /// What a question with one try and a short name needs of its slot.
  static void prefetch_slot(const Slot& slot) {
    prefetch(&slot);
    prefetch(&slot.attempt[0]);
    prefetch(reinterpret_cast<const std::byte*>(&slot.attempt[0]) + sizeof(Try) - 1);
    prefetch(&slot.name);
  }
  void prefetch_waiter(const Slot& slot) const {
    if (slot.waiters == kNone) return;
    if (slot.shared) prefetch(&equals_[slot.equal_bucket]);
    prefetch(&waiters_[slot.waiters]);
    prefetch(reinterpret_cast<const std::byte*>(&waiters_[slot.waiters]) + kCacheLine);
  }
  /// For a burst of questions: where an equal one would be found, and what the `ahead`-th open() from now
  /// will take.
  void prefetch_equal(const QuestionKey& key) const { prefetch(&equals_[key.bucket]); }
  void prefetch_free(unsigned ahead) const;
  /// Draws pairs for the next `count` (at most kBurst) calls of begin_try() with that range, and starts
  /// loading their buckets.
  void draw_ahead(unsigned count, std::uint16_t first_port, std::uint16_t last_port);
  Slot* slot(std::uint32_t index) { return index < slots_.size() ? &slots_[index] : nullptr; }
  Waiter* waiter(std::uint32_t index) { return index == kNone ? nullptr : &waiters_[index]; }

  /// (Re)sets the slot's deadline, at most kMaxWaitMs ahead.
  void arm(Slot& slot, std::uint64_t due_us);
  /// Slots whose deadline has passed by `now_us`, taken off the wheel; returns how many were written to
  /// `out`. Call again while it fills `out`.
  unsigned expired(std::uint64_t now_us, std::span<Slot*> out);

  /// Ends the slot: frees its waiters, pairs and deadline. `held` is the caller's to free before.
  void close(Slot& slot);

  std::uint32_t open_slots() const { return open_; }
  bool half_full() const { return open_ >= slots_.size() / 2; }
  /// Waiters over UDP and streams: queries in the counters' sense. The caller sets a new waiter's transport
  /// through count().
  std::uint64_t waiting() const { return waiting_; }
  /// Where a client's queries are counted; starts loading it.
  std::uint16_t prefetch_client(const IpAddress& client) const {
    const std::uint32_t bucket = client_bucket(client);
    prefetch(&client_load_[bucket]);
    return static_cast<std::uint16_t>(bucket);
  }
  /// Tells that a waiter's transport is set, and its client's bucket: from now on it counts.
  void count(Waiter& waiter, std::uint16_t client_bucket) {
    if (!is_query(waiter.transport)) return;
    waiter.load_bucket = client_bucket;
    ++waiting_;
    ++client_load_[waiter.load_bucket];
  }

  /// Queries in flight of a client (by its bucket), of an upstream. Clients share 16,384 counters by hash:
  /// one may be charged for another's, which only matters for who is that close to the limit.
  std::uint32_t client_load(std::uint16_t bucket) const { return client_load_[bucket]; }
  std::uint32_t upstream_load(std::uint32_t handle) const { return upstream_load_[handle & kLoadMask]; }

 private:
  /// A bucket of the index by port and id. It holds both, so that a wrong one is told without its slot.
  struct Pair {
    std::uint32_t attempt = kNone;  ///< slot * kMaxTries + try
    std::uint16_t port = 0, id = 0;
  };
  /// A pair that was drawn and not entered yet; port 0: there is none to draw.
  struct Draw {
    std::uint32_t bucket;
    std::uint16_t port, id;
  };
  static constexpr unsigned kMaxDraws = 64;  // at half load a draw fails every second time: 2^-64
  static constexpr std::uint32_t kLoads = 16384, kLoadMask = kLoads - 1;
  static constexpr std::uint64_t kSpokeUs = 4096;  // a spoke of the wheel spans about 4 ms
  static constexpr std::uint32_t kSpokes = 2048;   // 8.4 s: more than kMaxWaitMs

  std::uint32_t bucket_of(std::uint16_t port, std::uint16_t id) const;
  Draw draw(std::uint16_t first_port, std::uint16_t last_port);
  std::uint32_t client_bucket(const IpAddress& client) const;
  void disarm(Slot& slot);
  void link_equal(Slot& slot, std::uint32_t bucket);
  void free_tries(Slot& slot);

  std::span<Slot> slots_;
  std::span<Waiter> waiters_;
  std::span<std::uint32_t> free_slots_, free_waiters_;  // stacks
  std::span<Pair> pairs_;                               // port and id -> try
  std::span<std::uint32_t> equals_;                     // question -> first slot
  std::span<std::uint32_t> spokes_;                     // deadline -> first slot
  std::span<std::uint32_t> client_load_, upstream_load_;
  std::uint32_t free_slot_count_ = 0, free_waiter_count_ = 0, open_ = 0;
  std::uint32_t pair_mask_ = 0, equal_mask_ = 0;
  std::uint64_t waiting_ = 0;
  std::array<Draw, kBurst> drawn_;
  unsigned drawn_count_ = 0;
  std::uint16_t drawn_first_ = 0, drawn_last_ = 0;  // the range that they were drawn from
  std::uint64_t turned_ = 0;                        // spokes passed so far
  std::uint64_t secret_a_, secret_b_;
  SourcePorts ports_;
  Random& random_;
};

inline std::uint32_t Pending::bucket_of(std::uint16_t port, std::uint16_t id) const {
  const std::uint64_t pair = std::uint64_t{port} << 16 | id;
  return static_cast<std::uint32_t>(dns::mix(pair ^ secret_b_, secret_a_)) & pair_mask_;
}

inline std::uint32_t Pending::client_bucket(const IpAddress& client) const {
  const std::uint64_t high = load_le64(client.octets.data()), low = load_le64(client.octets.data() + 8);
  return static_cast<std::uint32_t>(dns::mix(high ^ secret_a_, low ^ secret_b_)) & kLoadMask;
}

inline Slot* Pending::find_equal(const QuestionKey& key) {
  for (std::uint32_t i = equals_[key.bucket]; i != kNone; i = slots_[i].next_equal) {
    Slot& s = slots_[i];
    if (s.hash == key.hash && s.origin == key.origin && s.upstream == key.upstream && s.type == key.type &&
        s.klass == key.klass && s.flags == key.flags && s.name_length == key.name->length &&
        equal_octets(s.name.data(), key.name->wire.data(), s.name_length)) {
      return &s;
    }
  }
  return nullptr;
}

inline Waiter* Pending::add_waiter(Slot& slot) {
  if (free_waiter_count_ == 0) return nullptr;
  const std::uint32_t index = free_waiters_[--free_waiter_count_];
  Waiter& w = waiters_[index];
  w.next = slot.waiters;
  slot.waiters = index;
  return &w;
}

inline void Pending::unshare(Slot& slot) {
  if (!slot.shared) return;
  slot.shared = false;
  const std::uint32_t index = slot.index;
  std::uint32_t* link = &equals_[slot.equal_bucket];
  while (*link != index)
    link = &slots_[*link].next_equal;
  *link = slot.next_equal;
}

inline void Pending::link_equal(Slot& slot, std::uint32_t bucket) {
  slot.equal_bucket = bucket;
  std::uint32_t& head = equals_[bucket];
  slot.next_equal = head;
  head = slot.index;
}

inline void Pending::free_tries(Slot& slot) {
  for (unsigned i = 0; i < slot.tries; ++i)
    pairs_[slot.attempt[i].bucket].attempt = kNone;
  slot.tries = 0;
}

inline Try* Pending::begin_try(Slot& slot, std::uint16_t first_port, std::uint16_t last_port) {
  if (slot.tries == kMaxTries) return nullptr;
  for (unsigned n = 0; n < kMaxDraws; ++n) {
    const bool ahead = drawn_count_ != 0 && first_port == drawn_first_ && last_port == drawn_last_;
    const Draw d = ahead ? drawn_[--drawn_count_] : draw(first_port, last_port);
    if (d.port == 0) return nullptr;
    if (pairs_[d.bucket].attempt != kNone) continue;
    pairs_[d.bucket] = {slot.index * kMaxTries + slot.tries, d.port, d.id};
    Try& t = slot.attempt[slot.tries++];
    t.bucket = d.bucket;
    t.id = d.id;
    t.port = d.port;
    return &t;
  }
  return nullptr;
}

inline Slot* Pending::open(const QuestionKey& key, bool shared) {
  if (free_slot_count_ == 0) return nullptr;
  const std::uint32_t index = free_slots_[--free_slot_count_];
  ++open_;
  Slot& s = slots_[index];
  s.waiting = Waiting::kForControl;
  s.tries = 0;
  s.flags = key.flags;
  s.shared = shared;
  s.miss = false;
  s.zone = false;
  s.in_flight = false;
  s.name_length = key.name->length;
  s.type = key.type;
  s.klass = key.klass;
  ++s.serial;
  s.upstream = key.upstream;
  s.origin = key.origin;
  s.routing = key.routing;
  s.figure = key.figure;
  s.waiters = kNone;
  s.spoke = kNone;
  s.fallback = kNone;
  s.hash = key.hash;
  s.give_up_us = 0;
  s.held = nullptr;
  for (unsigned i = 0; i < s.name_length; i += 16)
    std::memcpy(&s.name[i], &key.name->wire[i], 16);
  if (shared) link_equal(s, key.bucket);
  ++upstream_load_[s.upstream & kLoadMask];
  return &s;
}

inline void Pending::arm(Slot& slot, std::uint64_t due_us) {
  disarm(slot);
  std::uint64_t turn = due_us / kSpokeUs + 1;  // the spoke is due when its whole span has passed
  if (turn <= turned_) turn = turned_ + 1;
  if (turn >= turned_ + kSpokes) turn = turned_ + kSpokes - 1;
  const std::uint32_t index = slot.index;
  slot.spoke = static_cast<std::uint32_t>(turn % kSpokes);
  slot.previous_due = kNone;
  slot.next_due = spokes_[slot.spoke];
  if (slot.next_due != kNone) slots_[slot.next_due].previous_due = index;
  spokes_[slot.spoke] = index;
}

inline void Pending::disarm(Slot& slot) {
  if (slot.spoke == kNone) return;
  if (slot.next_due != kNone) slots_[slot.next_due].previous_due = slot.previous_due;
  if (slot.previous_due != kNone) {
    slots_[slot.previous_due].next_due = slot.next_due;
  } else {
    spokes_[slot.spoke] = slot.next_due;
  }
  slot.spoke = kNone;
}

inline void Pending::close(Slot& slot) {
  assert(slot.waiting != Waiting::kFree);
  unshare(slot);
  disarm(slot);
  free_tries(slot);
  for (std::uint32_t i = slot.waiters; i != kNone;) {
    Waiter& w = waiters_[i];
    if (is_query(w.transport)) {
      --waiting_;
      --client_load_[w.load_bucket];
    }
    free_waiters_[free_waiter_count_++] = i;
    i = w.next;
  }
  --upstream_load_[slot.upstream & kLoadMask];
  slot.waiting = Waiting::kFree;
  slot.waiters = kNone;
  free_slots_[free_slot_count_++] = slot.index;
  --open_;
}

}  // namespace shunt::state
