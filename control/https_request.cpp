#include "control/https_request.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "dataplane/base/limits.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {

namespace {

constexpr std::string_view kMediaType = "application/dns-message";

bool equal_without_case(std::string_view a, std::string_view b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](char x, char y) {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    return lower(x) == lower(y);
  });
}

/// Parameters of the type, if any, mean nothing.
bool is_dns_message(std::string_view content_type) {
  std::string_view type = content_type.substr(0, content_type.find(';'));
  while (!type.empty() && (type.back() == ' ' || type.back() == '\t'))
    type.remove_suffix(1);
  return equal_without_case(type, kMediaType);
}

HeadVerdict judge_get(std::string_view query) {
  while (!query.empty()) {
    const std::string_view pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), pair.size() + 1));
    if (!pair.starts_with("dns=")) continue;
    auto message = decode_base64url(pair.substr(4));
    if (!message || message->size() < dns::kHeaderSize) return {400, {}};
    if (message->size() > kMaxMessage) return {413, {}};
    return {0, std::move(*message)};
  }
  return {400, {}};
}

HeadVerdict judge_post(const RequestHead& head) {
  if (!is_dns_message(head.content_type)) return {415, {}};
  if (head.content_length.empty()) return {};
  std::uint64_t length = 0;
  const char* const end = head.content_length.data() + head.content_length.size();
  const auto [stop, error] = std::from_chars(head.content_length.data(), end, length);
  if (error == std::errc::result_out_of_range || length > kMaxMessage) return {413, {}};
  if (error != std::errc() || stop != end || length < dns::kHeaderSize) return {400, {}};
  return {};
}

constexpr std::array<std::uint8_t, 256> make_digits() {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::array<std::uint8_t, 256> digits{};
  digits.fill(0xff);
  for (std::size_t i = 0; i < kDigits.size(); ++i)
    digits[static_cast<unsigned char>(kDigits[i])] = static_cast<std::uint8_t>(i);
  return digits;
}

}  // namespace

std::optional<std::vector<std::uint8_t>> decode_base64url(std::string_view text) {
  static constexpr std::array<std::uint8_t, 256> kDigits = make_digits();
  if (text.size() % 4 == 1) return std::nullopt;
  std::vector<std::uint8_t> out;
  out.reserve(text.size() * 3 / 4);
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const char c : text) {
    const std::uint8_t digit = kDigits[static_cast<unsigned char>(c)];
    if (digit == 0xff) return std::nullopt;
    bits = bits << 6 | digit;
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<std::uint8_t>(bits >> count));
  }
  return out;
}

HeadVerdict judge_head(const RequestHead& head, std::string_view path) {
  const std::string_view target = head.path;
  const std::string_view asked = target.substr(0, target.find('?'));
  if (asked != path) return {404, {}};
  if (head.method == "GET")
    return judge_get(asked.size() == target.size() ? std::string_view() : target.substr(asked.size() + 1));
  if (head.method == "POST") return judge_post(head);
  return {405, {}};
}

std::uint32_t max_age(std::span<const std::uint8_t> answer) {
  dns::Reply reply;
  dns::Name name;
  if (dns::parse_reply(answer, reply, name) != dns::ReplyVerdict::kGood || reply.truncated()) return 0;
  const auto rcode = static_cast<dns::Rcode>(reply.rcode());
  if (rcode == dns::Rcode::kNoError && reply.has_answer_of_type) return reply.min_ttl;
  if (rcode != dns::Rcode::kNoError && rcode != dns::Rcode::kNxDomain) return 0;
  return reply.has_soa ? std::min(reply.min_ttl, reply.negative_ttl) : 0;
}

std::string_view explain_status(unsigned status) {
  switch (status) {
    case 404:
      return "there is nothing at this path\n";
    case 405:
      return "the method must be GET or POST\n";
    case 413:
      return "the DNS message is larger than any query\n";
    case 415:
      return "the content-type must be application/dns-message\n";
    case 431:
      return "the request's header fields are too large\n";
    default:
      return "there must be a DNS message: as the body of a POST, or as dns=, in base64url without padding\n";
  }
}

}  // namespace shunt::control
