// DNS messages for tests, made octet by octet, so that they may be wrong in any way; and buffers of their
// exact size, so that AddressSanitizer sees every read past the end.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/dns/wire.h"

namespace shunt::testing {

using Bytes = std::vector<std::uint8_t>;

/// A copy on the heap without a spare octet on either side.
class ExactBuffer {
 public:
  explicit ExactBuffer(std::span<const std::uint8_t> octets)
      : octets_(new std::uint8_t[octets.size()]), size_(octets.size()) {
    std::copy(octets.begin(), octets.end(), octets_.get());
  }
  std::span<const std::uint8_t> span() const { return {octets_.get(), size_}; }
  std::uint8_t* data() { return octets_.get(); }

 private:
  std::unique_ptr<std::uint8_t[]> octets_;
  std::size_t size_;
};

// Not inlined: g++ 12 warns of overflows that aren't there where it sees the sizes of several appends at
// once.
[[gnu::noinline]] inline void append(Bytes& to, std::span<const std::uint8_t> octets) {
  to.insert(to.end(), octets.begin(), octets.end());
}
inline void append16(Bytes& to, unsigned value) {
  append(to, std::array{static_cast<std::uint8_t>(value >> 8), static_cast<std::uint8_t>(value)});
}
inline void append32(Bytes& to, std::uint32_t value) {
  append16(to, value >> 16);
  append16(to, value & 0xffff);
}

/// One label with its length octet.
inline Bytes label(std::string_view octets) {
  Bytes out{static_cast<std::uint8_t>(octets.size())};
  for (char c : octets)
    out.push_back(static_cast<std::uint8_t>(c));
  return out;
}
/// "www.example.com" in wire format, case kept, no escapes; "." is the root.
inline Bytes wire_name(std::string_view text) {
  Bytes out;
  while (!text.empty() && text != ".") {
    const std::size_t dot = std::min(text.find('.'), text.size());
    append(out, label(text.substr(0, dot)));
    text.remove_prefix(std::min(dot + 1, text.size()));
  }
  out.push_back(0);
  return out;
}
/// `count` labels of `octets` octets each, and the root.
inline Bytes repeated_labels(std::size_t count, std::size_t octets) {
  Bytes out;
  for (std::size_t i = 0; i < count; ++i)
    append(out, label(std::string(octets, static_cast<char>('a' + i % 26))));
  out.push_back(0);
  return out;
}
inline Bytes pointer(unsigned target) {
  Bytes out;
  append16(out, 0xc000u | target);
  return out;
}

/// One EDNS option.
inline Bytes option(unsigned code, std::size_t octets = 0) {
  Bytes out;
  append16(out, code);
  append16(out, static_cast<unsigned>(octets));
  out.resize(out.size() + octets, 0x5a);
  return out;
}

struct OptRecord {
  unsigned udp_size = 1232;
  std::uint8_t extended_rcode = 0;
  std::uint8_t version = 0;
  bool dnssec_ok = false;
  Bytes options{};
};

/// Sections in the order of the calls; counts follow them, and can be set to lie afterwards.
class MessageBuilder {
 public:
  explicit MessageBuilder(unsigned id = 0x1234, unsigned flags = dns::kRd) : header_{} {
    header_.id = static_cast<std::uint16_t>(id);
    header_.flags = static_cast<std::uint16_t>(flags);
  }

  MessageBuilder& question(const Bytes& name, unsigned type = 1, unsigned klass = 1) {
    append(body_, name);
    append16(body_, type);
    append16(body_, klass);
    ++header_.qdcount;
    return *this;
  }
  MessageBuilder& answer(const Bytes& owner, unsigned type, std::uint32_t ttl, const Bytes& rdata,
                         unsigned klass = 1) {
    ++header_.ancount;
    return record(owner, type, ttl, rdata, klass);
  }
  MessageBuilder& authority(const Bytes& owner, unsigned type, std::uint32_t ttl, const Bytes& rdata,
                            unsigned klass = 1) {
    ++header_.nscount;
    return record(owner, type, ttl, rdata, klass);
  }
  MessageBuilder& additional(const Bytes& owner, unsigned type, std::uint32_t ttl, const Bytes& rdata,
                             unsigned klass = 1) {
    ++header_.arcount;
    return record(owner, type, ttl, rdata, klass);
  }
  MessageBuilder& opt(const OptRecord& o = {}) {
    const std::uint32_t ttl =
        std::uint32_t{o.extended_rcode} << 24 | std::uint32_t{o.version} << 16 | (o.dnssec_ok ? 0x8000u : 0u);
    return additional(wire_name("."), 41, ttl, o.options, o.udp_size);
  }
  MessageBuilder& raw(const Bytes& octets) {
    append(body_, octets);
    return *this;
  }
  /// Where the next octet goes: for pointers.
  unsigned here() const { return static_cast<unsigned>(dns::kHeaderSize + body_.size()); }
  dns::Header& header() { return header_; }

  Bytes build() const {
    Bytes out(dns::kHeaderSize);
    dns::store_header(out.data(), header_);
    append(out, body_);
    return out;
  }

 private:
  MessageBuilder& record(const Bytes& owner, unsigned type, std::uint32_t ttl, const Bytes& rdata,
                         unsigned klass) {
    append(body_, owner);
    append16(body_, type);
    append16(body_, klass);
    append32(body_, ttl);
    append16(body_, static_cast<unsigned>(rdata.size()));
    append(body_, rdata);
    return *this;
  }

  dns::Header header_;
  Bytes body_;
};

/// RDATA of an SOA whose names are the root.
inline Bytes soa_rdata(std::uint32_t minimum) {
  Bytes out{0, 0};
  for (std::uint32_t value : {1u, 3600u, 600u, 86400u, minimum})
    append32(out, value);
  return out;
}

}  // namespace shunt::testing
