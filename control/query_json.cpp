#include "control/query_json.h"

// Before ldns: it would make `true` a macro for 1.
#include <stdbool.h>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <ldns/ldns.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "conf/rule_answer.h"
#include "dataplane/base/bytes.h"
#include "dataplane/dns/reply.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {
namespace {

// In the order in which they are added: a line is read from its left.
using json = nlohmann::ordered_json;

struct Free {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
  void operator()(ldns_buffer* buffer) const { ldns_buffer_free(buffer); }
};

/// RFC 3339, in UTC.
std::string time_text(std::int64_t us) {
  constexpr std::int64_t kSecond = 1'000'000;
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(us / kSecond), us % kSecond);
}

std::string_view transport_text(const QueryRecord& record) {
  return record.stream ? kStreamName[static_cast<std::size_t>(*record.stream)] : "udp";
}

std::string rcode_text(unsigned rcode) {
  if (rcode == static_cast<unsigned>(dns::Rcode::kBadVers)) return "BADVERS";
  const ldns_lookup_table* const found = ldns_lookup_by_id(ldns_rcodes, static_cast<int>(rcode));
  return found == nullptr ? fmt::format("RCODE{}", rcode) : found->name;
}

/// The next field of a record's text, up to a tab.
std::string_view next_field(std::string_view& text) {
  const std::size_t end = std::min(text.find('\t'), text.size());
  const std::string_view field = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return field;
}

json record_json(const ldns_rr& rr, ldns_buffer& room) {
  ldns_buffer_clear(&room);
  if (ldns_rr2buffer_str(&room, &rr) != LDNS_STATUS_OK) return nullptr;
  // NAME, TTL, CLASS, TYPE, DATA: tabs between them, and none in the first four.
  std::string_view text{reinterpret_cast<const char*>(ldns_buffer_begin(&room)), ldns_buffer_position(&room)};
  while (!text.empty() && (text.back() == '\n' || text.back() == '\t'))
    text.remove_suffix(1);
  const std::string_view name = next_field(text);
  next_field(text);
  next_field(text);
  const std::string_view type = next_field(text);
  return {{"name", name}, {"type", type}, {"ttl", ldns_rr_ttl(&rr)}, {"data", text}};
}

/// The answer section; empty where the message can't be read.
json answers_of(std::span<const std::uint8_t> message) {
  json answers = json::array();
  ldns_pkt* parsed = nullptr;
  if (ldns_wire2pkt(&parsed, message.data(), message.size()) != LDNS_STATUS_OK) return answers;
  const std::unique_ptr<ldns_pkt, Free> packet(parsed);
  const std::unique_ptr<ldns_buffer, Free> buffer(ldns_buffer_new(LDNS_MIN_BUFLEN));
  const ldns_rr_list* const records = ldns_pkt_answer(packet.get());
  for (std::size_t i = 0; i < ldns_rr_list_rr_count(records); ++i) {
    json record = record_json(*ldns_rr_list_rr(records, i), *buffer);
    if (!record.is_null()) answers.push_back(std::move(record));
  }
  return answers;
}

/// With its upper bits, which an OPT record has.
unsigned rcode_of(std::span<const std::uint8_t> message) {
  dns::Reply reply;
  dns::Name name;
  if (dns::parse_reply(message, reply, name) == dns::ReplyVerdict::kGood) return reply.rcode();
  return load_be16(&message[dns::kFlagsOffset]) & dns::kRcodeMask;
}

void add_decision(const QueryRecord& record, json& line) {
  if (!record.rule.text.empty()) {
    line["rule_set"] = record.rule.set;
    line["rule"] = record.rule.id.empty() ? record.rule.text : record.rule.id;
  }
  if (record.end == state::QueryEnd::kDropped) {
    line["dropped"] = kQueryDropText[static_cast<std::size_t>(record.drop)].name;
  } else {
    line["answered_by"] = name_of(record.end);
  }
}

std::string to_line(const json& line) {
  return line.dump(-1, ' ', true, json::error_handler_t::replace);
}

void add_answer(const QueryRecord& record, json& line) {
  const auto message = record.message;
  if (message.size() < dns::kHeaderSize) return;
  line["rcode"] = rcode_text(rcode_of(message));
  line["waited_us"] = std::max<std::int64_t>(0, record.ended_us - record.asked_us);
  line["size"] = message.size();
  if ((load_be16(&message[dns::kFlagsOffset]) & dns::kTc) != 0) line["truncated"] = true;
  if (load_be16(&message[dns::kAncountOffset]) == 0) return;
  if (json answers = answers_of(message); !answers.empty()) line["answers"] = std::move(answers);
}

}  // namespace

std::string query_json(const QueryRecord& record) {
  json line{{"time", time_text(record.asked_us)},
            {"client", record.client.address.to_string()},
            {"port", record.client.port},
            {"server", record.server.address.to_string()},
            {"transport", transport_text(record)}};
  if (!record.network.empty()) line["network"] = record.network;
  if (record.question) {
    line["name"] = dns::to_text(record.question->name.octets());
    line["type"] = conf::type_text(record.question->type);
    if (record.question->klass != dns::kClassIn) line["class"] = record.question->klass;
  }
  add_decision(record, line);
  if (record.end != state::QueryEnd::kDropped) add_answer(record, line);
  return to_line(line);
}

std::string decision_json(const QueryRecord& record) {
  json line = json::object();
  if (!record.network.empty()) line["network"] = record.network;
  add_decision(record, line);
  return to_line(line);
}

}  // namespace shunt::control
