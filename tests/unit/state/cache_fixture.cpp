#include "tests/unit/state/cache_fixture.h"

#include "dataplane/base/bytes.h"

namespace shunt::state::testing {
namespace {

void put16(Octets& to, std::size_t value) {
  to.push_back(static_cast<std::uint8_t>(value >> 8));
  to.push_back(static_cast<std::uint8_t>(value));
}
void put32(Octets& to, std::uint32_t value) {
  put16(to, value >> 16);
  put16(to, value & 0xffff);
}
void put_records(Octets& to, const std::vector<Record>& records) {
  for (const Record& record : records) {
    put16(to, 0xc00c);
    put16(to, record.type);
    put16(to, 1);
    put32(to, record.ttl);
    put16(to, record.data.size());
    to.insert(to.end(), record.data.begin(), record.data.end());
  }
}
void put_opt(Octets& to, std::uint8_t extended_rcode) {
  to.push_back(0);
  put16(to, 41);
  put16(to, 1232);
  put32(to, std::uint32_t{extended_rcode} << 24);
  put16(to, 0);
}

Octets wire_of(const Message& message) {
  const bool opt = message.opt != Message::Opt::kNone;
  Octets wire;
  put16(wire, 0x1234);
  put16(wire, message.flags);
  put16(wire, 1);
  put16(wire, message.answer.size());
  put16(wire, message.authority.size());
  put16(wire, message.additional.size() + (opt ? 1 : 0));
  const dns::Name name = dns::parse_name(message.name).value();
  wire.insert(wire.end(), name.octets().begin(), name.octets().end());
  put16(wire, message.type);
  put16(wire, 1);
  put_records(wire, message.answer);
  put_records(wire, message.authority);
  if (message.opt == Message::Opt::kFirst) put_opt(wire, message.extended_rcode);
  put_records(wire, message.additional);
  if (message.opt == Message::Opt::kLast) put_opt(wire, message.extended_rcode);
  return wire;
}

}  // namespace

ParsedMessage parse(const Message& message) {
  ParsedMessage parsed{wire_of(message), {}};
  dns::Name name;
  if (dns::parse_reply(parsed.wire, parsed.reply, name) != dns::ReplyVerdict::kGood) std::abort();
  return parsed;
}

Octets body_of(const Message& message) {
  Octets body;
  put_records(body, message.answer);
  put_records(body, message.authority);
  put_records(body, message.additional);
  return body;
}

Key::Key(const std::string& name, std::uint16_t type, Origin origin, std::uint8_t flags, Routing routing)
    : name_(dns::parse_name(name).value()) {
  const std::uint64_t hash = dns::hash_name(dns::HashKey{}, name_.wire.data(), name_.length);
  key_ = {name_.wire.data(), cache_hash(hash, type, flags), origin, routing, type, flags, name_.length};
}

}  // namespace shunt::state::testing
