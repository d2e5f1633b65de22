// Asks for a cache line that is needed soon.
#pragma once

namespace shunt {

/// Starts loading the line at `address` into the first-level cache; any address will do. Written out, because
/// gcc takes a function that does nothing but __builtin_prefetch for one without effects, and drops the calls
/// of it.
inline void prefetch(const void* address) {
  asm volatile("prefetcht0 %0" : : "m"(*static_cast<const char*>(address)));
}

}  // namespace shunt
