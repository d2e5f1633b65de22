// Targets that lead back here: names whose questions a target sends to us again. The control plane finds them
// (control/loop_guard.h) and publishes them in a fixed array; workers don't ask the target for these names.
// Relaxed loads and stores: for a moment a worker may see half of a change, and one question goes the wrong
// way.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dataplane/dns/name.h"

namespace shunt::state {

/// Of one target. Read only where TargetHealth::loops is not 0, or a loop probe comes.
struct TargetLoops {
  static constexpr unsigned kMax = 8;

  /// In the label of a loop probe that is under way: nobody can guess it. 0: there is none.
  std::atomic<std::uint64_t> tag{0};
  struct Entry {
    std::atomic<std::uint64_t> hash{0};   ///< hash_name() of the name; it and all below lead back
    std::atomic<std::uint8_t> labels{0};  ///< of the name, the root not counted
  };
  std::array<Entry, kMax> entries;

  /// Whether the name, lower case and `length` octets long, is one of the first `count` entries' or below;
  /// kNameBuffer octets are readable at it.
  bool cover(const dns::HashKey& key, const std::uint8_t* name, std::size_t length, unsigned count) const {
    std::array<std::uint8_t, dns::kMaxLabels + 1> offset;
    unsigned labels = 0;
    for (std::size_t at = 0; name[at] != 0; at += name[at] + 1u)
      offset[labels++] = static_cast<std::uint8_t>(at);
    offset[labels] = static_cast<std::uint8_t>(length - 1);
    for (unsigned i = 0; i < count && i < kMax; ++i) {
      const unsigned wanted = entries[i].labels.load(std::memory_order_relaxed);
      if (wanted > labels) continue;
      const std::size_t begin = offset[labels - wanted];
      if (dns::hash_name(key, name + begin, length - begin) ==
          entries[i].hash.load(std::memory_order_relaxed))
        return true;
    }
    return false;
  }
};

/// What the control plane asks to learn whether a name leads back: a label of target and tag in hexadecimal
/// digits below the name, type HINFO, which clients hardly ask for.
struct LoopProbe {
  static constexpr std::uint16_t kType = 13;
  static constexpr std::uint8_t kLabel = 20;  ///< 4 digits of the target's id, 16 of the tag

  std::uint32_t target = 0;
  std::uint64_t tag = 0;

  void write_label(std::uint8_t* to) const {
    *to++ = kLabel;
    for (unsigned i = 0; i < kLabel; ++i) {
      const std::uint64_t digit = i < 4 ? target >> (12 - 4 * i) : tag >> (60 - 4 * (i - 4));
      to[i] = static_cast<std::uint8_t>("0123456789abcdef"[digit & 15]);
    }
  }
  /// False where the lower-case name at `name` doesn't begin with such a label.
  bool read_label(const std::uint8_t* name) {
    if (*name++ != kLabel) return false;
    target = 0;
    tag = 0;
    for (unsigned i = 0; i < kLabel; ++i) {
      const std::uint8_t c = name[i];
      const bool digit = c >= '0' && c <= '9';
      if (!digit && (c < 'a' || c > 'f')) return false;
      const std::uint32_t value = digit ? c - unsigned{'0'} : c - unsigned{'a'} + 10;
      if (i < 4) {
        target = target << 4 | value;
      } else {
        tag = tag << 4 | value;
      }
    }
    return true;
  }
};

}  // namespace shunt::state
