// ARP (RFC 826) and neighbour discovery (RFC 4861): answers for the addresses that are played, and finds the
// target's station.
#pragma once

#include <cstdint>
#include <span>

#include "bench/perf/options.h"

namespace shunt::perf {

class Neighbours {
 public:
  Neighbours(const Options& options, const MacAddress& own);

  enum class Outcome { kNotMine, kTaken, kReply };
  /// Looks at a frame. kReply: it was turned into its own reply (its length is in `length`), to be sent back.
  Outcome receive(std::uint8_t* frame, std::size_t& length);

  /// Writes a request for the target's MAC; returns the frame's length. `frame` has 128 octets.
  std::size_t write_request(std::uint8_t* frame) const;
  bool resolved() const { return resolved_; }
  const MacAddress& peer() const { return peer_; }

 private:
  bool owns(const IpAddress& address) const;
  Outcome receive_arp(std::uint8_t* frame, std::size_t& length);
  Outcome receive_discovery(std::uint8_t* frame, std::size_t& length);
  void learn(const IpAddress& address, const std::uint8_t* mac);

  const Options& options_;
  MacAddress own_, peer_;
  bool resolved_ = false;
};

}  // namespace shunt::perf
