#include "control/upstream_message.h"

#include <algorithm>
#include <utility>

#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"
#include "dataplane/dns/query.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {
namespace {

constexpr std::size_t kOptionHead = 4;
constexpr std::size_t kPaddingBlock = 128;

void append_option(std::vector<std::uint8_t>& to, dns::OptionCode code, std::size_t length) {
  const auto kind = static_cast<std::uint16_t>(code);
  const std::size_t at = to.size();
  to.resize(at + kOptionHead + length, 0);
  store_be16(&to[at], kind);
  store_be16(&to[at + 2], static_cast<std::uint16_t>(length));
}

std::optional<std::uint32_t> find_keepalive(std::span<const std::uint8_t> message, const dns::Edns& edns) {
  if (!edns.present) return std::nullopt;
  const std::span options = message.subspan(edns.options_offset, edns.options_length);
  for (std::size_t at = 0; at + kOptionHead <= options.size();) {
    const std::size_t length = load_be16(&options[at + 2]);
    if (load_be16(&options[at]) == static_cast<std::uint16_t>(dns::OptionCode::kTcpKeepalive) && length == 2)
      return 100u * load_be16(&options[at + kOptionHead]);
    at += kOptionHead + length;
  }
  return std::nullopt;
}

}  // namespace

std::optional<UpstreamQuestion> UpstreamQuestion::read(std::vector<std::uint8_t> message) {
  if (message.size() > kMaxMessage) return std::nullopt;
  dns::Question parsed;
  if (dns::parse_query(message, parsed) != dns::QueryVerdict::kGood) return std::nullopt;
  UpstreamQuestion question;
  question.name = parsed.name;
  question.type = parsed.type;
  question.klass = parsed.klass;
  // A query's OPT is its only record behind the question: the last one.
  if (parsed.edns.present) question.opt = parsed.edns.record_offset;
  question.message = std::move(message);
  return question;
}

void append_question(std::vector<std::uint8_t>& to, const UpstreamQuestion& question, std::uint16_t id,
                     UpstreamOptions options) {
  const std::size_t begin = to.size() + 2;
  to.resize(begin);
  to.insert(to.end(), question.message.begin(), question.message.end());
  store_be16(&to[begin], id);
  if (question.opt != 0) {
    if (options.keepalive) append_option(to, dns::OptionCode::kTcpKeepalive, 0);
    if (options.padding) {
      const std::size_t size = to.size() - begin + kOptionHead;
      append_option(to, dns::OptionCode::kPadding, (kPaddingBlock - size % kPaddingBlock) % kPaddingBlock);
    }
    const std::size_t rdata = begin + question.opt + dns::kOptSize;
    store_be16(&to[rdata - 2], static_cast<std::uint16_t>(to.size() - rdata));
  }
  store_be16(&to[begin - 2], static_cast<std::uint16_t>(to.size() - begin));
}

AnswerMatch match_answer(const UpstreamQuestion& question, std::span<const std::uint8_t> message,
                         bool& truncated, std::optional<std::uint32_t>& keepalive_ms) {
  dns::Reply reply;
  dns::Name name;
  if (dns::parse_reply(message, reply, name) != dns::ReplyVerdict::kGood) return AnswerMatch::kWrong;
  const bool same = reply.type == question.type && reply.klass == question.klass &&
                    std::ranges::equal(name.octets(), question.name.octets());
  if (!same) return AnswerMatch::kWrong;
  truncated = reply.truncated();
  keepalive_ms = find_keepalive(message, reply.edns);
  return AnswerMatch::kAnswer;
}

}  // namespace shunt::control
