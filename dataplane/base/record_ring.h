// A bounded ring of records, filled in place by one thread and read by another, without locks: what a worker
// tells the control plane where no packet carries it.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "dataplane/base/limits.h"

namespace shunt {

template <typename Record, std::size_t kCount>
class RecordRing {
 public:
  static constexpr std::size_t kSize = kCount;

  /// By the writer: the place of the next record, to be filled and published; null where there is no room.
  Record* next() {
    const std::uint64_t head = head_.load(std::memory_order_relaxed);
    return head - tail_.load(std::memory_order_acquire) == kSize ? nullptr : &records_[head % kSize];
  }
  /// By the writer, once what next() gave is filled.
  void publish() { head_.store(head_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }
  /// By the writer: more than half of it is taken.
  bool crowded() const {
    return head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_relaxed) > kSize / 2;
  }
  /// By the reader: calls `take` with each.
  template <typename Take>
  void drain(Take take) {
    std::uint64_t tail = tail_.load(std::memory_order_relaxed);
    for (const std::uint64_t head = head_.load(std::memory_order_acquire); tail != head;) {
      take(records_[tail % kSize]);
      tail_.store(++tail, std::memory_order_release);
    }
  }

 private:
  alignas(kCacheLine) std::atomic<std::uint64_t> head_{0};
  alignas(kCacheLine) std::atomic<std::uint64_t> tail_{0};
  alignas(kCacheLine) std::array<Record, kSize> records_;
};

}  // namespace shunt
