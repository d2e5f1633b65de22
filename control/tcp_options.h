// EDNS options that concern a client's stream alone, and so are the control plane's to answer: padding
// (RFC 7830, RFC 8467) and edns-tcp-keepalive (RFC 7828).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace shunt::control {

struct HopOptions {
  bool padding = false;
  bool keepalive = false;
};

/// What a query's OPT asks for; nothing where the query is malformed.
HopOptions asked_options(std::span<const std::uint8_t> query);

/// Answers over an encrypted stream are padded to a multiple of this (RFC 8467 section 4.1).
inline constexpr std::size_t kPaddingBlock = 468;

/// Puts `options` into the OPT of `answer` (a whole message of at most 65,535 octets): padding last, and
/// `idle_ms`, how long a connection may be idle, with keepalive. An answer without OPT, or whose OPT isn't
/// its last record, stays as it is, and so does one that would grow too long.
void add_options(std::vector<std::uint8_t>& answer, const HopOptions& options, std::uint32_t idle_ms);

}  // namespace shunt::control
