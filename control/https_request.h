// What RFC 8484 says of one request, apart from how HTTP/2 carries it.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace shunt::control {

/// The fields of a request that matter; the rest isn't kept.
struct RequestHead {
  std::string method;
  std::string path;  ///< with the query
  std::string content_type;
  std::string content_length;
};

/// What follows from a request's head.
struct HeadVerdict {
  unsigned status = 0;                ///< the answer; 0: there is a query
  std::vector<std::uint8_t> message;  ///< of a GET; a POST's comes as the body
};

/// 404 for another path than `path`, 405 for another method than GET and POST, 400 without a good "dns" of 12
/// octets at least, 413 where it, or the length announced, is above kMaxMessage, 415 for a POST that is not
/// application/dns-message.
HeadVerdict judge_head(const RequestHead& head, std::string_view path);

/// Of a GET's "dns": base64url without padding (RFC 4648 section 5); nothing where it is not that.
std::optional<std::vector<std::uint8_t>> decode_base64url(std::string_view text);

/// For how long an answer may be kept, in seconds: the smallest TTL of its records, for a negative one the
/// negative TTL (RFC 2308), 0 for what is neither (RFC 8484 section 5.1).
std::uint32_t max_age(std::span<const std::uint8_t> answer);

/// What a status of 400 and above means here, for the person who sees it.
std::string_view explain_status(unsigned status);

}  // namespace shunt::control
