#include "control/zone_message.h"

#include <algorithm>

#include "dataplane/base/bytes.h"

namespace shunt::control {
namespace {

constexpr std::uint16_t kPointer = 0xc000;

/// Octets that a name takes at the front of `wire`; all of it where it isn't whole.
std::size_t name_size(std::span<const std::uint8_t> wire) {
  std::size_t at = 0;
  while (at < wire.size() && wire[at] != 0)
    at += wire[at] + 1u;
  return std::min(at + 1, wire.size());
}

std::string lower(std::span<const std::uint8_t> name) {
  std::string key(name.size(), 0);
  std::ranges::transform(name, key.begin(), [](std::uint8_t c) {
    return static_cast<char>(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
  });
  return key;
}

}  // namespace

ZoneMessage::ZoneMessage(std::span<const std::uint8_t> question, std::size_t limit)
    : limit_(limit), wire_(dns::kHeaderSize) {
  const std::size_t name = put_name(question.first(name_size(question)));
  put(question.subspan(name));
  question_end_ = wire_.size();
}

void ZoneMessage::put16(std::uint16_t value) {
  wire_.resize(wire_.size() + 2);
  store_be16(&wire_[wire_.size() - 2], value);
}

void ZoneMessage::put32(std::uint32_t value) {
  wire_.resize(wire_.size() + 4);
  store_be32(&wire_[wire_.size() - 4], value);
}

std::size_t ZoneMessage::put_name(std::span<const std::uint8_t> name) {
  const std::size_t size = name_size(name);
  const std::string key = lower(name.first(size));
  for (std::size_t at = 0; at < size && name[at] != 0; at += name[at] + 1u) {
    const auto [known, is_new] =
        offsets_.try_emplace(key.substr(at), static_cast<std::uint16_t>(wire_.size()));
    if (!is_new) {
      put16(kPointer | known->second);
      return size;
    }
    if (wire_.size() >= kPointer >> 2) offsets_.erase(known);  // too far to be pointed at
    put(name.subspan(at, std::min<std::size_t>(name[at] + 1u, size - at)));
  }
  wire_.push_back(0);
  return size;
}

/// Only names in the data of types as old as RFC 1035 may be compressed (RFC 3597 section 4).
void ZoneMessage::put_data(std::uint16_t type, std::span<const std::uint8_t> rdata) {
  std::size_t at = 0;
  switch (static_cast<dns::Type>(type)) {
    case dns::Type::kMx:
      at = std::min<std::size_t>(2, rdata.size());
      put(rdata.first(at));
      [[fallthrough]];
    case dns::Type::kNs:
    case dns::Type::kCname:
    case dns::Type::kPtr:
      at += put_name(rdata.subspan(at));
      break;
    case dns::Type::kSoa:
      at += put_name(rdata);
      at += put_name(rdata.subspan(at));
      break;
    default:
      break;
  }
  put(rdata.subspan(at));
}

void ZoneMessage::add(Section section, std::span<const std::uint8_t> owner, std::uint16_t type,
                      std::uint32_t ttl, std::span<const std::uint8_t> rdata) {
  if (truncated_) return;
  put_name(owner);
  put16(type);
  put16(dns::kClassIn);
  put32(ttl);
  put16(0);
  const std::size_t data = wire_.size();
  put_data(type, rdata);
  store_be16(&wire_[data - 2], static_cast<std::uint16_t>(wire_.size() - data));
  ++counts_[section];
  if (wire_.size() > limit_) truncate();
}

void ZoneMessage::truncate() {
  truncated_ = true;
  std::ranges::fill(counts_, std::uint16_t{0});
  wire_.resize(question_end_);
}

std::vector<std::uint8_t> ZoneMessage::finish(std::uint16_t flags) const {
  std::vector<std::uint8_t> message = wire_;
  const auto all = static_cast<std::uint16_t>(dns::kQr | flags | (truncated_ ? dns::kTc : 0));
  dns::store_header(message.data(), {0, all, 1, counts_[kAnswer], counts_[kAuthority], counts_[kAdditional]});
  return message;
}

}  // namespace shunt::control
