#include "control/query_dnstap.h"

#include <protozero/pbf_builder.hpp>

#include "control/query_json.h"

namespace shunt::control {
namespace {

// dnstap.proto, as far as it is used here.
enum class Dnstap : protozero::pbf_tag_type {
  kIdentity = 1,
  kVersion = 2,
  kExtra = 3,
  kMessage = 14,
  kType = 15
};
constexpr std::int32_t kTypeMessage = 1;
enum class Message : protozero::pbf_tag_type {
  kType = 1,
  kSocketFamily = 2,
  kSocketProtocol = 3,
  kQueryAddress = 4,
  kResponseAddress = 5,
  kQueryPort = 6,
  kResponsePort = 7,
  kQueryTimeSec = 8,
  kQueryTimeNsec = 9,
  kQueryMessage = 10,
  kResponseTimeSec = 12,
  kResponseTimeNsec = 13,
  kResponseMessage = 14,
};
constexpr std::int32_t kClientQuery = 5, kClientResponse = 6;
constexpr std::int32_t kInet = 1, kInet6 = 2;
constexpr std::int32_t kUdp = 1, kTcp = 2, kDot = 3, kDoh = 4;

using Writer = protozero::pbf_builder<Message>;

constexpr std::int64_t kSecond = 1'000'000;

void add_octets(Writer& to, Message tag, std::span<const std::uint8_t> octets) {
  to.add_bytes(tag, reinterpret_cast<const char*>(octets.data()), octets.size());
}

void add_address(Writer& to, Message tag, const IpAddress& address) {
  if (address.is_v4()) return add_octets(to, tag, {address.v4_octets(), 4});
  add_octets(to, tag, address.octets);
}

void add_time(Writer& to, Message seconds, Message nanoseconds, std::int64_t us) {
  to.add_uint64(seconds, static_cast<std::uint64_t>(us / kSecond));
  to.add_fixed32(nanoseconds, static_cast<std::uint32_t>(us % kSecond * 1000));
}

std::int32_t protocol_of(const QueryRecord& record) {
  if (!record.stream) return kUdp;
  static constexpr std::int32_t kProtocols[kStreamKinds] = {kTcp, kDot, kDoh};
  return kProtocols[static_cast<std::size_t>(*record.stream)];
}

void add_message(Writer& to, const QueryRecord& record) {
  const bool dropped = record.end == state::QueryEnd::kDropped;
  to.add_enum(Message::kType, dropped ? kClientQuery : kClientResponse);
  to.add_enum(Message::kSocketFamily, record.client.address.is_v4() ? kInet : kInet6);
  to.add_enum(Message::kSocketProtocol, protocol_of(record));
  add_address(to, Message::kQueryAddress, record.client.address);
  add_address(to, Message::kResponseAddress, record.server.address);
  to.add_uint32(Message::kQueryPort, record.client.port);
  to.add_uint32(Message::kResponsePort, record.server.port);
  add_time(to, Message::kQueryTimeSec, Message::kQueryTimeNsec, record.asked_us);
  if (dropped) return add_octets(to, Message::kQueryMessage, record.message);
  add_time(to, Message::kResponseTimeSec, Message::kResponseTimeNsec, record.ended_us);
  add_octets(to, Message::kResponseMessage, record.message);
}

}  // namespace

std::string query_dnstap(const QueryRecord& record, const DnstapSource& source) {
  std::string octets;
  protozero::pbf_builder<Dnstap> to(octets);
  to.add_bytes(Dnstap::kIdentity, source.identity);
  to.add_bytes(Dnstap::kVersion, source.version);
  to.add_bytes(Dnstap::kExtra, decision_json(record));
  {
    Writer message(to, Dnstap::kMessage);
    add_message(message, record);
  }
  to.add_enum(Dnstap::kType, kTypeMessage);
  return octets;
}

}  // namespace shunt::control
