#include "control/tcp_options.h"

#include <algorithm>

#include "dataplane/base/bytes.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {

namespace {

constexpr std::size_t kMost = 65535, kOptionHead = 4, kKeepaliveSize = 2;

void append_option(std::vector<std::uint8_t>& message, dns::OptionCode code, std::size_t octets) {
  const std::size_t at = message.size();
  message.resize(at + kOptionHead + octets);
  store_be16(&message[at], static_cast<std::uint16_t>(code));
  store_be16(&message[at + 2], static_cast<std::uint16_t>(octets));
}

}  // namespace

HopOptions asked_options(std::span<const std::uint8_t> query) {
  HopOptions asked;
  dns::Question question;
  if (dns::parse_query(query, question) != dns::QueryVerdict::kGood || !question.edns.present) return asked;
  // parse_query has seen that the options fit.
  const auto options = query.subspan(question.edns.options_offset, question.edns.options_length);
  for (std::size_t at = 0; at + kOptionHead <= options.size();
       at += kOptionHead + load_be16(&options[at + 2])) {
    const auto code = static_cast<dns::OptionCode>(load_be16(&options[at]));
    asked.padding |= code == dns::OptionCode::kPadding;
    asked.keepalive |= code == dns::OptionCode::kTcpKeepalive;
  }
  return asked;
}

void add_options(std::vector<std::uint8_t>& answer, const HopOptions& options, std::uint32_t idle_ms) {
  if (!options.padding && !options.keepalive) return;
  dns::Reply reply;
  dns::Name name;
  if (dns::parse_reply(answer, reply, name) != dns::ReplyVerdict::kGood) return;
  if (reply.opt_end == 0 || reply.opt_end != answer.size()) return;
  const std::size_t whole = answer.size();
  if (options.keepalive && answer.size() + kOptionHead + kKeepaliveSize <= kMost) {
    append_option(answer, dns::OptionCode::kTcpKeepalive, kKeepaliveSize);
    store_be16(&answer[answer.size() - kKeepaliveSize],
               static_cast<std::uint16_t>(std::min<std::uint32_t>(idle_ms / 100, 0xffff)));
  }
  if (options.padding && answer.size() + kOptionHead <= kMost) {
    const std::size_t bare = answer.size() + kOptionHead;
    const std::size_t padded = (bare + kPaddingBlock - 1) / kPaddingBlock * kPaddingBlock;
    append_option(answer, dns::OptionCode::kPadding, std::min(padded, kMost) - bare);
  }
  std::uint8_t* const length = &answer[reply.opt_begin + dns::kOptSize - 2u];
  store_be16(length, static_cast<std::uint16_t>(load_be16(length) + answer.size() - whole));
}

}  // namespace shunt::control
