// A ring for one producer and one consumer (Lamport), each with a line of its own and a stale copy of the
// other's index, which it reads anew only when the ring seems full or empty.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

#include "dataplane/base/limits.h"

namespace shunt::bench {

class SpscRing {
 public:
  /// `size` is a power of two.
  explicit SpscRing(std::uint32_t size) : slots_(size), mask_(size - 1) {}

  /// As many as fit, up to `count`.
  unsigned enqueue(void* const* items, unsigned count) {
    const std::uint32_t head = producer_.own.load(std::memory_order_relaxed);
    if (room(head) < count) producer_.others = consumer_.own.load(std::memory_order_acquire);
    count = std::min(count, room(head));
    for (unsigned i = 0; i < count; ++i)
      slots_[(head + i) & mask_] = items[i];
    producer_.own.store(head + count, std::memory_order_release);
    return count;
  }
  unsigned dequeue(void** items, unsigned count) {
    const std::uint32_t tail = consumer_.own.load(std::memory_order_relaxed);
    if (consumer_.others - tail < count) consumer_.others = producer_.own.load(std::memory_order_acquire);
    count = std::min(count, consumer_.others - tail);
    for (unsigned i = 0; i < count; ++i)
      items[i] = slots_[(tail + i) & mask_];
    if (count > 0) consumer_.own.store(tail + count, std::memory_order_release);
    return count;
  }

 private:
  struct alignas(2 * kCacheLine) End {
    std::atomic<std::uint32_t> own{0};
    std::uint32_t others = 0;
  };
  std::uint32_t room(std::uint32_t head) const { return mask_ + 1 - (head - producer_.others); }

  End producer_, consumer_;
  std::vector<void*> slots_;
  std::uint32_t mask_;
};

}  // namespace shunt::bench
