#include "control/query_record.h"

#include "dataplane/base/bytes.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {
namespace {

std::optional<QuestionText> read_question(std::span<const std::uint8_t> message) {
  if (message.size() < dns::kHeaderSize || load_be16(&message[dns::kQdcountOffset]) != 1) return std::nullopt;
  std::optional<QuestionText> question(std::in_place);
  const auto behind = message.subspan(dns::kHeaderSize);
  const std::size_t length = dns::read_name(behind, question->name);
  if (length == 0 || behind.size() < length + 4) return std::nullopt;
  question->type = load_be16(&behind[length]);
  question->klass = load_be16(&behind[length + 2]);
  return question;
}

/// As a worker finds it (stages/parse.cpp).
std::uint32_t network_of(const state::Snapshot& snapshot, const QueryRecord& record) {
  for (const net::LocalAddresses& port : snapshot.local) {
    const net::LocalAddress* const local = port.find(record.server.address);
    if (local == nullptr || local->endpoint >= snapshot.endpoints.size()) continue;
    const std::uint32_t fixed = snapshot.endpoints[local->endpoint].network;
    if (fixed != net::PrefixTable::kNone) return fixed;
    break;
  }
  return snapshot.clients.find(record.client.address);
}

}  // namespace

std::string_view name_of(state::QueryEnd end) {
  static constexpr std::string_view kNames[] = {"cache", "rule",  "upstream", "default",
                                                "zone",  "error", "dropped"};
  return kNames[static_cast<std::size_t>(end)];
}

QueryPlaces::QueryPlaces(const dns::HashKey& key) : key_(key), hashes_(dns::kMaxLabels + 1) {}

void QueryPlaces::find(QueryRecord& record, std::uint64_t number) {
  record.question = read_question(record.message);
  const Generation* const in = number == 0 ? generations.current() : generations.find(number);
  if (in == nullptr) return;
  const std::uint32_t index = network_of(*in->snapshot, record);
  if (index >= in->snapshot->networks.size()) return;
  const state::Network& network = in->snapshot->networks[index];
  record.network = network.name;
  if (!record.question) return;
  const dns::Name& name = record.question->name;
  dns::hash_suffixes(key_, name, hashes_.data());
  const rules::Match match = network.rules.find(name, hashes_.data());
  if (const rules::RuleSet* const set = network.rules.set_of(match); set != nullptr)
    record.rule = describe_rule(*in, *set, match.rule);
}

}  // namespace shunt::control
