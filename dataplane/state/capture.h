// A capture of the fast path's packets: what is wanted, and the frames on their way to the control plane.
// Made by the control plane, which takes all of its memory, and published with the view; while there is none,
// workers pay for a look at a pointer.
//
// What it costs is bounded. Each worker looks at kLooksPerMs frames in a millisecond at most, which
// is every frame up to a million a second and a sample above that; keeps kKeepsPerMs of them, and as many as
// the ring holds at once; and doesn't wait where it finds no room.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/figures.h"
#include "dataplane/base/record_ring.h"
#include "dataplane/dns/name.h"

namespace shunt::state {

/// Which frames: UDP datagrams from or to the client, and whose question's name is the suffix or below it.
struct CaptureFilter {
  std::optional<IpAddress> client;
  std::optional<dns::Name> suffix;
};

struct CapturedFrame {
  static constexpr std::size_t kMost = 2048;  ///< octets kept of one: all that a packet buffer holds

  std::uint64_t time_us = 0;  ///< the worker's clock
  std::uint16_t length = 0;   ///< of the frame
  std::uint16_t kept = 0;
  std::uint8_t port = 0;  ///< index of the port
  bool sent = false;      ///< by us; else received
  std::array<std::uint8_t, kMost> octets;

  std::span<const std::uint8_t> data() const { return {octets.data(), kept}; }
};

/// From one worker to the control plane.
class CaptureRing : public RecordRing<CapturedFrame, 256> {
 public:
  static constexpr std::uint32_t kLooksPerMs = 1000;
  static constexpr std::uint32_t kKeepsPerMs = 16;  ///< the control plane has other work

  /// By the worker: how many of `count` frames it may look at now. What it may not is counted.
  unsigned may_look(unsigned count, std::uint64_t now_us) {
    if (const std::uint64_t ms = now_us / 1000; ms != looking_ms_) {
      keeps_left_ = static_cast<std::uint32_t>(
          std::min<std::uint64_t>(kSize, keeps_left_ + (ms - looking_ms_) * kKeepsPerMs));
      looking_ms_ = ms;
      looks_left_ = kLooksPerMs;
    }
    const unsigned granted = std::min(count, looks_left_);
    looks_left_ -= granted;
    bump(looked_at_, granted);
    bump(passed_over_, count - granted);
    return granted;
  }
  /// By the worker: keeps the frame, or counts it where there is no room or it would be one too many.
  void push(std::span<const std::uint8_t> frame, std::uint64_t now_us, std::uint8_t port, bool sent) {
    CapturedFrame* const place = keeps_left_ == 0 ? nullptr : next();
    if (place == nullptr) return bump(no_room_);
    --keeps_left_;
    CapturedFrame& f = *place;
    f.time_us = now_us;
    f.length = static_cast<std::uint16_t>(std::min<std::size_t>(frame.size(), UINT16_MAX));
    f.kept = static_cast<std::uint16_t>(std::min(frame.size(), CapturedFrame::kMost));
    f.port = port;
    f.sent = sent;
    std::memcpy(f.octets.data(), frame.data(), f.kept);
    publish();
  }
  /// Frames looked at; those that would have been too many; those that were wanted and found no room.
  std::uint64_t looked_at() const { return looked_at_.load(std::memory_order_relaxed); }
  std::uint64_t passed_over() const { return passed_over_.load(std::memory_order_relaxed); }
  std::uint64_t no_room() const { return no_room_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> looked_at_{0}, passed_over_{0}, no_room_{0};
  std::uint64_t looking_ms_ = 0;
  std::uint32_t looks_left_ = kLooksPerMs, keeps_left_ = kSize;
};

struct Capture {
  Capture(const CaptureFilter& wanted, std::size_t workers) : filter(wanted) {
    for (std::size_t i = 0; i < workers; ++i)
      rings.push_back(std::make_unique<CaptureRing>());
  }

  const CaptureFilter filter;
  std::vector<std::unique_ptr<CaptureRing>> rings;  ///< by worker
};

}  // namespace shunt::state
