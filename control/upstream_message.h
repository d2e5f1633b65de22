// A question as it goes over a TCP or TLS connection, and what its answer must match.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "dataplane/dns/name.h"

namespace shunt::control {

struct UpstreamQuestion {
  std::vector<std::uint8_t> message;  ///< a DNS query with one question
  std::size_t opt = 0;                ///< where its OPT record begins, if that is the last; 0: none
  dns::Name name;                     ///< lower case
  std::uint16_t type = 0, klass = 0;

  /// None where `message` is no query of at most kMaxMessage octets.
  static std::optional<UpstreamQuestion> read(std::vector<std::uint8_t> message);
};

struct UpstreamOptions {
  bool keepalive = false;  ///< asks how long the connection may be idle (RFC 7828)
  bool padding = false;    ///< to a multiple of 128 octets (RFC 8467 section 4.1)
};

/// Appends the question with its length in front and `id` in it (RFC 1035 section 4.2.2). Options go into its
/// OPT record, and are left out where there is none.
void append_question(std::vector<std::uint8_t>& to, const UpstreamQuestion& question, std::uint16_t id,
                     UpstreamOptions options);

enum class AnswerMatch : std::uint8_t {
  kAnswer,
  kWrong,  ///< malformed, no answer, or to another question
};
/// Whether `message`, whose id is right, answers `question`. `truncated`: TC is set. `keepalive_ms`: what the
/// edns-tcp-keepalive option says, where there is one with a value.
AnswerMatch match_answer(const UpstreamQuestion& question, std::span<const std::uint8_t> message,
                         bool& truncated, std::optional<std::uint32_t>& keepalive_ms);

}  // namespace shunt::control
