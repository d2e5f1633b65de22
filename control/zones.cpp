#include "control/zones.h"

#include <rte_mbuf.h>

#include <algorithm>
#include <utility>

#include "dataplane/dns/edns.h"
#include "dataplane/dns/reply.h"

namespace shunt::control {
namespace {

/// A little longer than a worker waits: its answer, even that it has none, comes first.
constexpr auto kAliasWait = std::chrono::milliseconds(kMaxWaitMs + 500);
/// A reload may come between once or twice.
constexpr unsigned kMaxTries = 4;

/// The question of a checked message.
std::span<const std::uint8_t> question_of(std::span<const std::uint8_t> message,
                                          const dns::Question& question) {
  return message.subspan(dns::kHeaderSize, question.end - dns::kHeaderSize);
}

std::vector<std::uint8_t> alias_question(const dns::Question& asked, const dns::Name& name) {
  std::vector<std::uint8_t> wire(dns::kHeaderSize + name.length + 4u + dns::kOptSize +
                                 dns::kExtendedErrorSize);
  const auto flags = static_cast<std::uint16_t>(asked.flags & (dns::kRd | dns::kCd));
  dns::store_header(wire.data(), {0, flags, 1, 0, 0, 1});
  std::uint8_t* at = std::ranges::copy(name.octets(), wire.data() + dns::kHeaderSize).out;
  store_be16(at, asked.type);
  store_be16(at + 2, asked.klass);
  at += 4;
  at += dns::write_opt(at, {.udp_size = kEdnsSize, .dnssec_ok = asked.edns.dnssec_ok});
  wire.resize(static_cast<std::size_t>(at - wire.data()));
  return wire;
}

bool is_truncated(std::span<const std::uint8_t> answer) {
  return answer.size() >= dns::kHeaderSize && (load_be16(&answer[dns::kFlagsOffset]) & dns::kTc) != 0;
}

}  // namespace

void Zones::set_generation(std::shared_ptr<const Generation> generation) {
  before_ = std::exchange(generation_, std::move(generation));
}

std::optional<Zones::View> Zones::find_view(state::Routing routing) const {
  for (const auto& generation : {generation_, before_}) {
    if (generation == nullptr) continue;
    const auto& networks = generation->snapshot->networks;
    for (std::uint32_t i = 0; i < networks.size(); ++i)
      if (networks[i].routing == routing) return View{generation, i};
  }
  return std::nullopt;
}

const conf::Zone* Zones::zone_of(const View& view, const dns::Name& name) const {
  return view.generation->zone_of(view.network, name, key_);
}

void Zones::answer(std::size_t worker, const Message& message, std::span<const std::uint8_t> query) {
  begin(worker, message, query, 0);
}

void Zones::answer_whole(std::size_t worker, const Message& message, std::span<const std::uint8_t> query) {
  begin(worker, message, query, message.ticket);
}

void Zones::begin(std::size_t worker, const Message& message, std::span<const std::uint8_t> octets,
                  std::uint64_t ticket) {
  auto query = std::make_unique<Query>();
  query->worker = worker;
  query->slot = message.slot;
  query->serial = message.serial;
  query->upstream = message.upstream;
  query->ticket = ticket;
  query->message.assign(octets.begin(), octets.end());
  auto view = find_view(message.routing);
  const bool good = dns::parse_query(octets, query->question) == dns::QueryVerdict::kGood;
  if (!view || !good) return fail(*query, dns::ExtendedError::kNotAuthoritative);
  query->view = std::move(*view);
  run(std::move(query));
}

void Zones::run(std::unique_ptr<Query> query) {
  ++query->tries;
  const std::size_t limit = query->ticket != 0 ? dns::kMaxWire : kMaxMessage;
  ZoneAnswer answer(question_of(query->message, query->question), limit,
                    [this, &query](const dns::Name& name) { return zone_of(query->view, name); });
  if (answer.failed()) return fail(*query, dns::ExtendedError::kOther);
  if (answer.next() && !answer.truncated()) return ask_alias(std::move(query), std::move(answer));
  finish(*query, answer);
}

void Zones::ask_alias(std::unique_ptr<Query> query, ZoneAnswer answer) {
  rte_mbuf* packet = aliases_.size() < kMaxAliasesInFlight
                         ? crossing_.make_packet(alias_question(query->question, *answer.next()))
                         : nullptr;
  if (packet == nullptr) return fail(*query, dns::ExtendedError::kNetworkError);
  const std::uint64_t ticket = kAliasTicket | next_ticket_++;
  Message& order = message_of(packet);
  order.kind = MessageKind::kAlias;
  order.ticket = ticket;
  order.network = query->view.network;
  order.routing = query->view.generation->snapshot->networks[query->view.network].routing;
  if (!crossing_.order(query->worker, packet)) return fail(*query, dns::ExtendedError::kNetworkError);
  aliases_.emplace(ticket, Alias{std::move(query), std::move(answer), Clock::now() + kAliasWait});
}

/// The worker has rules of another generation than the query came under: so it belongs to that. Its clients
/// may be of any network that had the routing.
void Zones::run_anew(std::unique_ptr<Query> query) {
  const auto network = find_successor(*query->view.generation, query->view.network, *generation_);
  if (!network || query->tries >= kMaxTries) return fail(*query, dns::ExtendedError::kNotAuthoritative);
  query->view = {generation_, *network};
  run(std::move(query));
}

void Zones::take_reply(const Message& message, std::span<const std::uint8_t> answer) {
  auto node = aliases_.extract(message.ticket);
  if (node.empty()) return;
  Alias& alias = node.mapped();
  if (answer.empty()) {
    if (message.zone) return run_anew(std::move(alias.query));
    return fail(*alias.query, dns::ExtendedError::kNoReachableAuthority);
  }
  if (is_truncated(answer) && alias.query->ticket != 0 && message.truncated_by.port != 0) {
    auto kept = std::make_shared<Alias>(std::move(alias));
    return ask_whole_(message, answer, [this, kept](Result<std::vector<std::uint8_t>> whole) {
      if (!whole) return fail(*kept->query, dns::ExtendedError::kNoReachableAuthority);
      join(std::move(kept->query), std::move(kept->answer), *whole);
    });
  }
  join(std::move(alias.query), std::move(alias.answer), answer);
}

void Zones::join(std::unique_ptr<Query> query, ZoneAnswer answer, std::span<const std::uint8_t> reply) {
  if (is_truncated(reply)) {
    answer.truncate();
  } else if (!answer.join(reply)) {
    return fail(*query, dns::ExtendedError::kNoReachableAuthority);
  }
  finish(*query, answer);
}

void Zones::finish(const Query& query, const ZoneAnswer& answer) {
  if (query.ticket != 0) return finish_whole(query, answer);
  rte_mbuf* packet = crossing_.make_packet(answer.finish());
  if (packet == nullptr) return;  // the worker's own deadline ends the wait
  Message& order = message_of(packet);
  order.kind = MessageKind::kAnswer;
  order.slot = query.slot;
  order.serial = query.serial;
  order.upstream = query.upstream;
  order.joined = answer.joined();
  order.truncated_by = {};
  crossing_.order(query.worker, packet);
}

/// As the worker would: the client's id and flags, recursion offered, our OPT where it has one.
void Zones::finish_whole(const Query& query, const ZoneAnswer& answer) {
  std::vector<std::uint8_t> wire = answer.finish();
  const dns::Question& question = query.question;
  dns::Header header = dns::load_header(wire.data());
  header.id = question.id;
  header.flags |= dns::kRa | (question.flags & (dns::kRd | dns::kCd));
  if (question.edns.present) {
    const std::size_t end = wire.size();
    wire.resize(end + dns::kOptSize + dns::kExtendedErrorSize);
    wire.resize(end +
                dns::write_opt(&wire[end], {.udp_size = kEdnsSize, .dnssec_ok = question.edns.dnssec_ok}));
    ++header.arcount;
  }
  dns::store_header(wire.data(), header);
  whole_(query.ticket, wire.size() <= dns::kMaxWire ? std::span<const std::uint8_t>(wire)
                                                    : std::span<const std::uint8_t>());
}

void Zones::fail(const Query& query, dns::ExtendedError error) {
  if (query.ticket != 0) {
    std::vector<std::uint8_t> wire = query.message;
    wire.resize(wire.size() + dns::kOptSize + dns::kExtendedErrorSize);
    wire.resize(dns::make_reply(wire.data(), wire.size(), query.question,
                                {.rcode = dns::Rcode::kServFail, .error = error, .stream = true}));
    return whole_(query.ticket, wire);
  }
  rte_mbuf* packet = crossing_.make_packet({});
  if (packet == nullptr) return;  // the worker's own deadline ends the wait
  Message& order = message_of(packet);
  order.kind = MessageKind::kFail;
  order.slot = query.slot;
  order.serial = query.serial;
  order.error = error;
  crossing_.order(query.worker, packet);
}

void Zones::expire() {
  const Clock::time_point now = Clock::now();
  while (!aliases_.empty() && aliases_.begin()->second.deadline <= now) {
    const auto node = aliases_.extract(aliases_.begin());
    fail(*node.mapped().query, dns::ExtendedError::kNetworkError);
  }
}

}  // namespace shunt::control
