// EDNS options that are meant for the far end, and go through here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/bytes.h"
#include "dataplane/dns/edns.h"

namespace shunt {

/// Copies to `to` the options among `options` that are not between two hops, as far as they fit into `room`
/// octets; returns how many octets that took. `options` were checked when they were read.
inline std::size_t copy_far_options(std::uint8_t* to, std::span<const std::uint8_t> options,
                                    std::size_t room) {
  std::size_t copied = 0;
  for (std::size_t at = 0; at + 4 <= options.size();) {
    const std::size_t size = 4u + load_be16(&options[at + 2]);
    if (!dns::is_hop_option(load_be16(&options[at])) && copied + size <= room) {
      std::memcpy(to + copied, &options[at], size);
      copied += size;
    }
    at += size;
  }
  return copied;
}

}  // namespace shunt
