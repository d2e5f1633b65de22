#include "dataplane/state/pending.h"

#include <cassert>
#include <cstring>
#include <new>

namespace shunt::state {
namespace {

// Clients per slot vary: half as many waiters again as slots, so that a popular name doesn't starve the
// others.
std::uint32_t waiters_for(std::uint32_t slots) {
  return slots + slots / 2;
}

constexpr std::size_t round_up(std::size_t octets) {
  return (octets + kCacheLine - 1) / kCacheLine * kCacheLine;
}

// Deals the caller's memory out, in cache lines.
class Dealer {
 public:
  explicit Dealer(std::byte* at) : at_(at) {}
  template <typename T>
  std::span<T> take(std::size_t count) {
    T* first = reinterpret_cast<T*>(at_);
    for (std::size_t i = 0; i < count; ++i)
      new (first + i) T{};
    at_ += round_up(count * sizeof(T));
    return {first, count};
  }
  std::byte* at() const { return at_; }

 private:
  std::byte* at_;
};

// What a question with one try and a short name needs of its slot.
void prefetch_lines(const Slot& slot) {
  prefetch(&slot);
  prefetch(&slot.attempt[0]);
  prefetch(reinterpret_cast<const std::byte*>(&slot.attempt[0]) + sizeof(Try) - 1);
  prefetch(&slot.name);
}

constexpr unsigned kMaxDraws = 64;  // at half load a draw fails every second time: 2^-64

}  // namespace

std::size_t Pending::memory_octets(std::uint32_t slots) {
  const std::size_t waiters = waiters_for(slots);
  return round_up(slots * sizeof(Slot)) + round_up(waiters * sizeof(Waiter)) + round_up(slots * 4) +
         round_up(waiters * 4) + round_up(std::size_t{slots} * 2 * sizeof(Pair)) +
         round_up(std::size_t{slots} * 2 * 4) + round_up(kSpokes * 4) + round_up(kLoads * 4) * 2;
}

Pending::Pending(std::span<std::byte> memory, std::uint32_t slots, SourcePorts ports, Random& random)
    : ports_(std::move(ports)), random_(random) {
  assert(slots >= 2 && (slots & (slots - 1)) == 0);
  assert(memory.size() >= memory_octets(slots));
  Dealer dealer(memory.data());
  slots_ = dealer.take<Slot>(slots);
  waiters_ = dealer.take<Waiter>(waiters_for(slots));
  free_slots_ = dealer.take<std::uint32_t>(slots);
  free_waiters_ = dealer.take<std::uint32_t>(waiters_.size());
  pairs_ = dealer.take<Pair>(std::size_t{slots} * 2);
  equals_ = dealer.take<std::uint32_t>(std::size_t{slots} * 2);
  spokes_ = dealer.take<std::uint32_t>(kSpokes);
  client_load_ = dealer.take<std::uint32_t>(kLoads);
  upstream_load_ = dealer.take<std::uint32_t>(kLoads);
  pair_mask_ = equal_mask_ = slots * 2 - 1;
  for (auto table : {equals_, spokes_})
    std::fill(table.begin(), table.end(), kNone);
  for (std::uint32_t i = 0; i < slots; ++i)
    free_slots_[i] = slots - 1 - i;
  free_slot_count_ = slots;
  free_waiter_count_ = static_cast<std::uint32_t>(waiters_.size());
  for (std::uint32_t i = 0; i < free_waiter_count_; ++i)
    free_waiters_[i] = free_waiter_count_ - 1 - i;
  secret_a_ = random_.next64() | 1;
  secret_b_ = random_.next64();
}

std::uint32_t Pending::bucket_of(std::uint16_t port, std::uint16_t id) const {
  const std::uint64_t pair = std::uint64_t{port} << 16 | id;
  return static_cast<std::uint32_t>(dns::mix(pair ^ secret_b_, secret_a_)) & pair_mask_;
}

std::uint32_t Pending::client_bucket(const IpAddress& client) const {
  const std::uint64_t high = load_le64(client.octets.data()), low = load_le64(client.octets.data() + 8);
  return static_cast<std::uint32_t>(dns::mix(high ^ secret_a_, low ^ secret_b_)) & kLoadMask;
}

std::uint32_t Pending::equal_bucket(const QuestionKey& key) const {
  return static_cast<std::uint32_t>(dns::mix(key.hash ^ key.origin, secret_a_)) & equal_mask_;
}
std::uint32_t Pending::equal_bucket(const Slot& slot) const {
  return static_cast<std::uint32_t>(dns::mix(slot.hash ^ slot.origin, secret_a_)) & equal_mask_;
}

Slot* Pending::find_equal(const QuestionKey& key) {
  for (std::uint32_t i = equals_[equal_bucket(key)]; i != kNone; i = slots_[i].next_equal) {
    Slot& s = slots_[i];
    if (s.hash == key.hash && s.origin == key.origin && s.upstream == key.upstream && s.type == key.type &&
        s.klass == key.klass && s.flags == key.flags && s.name_length == key.name->length &&
        std::memcmp(s.name.data(), key.name->wire.data(), s.name_length) == 0) {
      return &s;
    }
  }
  return nullptr;
}

Slot* Pending::open(const QuestionKey& key, bool shared) {
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
  s.name_length = key.name->length;
  s.type = key.type;
  s.klass = key.klass;
  ++s.serial;
  s.upstream = key.upstream;
  s.origin = key.origin;
  s.routing = key.routing;
  s.waiters = kNone;
  s.waiter_count = 0;
  s.spoke = kNone;
  s.hash = key.hash;
  s.give_up_us = 0;
  s.held = nullptr;
  std::memcpy(s.name.data(), key.name->wire.data(), s.name_length);
  if (shared) {
    std::uint32_t& head = equals_[equal_bucket(s)];
    s.next_equal = head;
    head = index;
  }
  ++upstream_load_[s.upstream & kLoadMask];
  return &s;
}

Waiter* Pending::add_waiter(Slot& slot) {
  if (free_waiter_count_ == 0) return nullptr;
  const std::uint32_t index = free_waiters_[--free_waiter_count_];
  Waiter& w = waiters_[index];
  w.next = slot.waiters;
  slot.waiters = index;
  ++slot.waiter_count;
  return &w;
}

void Pending::count(const Waiter& waiter) {
  if (!is_query(waiter.transport)) return;
  ++waiting_;
  ++client_load_[client_bucket(waiter.client)];
}

void Pending::unshare(Slot& slot) {
  if (!slot.shared) return;
  slot.shared = false;
  const std::uint32_t index = index_of(slot);
  std::uint32_t* link = &equals_[equal_bucket(slot)];
  while (*link != index)
    link = &slots_[*link].next_equal;
  *link = slot.next_equal;
}

Pending::Draw Pending::draw(std::uint16_t first_port, std::uint16_t last_port) {
  const std::uint16_t port = ports_.draw(random_, first_port, last_port);
  if (port == 0) return {};
  const auto id = static_cast<std::uint16_t>(random_.next32());
  return {bucket_of(port, id), port, id};
}

void Pending::draw_ahead(unsigned count, std::uint16_t first_port, std::uint16_t last_port) {
  if (first_port != drawn_first_ || last_port != drawn_last_) drawn_count_ = 0;
  drawn_first_ = first_port;
  drawn_last_ = last_port;
  while (drawn_count_ < count) {
    const Draw made = draw(first_port, last_port);
    if (made.port == 0) return;
    prefetch(&pairs_[made.bucket]);
    drawn_[drawn_count_++] = made;
  }
}

Try* Pending::begin_try(Slot& slot, std::uint16_t first_port, std::uint16_t last_port) {
  if (slot.tries == kMaxTries) return nullptr;
  for (unsigned n = 0; n < kMaxDraws; ++n) {
    const bool ahead = drawn_count_ != 0 && first_port == drawn_first_ && last_port == drawn_last_;
    const Draw d = ahead ? drawn_[--drawn_count_] : draw(first_port, last_port);
    if (d.port == 0) return nullptr;
    if (pairs_[d.bucket].attempt != kNone) continue;
    pairs_[d.bucket] = {index_of(slot) * kMaxTries + slot.tries, d.port, d.id};
    Try& t = slot.attempt[slot.tries++];
    t.bucket = d.bucket;
    t.id = d.id;
    t.port = d.port;
    return &t;
  }
  return nullptr;
}

Slot* Pending::find(std::uint16_t port, std::uint16_t id, unsigned& which) {
  const Pair& pair = pairs_[bucket_of(port, id)];
  if (pair.attempt == kNone || pair.port != port || pair.id != id) return nullptr;
  which = pair.attempt % kMaxTries;
  return &slots_[pair.attempt / kMaxTries];
}

Slot* Pending::prefetch_slot(std::uint16_t port, std::uint16_t id) {
  unsigned which = 0;
  Slot* const slot = find(port, id, which);
  if (slot == nullptr) return nullptr;
  prefetch_lines(*slot);
  return slot;
}

void Pending::prefetch_free(unsigned ahead) const {
  if (ahead < free_slot_count_) prefetch_lines(slots_[free_slots_[free_slot_count_ - 1 - ahead]]);
  if (ahead >= free_waiter_count_) return;
  const Waiter& waiter = waiters_[free_waiters_[free_waiter_count_ - 1 - ahead]];
  prefetch(&waiter);
  prefetch(reinterpret_cast<const std::byte*>(&waiter) + kCacheLine);
}

void Pending::arm(Slot& slot, std::uint64_t due_us) {
  disarm(slot);
  std::uint64_t turn = due_us / kSpokeUs + 1;  // the spoke is due when its whole span has passed
  if (turn <= turned_) turn = turned_ + 1;
  if (turn >= turned_ + kSpokes) turn = turned_ + kSpokes - 1;
  const std::uint32_t index = index_of(slot);
  slot.spoke = static_cast<std::uint32_t>(turn % kSpokes);
  slot.previous_due = kNone;
  slot.next_due = spokes_[slot.spoke];
  if (slot.next_due != kNone) slots_[slot.next_due].previous_due = index;
  spokes_[slot.spoke] = index;
}

void Pending::disarm(Slot& slot) {
  if (slot.spoke == kNone) return;
  if (slot.next_due != kNone) slots_[slot.next_due].previous_due = slot.previous_due;
  if (slot.previous_due != kNone) {
    slots_[slot.previous_due].next_due = slot.next_due;
  } else {
    spokes_[slot.spoke] = slot.next_due;
  }
  slot.spoke = kNone;
}

unsigned Pending::expired(std::uint64_t now_us, std::span<Slot*> out) {
  const std::uint64_t turn = now_us / kSpokeUs;
  // After a long pause (or at the first call) the whole wheel is due once, not once per missed round.
  if (turn > turned_ + kSpokes) turned_ = turn - kSpokes;
  unsigned n = 0;
  while (turned_ < turn) {
    std::uint32_t& head = spokes_[(turned_ + 1) % kSpokes];
    while (head != kNone) {
      if (n == out.size()) return n;
      Slot& s = slots_[head];
      disarm(s);
      out[n++] = &s;
    }
    ++turned_;
  }
  return n;
}

void Pending::close(Slot& slot) {
  assert(slot.waiting != Waiting::kFree);
  unshare(slot);
  disarm(slot);
  for (unsigned i = 0; i < slot.tries; ++i)
    pairs_[slot.attempt[i].bucket].attempt = kNone;
  for (std::uint32_t i = slot.waiters; i != kNone;) {
    Waiter& w = waiters_[i];
    if (is_query(w.transport)) {
      --waiting_;
      --client_load_[client_bucket(w.client)];
    }
    free_waiters_[free_waiter_count_++] = i;
    i = w.next;
  }
  --upstream_load_[slot.upstream & kLoadMask];
  slot.waiting = Waiting::kFree;
  slot.waiters = kNone;
  free_slots_[free_slot_count_++] = index_of(slot);
  --open_;
}

}  // namespace shunt::state
