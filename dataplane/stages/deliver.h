// An answer for all who wait for a slot, an upstream's or the control plane's. Inline, because every
// forwarded query pays for it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "dataplane/stages/to_all.h"

namespace shunt {

/// Caches what an upstream answered, or the control plane for it, if it may be.
void store_answer(Context& context, const state::Slot& slot, std::span<const std::uint8_t> message,
                  const dns::Reply& reply);
/// The same for what a zone says: that stays the same until a reload; `joined` with an upstream's answer, it
/// ages as that does.
void store_zone_answer(Context& context, const state::Slot& slot, std::span<const std::uint8_t> message,
                       const dns::Reply& reply, bool joined);
/// What the one client that sent options of its own gets for options, at most kMaxMessage octets: the
/// upstream's. Of a truncated answer to a stream client its own: the control plane asks again, with them.
std::span<const std::uint8_t> options_for(Context& context, const state::Slot& slot, const std::uint8_t* wire,
                                          const dns::Reply& reply);
/// Ends the slot, with all that it holds.
void close_slot(Context& context, state::Slot& slot);

inline Counter counter_of(const state::Slot& slot) {
  if (slot.zone) return Counter::answered_zone;
  return slot.miss ? Counter::answered_default : Counter::answered_upstream;
}

/// Caches an answer (message of `packet` at `wire`, already verified and parsed), sends it to all who wait
/// for the slot, and closes it. `from`: the try that it answers. `is_lower`: the name stands there as the
/// slot has it. Takes the packet.
[[gnu::always_inline]] inline void deliver(Context& context, state::Slot& slot, rte_mbuf* packet,
                                           std::uint8_t* wire, std::uint16_t length, const dns::Reply& reply,
                                           const state::Try* from, bool is_lower) {
  if (slot.zone) [[unlikely]] {
    store_zone_answer(context, slot, {wire, length}, reply, message_of(packet).joined);
  } else {
    store_answer(context, slot, {wire, length}, reply);
  }
  Source source = make_source(packet, wire, length, reply, is_lower);
  // Nobody else gets any. They are copied, because our OPT is written over theirs.
  std::array<std::uint8_t, kMaxMessage> options;
  if (slot.held != nullptr) [[unlikely]] {
    const std::span<const std::uint8_t> given = options_for(context, slot, wire, reply);
    std::copy(given.begin(), given.end(), options.begin());
    source.options = {options.data(), given.size()};
  }
  send_to_all(context, slot, source, counter_of(slot), from);
  close_slot(context, slot);
}

}  // namespace shunt
