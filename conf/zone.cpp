#include "conf/zone.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>

#include "conf/rule_answer.h"
#include "dataplane/base/bytes.h"
#include "dataplane/dns/wire.h"

namespace shunt::conf {
namespace {

constexpr auto kCname = static_cast<std::uint16_t>(dns::Type::kCname);
constexpr auto kDname = static_cast<std::uint16_t>(dns::Type::kDname);
constexpr auto kSoa = static_cast<std::uint16_t>(dns::Type::kSoa);
/// Owner (a pointer), type, class, TTL and length of a record in a message.
constexpr std::size_t kRecordHead = 12;
constexpr std::size_t kSoaNumbers = 20;

/// What may stand beside a CNAME (RFC 4034 section 3, 4; RFC 2535's forerunners): the records of DNSSEC.
bool may_stand_beside_alias(std::uint16_t type) {
  constexpr std::uint16_t kBeside[] = {24 /* SIG */, 25 /* KEY */, 30 /* NXT */, 46 /* RRSIG */,
                                       47 /* NSEC */};
  return std::find(std::begin(kBeside), std::end(kBeside), type) != std::end(kBeside);
}

bool is_at_or_below(const dns::Name& name, const dns::Name& apex) {
  if (name.labels < apex.labels) return false;
  const unsigned start = name.offset[name.labels - apex.labels];
  return name.length - start == apex.length &&
         std::memcmp(&name.wire[start], apex.wire.data(), apex.length) == 0;
}

bool has(const RrSet& set, std::span<const std::uint8_t> rdata) {
  for (const Rdata* data = set.first; data != nullptr; data = data->next)
    if (std::ranges::equal(data->octets, rdata)) return true;
  return false;
}

}  // namespace

const ZoneNode* Zone::find(std::span<const std::uint8_t> name) const {
  const auto found = nodes_.find(as_text(name));
  return found == nodes_.end() ? nullptr : &found->second;
}

ZoneBuilder::ZoneBuilder(std::string file) : zone_(std::make_shared<Zone>()) {
  zone_->file_ = std::move(file);
}

std::span<const std::uint8_t> ZoneBuilder::keep(std::span<const std::uint8_t> octets) {
  auto* to = static_cast<std::uint8_t*>(zone_->arena_.allocate(std::max<std::size_t>(octets.size(), 1), 1));
  std::ranges::copy(octets, to);
  return {to, octets.size()};
}

template <typename T>
T* ZoneBuilder::make() {
  return new (zone_->arena_.allocate(sizeof(T), alignof(T))) T;
}

/// The name's node, made with all that are missing between it and the apex.
ZoneNode& ZoneBuilder::make_node(const dns::Name& owner) {
  if (const auto found = zone_->nodes_.find(as_text(owner.octets())); found != zone_->nodes_.end())
    return found->second;
  const std::span<const std::uint8_t> name = keep(owner.octets());
  for (unsigned i = 0; i + zone_->apex_.labels <= owner.labels; ++i)
    if (!zone_->nodes_.try_emplace(as_text(name.subspan(owner.offset[i]))).second) break;
  return zone_->nodes_.find(as_text(name))->second;
}

void ZoneBuilder::take_soa(const dns::Name& owner, std::span<const std::uint8_t> rdata, std::uint32_t line) {
  zone_->apex_ = owner;
  zone_->soa_line_ = line;
  zone_->negative_ttl_ = load_be32(&rdata[rdata.size() - 4]);
}

std::string ZoneBuilder::refuse(const dns::Name& owner, std::uint16_t type,
                                std::span<const std::uint8_t> rdata) const {
  const std::string name = dns::to_text(owner.octets());
  if (!has_soa()) {
    if (type != kSoa) return "the zone's first record must be its SOA";
    return rdata.size() < kSoaNumbers + 2 ? "the SOA's data is malformed" : "";
  }
  if (type == kSoa) return fmt::format("a second SOA: the zone's stands in line {}", zone_->soa_line_);
  if (!is_at_or_below(owner, zone_->apex_))
    return fmt::format("{} lies outside the zone {}", name, dns::to_text(zone_->apex_.octets()));
  const ZoneNode* node = zone_->find(owner.octets());
  if (node == nullptr) return {};
  if (const RrSet* set = node->find(type); set != nullptr) {
    if ((type == kCname || type == kDname) && !has(*set, rdata))
      return fmt::format("a second {} for {}", type == kCname ? "CNAME" : "DNAME", name);
    if (set->octets + kRecordHead + rdata.size() > kMaxRrSetOctets)
      return fmt::format("the {} records of {} are more than fit a message", type_text(type), name);
    return {};
  }
  if (type == kCname) {
    for (const RrSet* set = node->sets; set != nullptr; set = set->next)
      if (!may_stand_beside_alias(set->type))
        return fmt::format("{} has other records already: a CNAME must stand alone", name);
  } else if (node->find(kCname) != nullptr && !may_stand_beside_alias(type)) {
    return fmt::format("{} is a CNAME: no other record may stand beside it", name);
  }
  return {};
}

std::string ZoneBuilder::add(const dns::Name& owner, std::uint16_t type, std::uint32_t ttl,
                             std::span<const std::uint8_t> rdata, std::uint32_t line) {
  if (std::string wrong = refuse(owner, type, rdata); !wrong.empty()) return wrong;
  if (zone_->records_ >= kMaxZoneRecords)
    return fmt::format("the zone has more than {} records", kMaxZoneRecords);
  const bool is_soa = !has_soa();
  if (is_soa) take_soa(owner, rdata, line);
  ZoneNode& node = make_node(owner);
  RrSet** at = &node.sets;
  while (*at != nullptr && (*at)->type != type)
    at = &(*at)->next;
  if (*at == nullptr) {
    *at = make<RrSet>();
    (*at)->type = type;
    (*at)->ttl = ttl;
  }
  RrSet& set = **at;
  set.ttl = std::min(set.ttl, ttl);
  if (has(set, rdata)) return {};
  Rdata* data = make<Rdata>();
  data->octets = keep(rdata);
  if (set.first == nullptr) {
    set.first = data;
  } else {
    set.last->next = data;
  }
  set.last = data;
  ++set.count;
  set.octets += static_cast<std::uint32_t>(kRecordHead + rdata.size());
  ++zone_->records_;
  const std::hash<std::string_view> hash;
  const std::uint64_t record = hash(as_text(owner.octets())) ^ (std::uint64_t{type} << 32 | ttl);
  zone_->digest_ = dns::mix(zone_->digest_ ^ record, hash(as_text(rdata)) | 1);
  if (is_soa) {
    zone_->soa_ = &set;
    zone_->negative_ttl_ = std::min(zone_->negative_ttl_, ttl);
  }
  return {};
}

}  // namespace shunt::conf
