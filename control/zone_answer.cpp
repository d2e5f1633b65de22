#include "control/zone_answer.h"

#include <ldns/ldns.h>

#include <algorithm>
#include <memory>
#include <set>
#include <string_view>

#include "control/zone_lookup.h"
#include "dataplane/base/bytes.h"

namespace shunt::control {
namespace {

constexpr std::uint16_t kYxDomain = 6;  // RFC 6672 section 2.2

std::uint16_t number(dns::Type type) {
  return static_cast<std::uint16_t>(type);
}
std::uint16_t number(dns::Rcode rcode) {
  return static_cast<std::uint16_t>(rcode);
}

struct FreePacket {
  void operator()(ldns_pkt* packet) const { ldns_pkt_free(packet); }
};

}  // namespace

ZoneAnswer::ZoneAnswer(std::span<const std::uint8_t> question, std::size_t limit, const ZoneOf& zone_of)
    : message_(question, limit) {
  dns::Name name;
  const std::size_t size = dns::read_name(question, name);
  if (size == 0 || question.size() < size + 4) {
    failed_ = true;
    return;
  }
  type_ = load_be16(&question[size]);
  follow(name, zone_of);
}

void ZoneAnswer::add(ZoneMessage::Section section, std::span<const std::uint8_t> owner,
                     const conf::RrSet& set, std::uint32_t ttl) {
  for (const conf::Rdata* data = set.first; data != nullptr && !message_.truncated(); data = data->next)
    message_.add(section, owner, set.type, ttl, data->octets);
}

/// The SOA that says how long the denial holds (RFC 2308 section 3).
void ZoneAnswer::add_denial(const conf::Zone& zone) {
  add(ZoneMessage::kAuthority, zone.apex().octets(), zone.soa(), zone.negative_ttl());
}

/// Addresses of the delegation's servers, as far as the zone has them (RFC 9471).
void ZoneAnswer::add_glue(const conf::Zone& zone, const conf::RrSet& cut) {
  for (const conf::Rdata* data = cut.first; data != nullptr; data = data->next) {
    dns::Name server;
    if (dns::read_name(data->octets, server) == 0) continue;
    const conf::ZoneNode* node = zone.find(server.octets());
    if (node == nullptr) continue;
    for (const dns::Type type : {dns::Type::kA, dns::Type::kAaaa})
      if (const conf::RrSet* set = node->find(number(type)); set != nullptr)
        add(ZoneMessage::kAdditional, server.octets(), *set, set->ttl);
  }
}

/// The alias that a DNAME at `owner` makes of `name`, added as a CNAME; nothing where it would be too long.
std::optional<dns::Name> ZoneAnswer::substitute(const dns::Name& name, std::span<const std::uint8_t> owner,
                                                const conf::RrSet& dname) {
  const std::span<const std::uint8_t> head = name.octets().first(name.length - owner.size());
  std::vector<std::uint8_t> target(head.begin(), head.end());
  target.insert(target.end(), dname.first->octets.begin(), dname.first->octets.end());
  dns::Name alias;
  if (target.size() > dns::kMaxName || dns::read_name(target, alias) == 0) return std::nullopt;
  message_.add(ZoneMessage::kAnswer, name.octets(), number(dns::Type::kCname), dname.ttl, target);
  return alias;
}

void ZoneAnswer::follow(const dns::Name& asked, const ZoneOf& zone_of) {
  dns::Name name = asked;
  std::set<std::string, std::less<>> seen;
  for (unsigned aliases = 0; aliases <= kMaxAliases; ++aliases) {
    if (!seen.insert(std::string(conf::as_text(name.octets()))).second) return;  // a loop: what it has is all
    const conf::Zone* zone = zone_of(name);
    if (zone == nullptr) {
      next_ = name;
      return;
    }
    // What is said of a zone as a whole stands in the one above.
    if (type_ == number(dns::Type::kDs) && name.labels > 0 && name.length == zone->apex().length) {
      dns::Name above;
      dns::read_name(suffix_of(name, name.labels - 1u), above);
      if (const conf::Zone* parent = zone_of(above); parent != nullptr) zone = parent;
    }
    const ZoneStep step = look_up(*zone, name, type_);
    std::optional<dns::Name> target;
    switch (step.verdict) {
      case ZoneVerdict::kAnswer:
        return add(ZoneMessage::kAnswer, step.owner, *step.set, step.set->ttl);
      case ZoneVerdict::kNxDomain:
        rcode_ = number(dns::Rcode::kNxDomain);
        return add_denial(*zone);
      case ZoneVerdict::kNoData:
        return add_denial(*zone);
      case ZoneVerdict::kReferral:
        authoritative_ = aliases != 0;
        add(ZoneMessage::kAuthority, step.owner, *step.set, step.set->ttl);
        return add_glue(*zone, *step.set);
      case ZoneVerdict::kCname:
        add(ZoneMessage::kAnswer, step.owner, *step.set, step.set->ttl);
        target.emplace();
        if (dns::read_name(step.set->first->octets, *target) == 0) target.reset();
        break;
      case ZoneVerdict::kDname:
        add(ZoneMessage::kAnswer, step.owner, *step.set, step.set->ttl);
        target = substitute(name, step.owner, *step.set);
        // The alias itself may be what was asked for.
        if (target && (type_ == number(dns::Type::kCname) || type_ == number(dns::Type::kAny))) return;
        break;
    }
    if (!target) {
      rcode_ = kYxDomain;
      return;
    }
    name = *target;
  }
  failed_ = true;
}

bool ZoneAnswer::join(std::span<const std::uint8_t> answer) {
  ldns_pkt* parsed = nullptr;
  if (ldns_wire2pkt(&parsed, answer.data(), answer.size()) != LDNS_STATUS_OK) return false;
  const std::unique_ptr<ldns_pkt, FreePacket> packet(parsed);
  const auto rcode = static_cast<std::uint16_t>(ldns_pkt_get_rcode(packet.get()));
  if (rcode != number(dns::Rcode::kNoError) && rcode != number(dns::Rcode::kNxDomain) &&
      rcode != number(dns::Rcode::kRefused)) {
    return false;
  }
  rcode_ = rcode;
  joined_ = true;
  next_.reset();
  const auto take = [this](ZoneMessage::Section section, const ldns_rr_list* records, bool only_soa) {
    for (std::size_t i = 0; i < ldns_rr_list_rr_count(records); ++i) {
      const ldns_rr* rr = ldns_rr_list_rr(records, i);
      const auto type = static_cast<std::uint16_t>(ldns_rr_get_type(rr));
      if (ldns_rr_get_class(rr) != LDNS_RR_CLASS_IN || (only_soa && type != number(dns::Type::kSoa)))
        continue;
      std::vector<std::uint8_t> data;
      for (std::size_t f = 0; f < ldns_rr_rd_count(rr); ++f) {
        const ldns_rdf* field = ldns_rr_rdf(rr, f);
        data.insert(data.end(), ldns_rdf_data(field), ldns_rdf_data(field) + ldns_rdf_size(field));
      }
      const ldns_rdf* owner = ldns_rr_owner(rr);
      message_.add(section, {ldns_rdf_data(owner), ldns_rdf_size(owner)}, type, ldns_rr_ttl(rr), data);
    }
  };
  take(ZoneMessage::kAnswer, ldns_pkt_answer(packet.get()), false);
  take(ZoneMessage::kAuthority, ldns_pkt_authority(packet.get()), true);
  return true;
}

std::vector<std::uint8_t> ZoneAnswer::finish() const {
  return message_.finish(static_cast<std::uint16_t>((authoritative_ ? dns::kAa : 0) | rcode_));
}

}  // namespace shunt::control
