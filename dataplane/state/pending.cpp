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

// Half of them stay free, also when every slot has made all its tries: then a few draws find one.
constexpr std::size_t pairs_for(std::uint32_t slots) {
  return std::size_t{slots} * kMaxTries * 2;
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

}  // namespace

std::size_t Pending::memory_octets(std::uint32_t slots) {
  const std::size_t waiters = waiters_for(slots);
  return round_up(slots * sizeof(Slot)) + round_up(waiters * sizeof(Waiter)) + round_up(slots * 4) +
         round_up(waiters * 4) + round_up(pairs_for(slots) * sizeof(Pair)) +
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
  pairs_ = dealer.take<Pair>(pairs_for(slots));
  equals_ = dealer.take<std::uint32_t>(std::size_t{slots} * 2);
  spokes_ = dealer.take<std::uint32_t>(kSpokes);
  client_load_ = dealer.take<std::uint32_t>(kLoads);
  upstream_load_ = dealer.take<std::uint32_t>(kLoads);
  pair_mask_ = static_cast<std::uint32_t>(pairs_for(slots) - 1);
  equal_mask_ = slots * 2 - 1;
  for (auto table : {equals_, spokes_})
    std::fill(table.begin(), table.end(), kNone);
  for (std::uint32_t i = 0; i < slots; ++i) {
    slots_[i].index = i;
    free_slots_[i] = slots - 1 - i;
  }
  free_slot_count_ = slots;
  free_waiter_count_ = static_cast<std::uint32_t>(waiters_.size());
  for (std::uint32_t i = 0; i < free_waiter_count_; ++i)
    free_waiters_[i] = free_waiter_count_ - 1 - i;
  secret_a_ = random_.next64() | 1;
  secret_b_ = random_.next64();
}

void Pending::redirect(Slot& slot, std::uint32_t upstream, Origin origin) {
  const bool shared = slot.shared;
  unshare(slot);
  free_tries(slot);
  --upstream_load_[slot.upstream & kLoadMask];
  ++upstream_load_[upstream & kLoadMask];
  ++slot.serial;
  slot.upstream = upstream;
  slot.origin = origin;
  slot.routing = kNoRouting;
  if (!shared) return;
  slot.shared = true;
  link_equal(slot, equal_bucket(slot.hash, origin));
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

void Pending::prefetch_free(unsigned ahead) const {
  if (ahead < free_slot_count_) prefetch_slot(slots_[free_slots_[free_slot_count_ - 1 - ahead]]);
  if (ahead >= free_waiter_count_) return;
  const Waiter& waiter = waiters_[free_waiters_[free_waiter_count_ - 1 - ahead]];
  prefetch(&waiter);
  prefetch(reinterpret_cast<const std::byte*>(&waiter) + kCacheLine);
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

}  // namespace shunt::state
