#include "tests/unit/dns/ldns_corpus.h"

#include <gtest/gtest.h>

#include <string_view>

namespace shunt::testing {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kRecords[] = {
    "www.example.com. 300 IN A 192.0.2.1",
    "www.example.com. 300 IN AAAA 2001:db8::1",
    "example.com. 86400 IN NS ns1.example.com.",
    "alias.example.com. 60 IN CNAME www.example.com.",
    "example.com. 3600 IN SOA ns1.example.com. hostmaster.example.com. 2024010101 7200 3600 1209600 300",
    "1.2.0.192.in-addr.arpa. 3600 IN PTR www.example.com.",
    "example.com. 3600 IN MX 10 mail.example.com.",
    "example.com. 3600 IN TXT \"v=spf1 -all\" \"a second string\"",
    "_sip._udp.example.com. 600 IN SRV 10 60 5060 sip.example.com.",
    "example.com. 600 IN NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:info@example.com!\" .",
    "example.com. 600 IN CAA 0 issue \"ca.example.net\"",
    "example.com. 600 IN DS 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118",
    "example.com. 600 IN DNSKEY 257 3 8 AwEAAagAIKlVZrpC6Ia7gEzahOR+9W29euxhJhVVLOyQbSEW0O8gcCjF",
    "example.com. 600 IN RRSIG A 8 2 300 20300101000000 20200101000000 12345 example.com. "
    "AwEAAagAIKlVZrpC6Ia7gEza",
    "a.example.com. 600 IN NSEC c.example.com. A MX RRSIG NSEC",
    "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom.example.com. 600 IN NSEC3 1 1 12 aabbccdd "
    "2t7b4g4vsa5smi47k61mv5bv1a22bojr A RRSIG",
    "_443._tcp.www.example.com. 600 IN TLSA 3 1 1 "
    "0d6fce3f7e0c3b5cfd6ae3c1a40e0f5f21e6a7d21e3ba4f8b0b4d2c8fbc6ad01",
    "host.example.com. 600 IN SSHFP 2 1 123456789abcdef67890123456789abcdef67890",
    "old.example.com. 600 IN DNAME new.example.com.",
    "host.example.com. 600 IN HINFO \"PC\" \"Linux\"",
    "example.com. 600 IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000.00m 10.00m",
    "_ftp._tcp.example.com. 600 IN URI 10 1 \"ftp://ftp1.example.com/public\"",
    "host.example.com. 600 IN RP admin.example.com. text.example.com.",
    "host.example.com. 600 IN AFSDB 1 afs.example.com.",
    "host.example.com. 600 IN TYPE65280 \\# 4 0a000001",
    "long.example.com. 4294967295 IN A 192.0.2.9",
};

ldns_rr* record(std::string_view text) {
  ldns_rr* rr = nullptr;
  const ldns_status status = ldns_rr_new_frm_str(&rr, std::string(text).c_str(), 3600, nullptr, nullptr);
  EXPECT_EQ(status, LDNS_STATUS_OK) << text << ": " << ldns_get_errorstr_by_id(status);
  return rr;
}

/// `text`'s record, under the name that `owner` gives it where that is not empty.
ldns_rr* record_of(std::string_view text, const char* owner) {
  ldns_rr* rr = record(text);
  if (*owner != '\0') {
    ldns_rdf_deep_free(ldns_rr_owner(rr));
    ldns_rr_set_owner(rr, ldns_dname_new_frm_str(owner));
  }
  return rr;
}

Bytes wire_of(const ldns_pkt* packet) {
  std::uint8_t* wire = nullptr;
  std::size_t size = 0;
  EXPECT_EQ(ldns_pkt2wire(&wire, packet, &size), LDNS_STATUS_OK);
  Bytes out(wire, wire + size);
  LDNS_FREE(wire);
  return out;
}

Packet new_packet(const char* name, ldns_rr_type type, bool answer) {
  ldns_pkt* packet = ldns_pkt_query_new(ldns_dname_new_frm_str(name), type, LDNS_RR_CLASS_IN, LDNS_RD);
  ldns_pkt_set_id(packet, 0x1234);
  ldns_pkt_set_qr(packet, answer);
  ldns_pkt_set_ra(packet, answer);
  return Packet(packet);
}

void add_edns(ldns_pkt* packet, bool dnssec) {
  ldns_pkt_set_edns_udp_size(packet, 1232);
  ldns_pkt_set_edns_do(packet, dnssec);
}

/// Each type as the only answer, with and without EDNS; then with authority and additional records.
void add_positive(std::vector<Bytes>& out) {
  for (std::string_view text : kRecords) {
    ldns_rr* rr = record(text);
    char* owner = ldns_rdf2str(ldns_rr_owner(rr));
    for (int variant = 0; variant < 3; ++variant) {
      const Packet packet = new_packet(owner, ldns_rr_get_type(rr), true);
      ldns_pkt_push_rr(packet.get(), LDNS_SECTION_ANSWER, ldns_rr_clone(rr));
      if (variant > 0) add_edns(packet.get(), variant == 2);
      if (variant == 2) {
        ldns_pkt_push_rr(packet.get(), LDNS_SECTION_AUTHORITY,
                         record("example.com. 172800 IN NS ns1.example.com."));
        ldns_pkt_push_rr(packet.get(), LDNS_SECTION_AUTHORITY,
                         record("example.com. 172800 IN NS ns2.example.com."));
        ldns_pkt_push_rr(packet.get(), LDNS_SECTION_ADDITIONAL,
                         record("ns1.example.com. 172800 IN A 192.0.2.53"));
        ldns_pkt_push_rr(packet.get(), LDNS_SECTION_ADDITIONAL,
                         record("ns2.example.com. 172800 IN AAAA 2001:db8::53"));
      }
      out.push_back(wire_of(packet.get()));
    }
    LDNS_FREE(owner);
    ldns_rr_free(rr);
  }
}

/// All types at once, as for ANY; and a long chain of aliases.
void add_large(std::vector<Bytes>& out) {
  const Packet any = new_packet("example.com.", LDNS_RR_TYPE_ANY, true);
  for (std::string_view text : kRecords) {
    ldns_pkt_push_rr(any.get(), LDNS_SECTION_ANSWER, record_of(text, "example.com."));
  }
  add_edns(any.get(), true);
  out.push_back(wire_of(any.get()));

  const Packet chain = new_packet("n0.chain.example.com.", LDNS_RR_TYPE_A, true);
  for (int i = 0; i < 10; ++i) {
    const std::string text = "n" + std::to_string(i) + ".chain.example.com. " + std::to_string(100 - i) +
                             " IN CNAME n" + std::to_string(i + 1) + ".chain.example.com.";
    ldns_pkt_push_rr(chain.get(), LDNS_SECTION_ANSWER, record(text));
  }
  ldns_pkt_push_rr(chain.get(), LDNS_SECTION_ANSWER, record("n10.chain.example.com. 50 IN A 192.0.2.7"));
  out.push_back(wire_of(chain.get()));
}

void add_negative(std::vector<Bytes>& out) {
  for (std::uint8_t rcode = 0; rcode < 6; ++rcode) {
    for (int variant = 0; variant < 4; ++variant) {
      const Packet packet = new_packet("nothing.example.com.", LDNS_RR_TYPE_A, true);
      ldns_pkt_set_rcode(packet.get(), rcode);
      if (variant & 1) ldns_pkt_push_rr(packet.get(), LDNS_SECTION_AUTHORITY, record(kRecords[4]));
      if (variant & 2) add_edns(packet.get(), true);
      out.push_back(wire_of(packet.get()));
    }
  }
}

/// What ldns doesn't write: an OPT between other records, options, extended RCODEs, odd names.
void add_handmade(std::vector<Bytes>& out) {
  const auto base = [] {
    return MessageBuilder(1, dns::kQr | dns::kRd | dns::kRa).question(wire_name("WwW.ExamplE.com"), 1);
  };
  Bytes options = option(15, 30);
  append(options, option(10, 24));
  append(options, option(8, 7));
  out.push_back(base().answer(pointer(12), 1, 300, Bytes(4)).opt({.options = options}).build());
  out.push_back(
      base().opt({.extended_rcode = 1, .dnssec_ok = true}).additional(pointer(16), 1, 5, Bytes(4)).build());
  out.push_back(base().answer(repeated_labels(127, 1), 1, 0x80000000, Bytes(4)).build());
  Bytes owner = label(std::string("\0.\xff", 3));
  append(owner, pointer(16));
  out.push_back(base().answer(owner, 65280, 1, {}).build());
  out.push_back(MessageBuilder(1, dns::kQr | dns::kTc)
                    .question(wire_name("a.b"))
                    .answer(pointer(12), 1, 1, {})
                    .build());
}

}  // namespace

Packet read_with_ldns(std::span<const std::uint8_t> wire, ldns_status& status) {
  ldns_pkt* packet = nullptr;
  status = ldns_wire2pkt(&packet, wire.data(), wire.size());
  return Packet(status == LDNS_STATUS_OK ? packet : nullptr);
}

std::vector<Bytes> answer_corpus() {
  std::vector<Bytes> out;
  add_positive(out);
  add_large(out);
  add_negative(out);
  add_handmade(out);
  return out;
}

std::vector<Bytes> query_corpus() {
  std::vector<Bytes> out;
  for (const char* name : {".", "com.", "www.example.com.", "MiXeD.CaSe.ExAmPlE.", "_sip._udp.example.com.",
                           "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."}) {
    for (ldns_rr_type type : {LDNS_RR_TYPE_A, LDNS_RR_TYPE_AAAA, LDNS_RR_TYPE_PTR, LDNS_RR_TYPE_ANY,
                              LDNS_RR_TYPE_AXFR, LDNS_RR_TYPE_TKEY}) {
      for (int variant = 0; variant < 3; ++variant) {
        const Packet packet = new_packet(name, type, false);
        if (variant > 0) add_edns(packet.get(), variant == 2);
        out.push_back(wire_of(packet.get()));
      }
    }
  }
  Bytes options = option(10, 8);
  append(options, option(12, 20));
  out.push_back(
      MessageBuilder().question(wire_name("www.example.com"), 28).opt({.options = options}).build());
  append(options, option(8, 7));
  out.push_back(
      MessageBuilder().question(wire_name("www.example.com"), 28).opt({.options = options}).build());
  out.push_back(MessageBuilder().question(repeated_labels(127, 1)).opt({.version = 1}).build());
  out.push_back(MessageBuilder().question(wire_name("version.bind"), 16, 3).build());
  return out;
}

// One draw a statement: the order of draws must not depend on the compiler.
Bytes mutate(Bytes message, const Bytes& other, Random& random) {
  const auto any = [&](std::size_t bound) { return random.below(static_cast<std::uint32_t>(bound)); };
  const auto place = [&](std::size_t i) { return message.begin() + static_cast<std::ptrdiff_t>(i); };
  static constexpr std::uint8_t kTelling[] = {0, 1, 0x3f, 0x40, 0x41, 0x7f, 0x80, 0xc0, 0xff, 12, 6, 41};
  for (unsigned changes = 1 + any(4); changes > 0; --changes) {
    if (message.empty()) return message;
    const std::size_t at = any(message.size());
    switch (any(9)) {
      case 0:
        message[at] ^= static_cast<std::uint8_t>(1u << any(8));
        break;
      case 1:
        message[at] = static_cast<std::uint8_t>(random.next32());
        break;
      case 2:
        message[at] = kTelling[any(std::size(kTelling))];
        break;
      case 3:  // a count, mostly by one
        if (message.size() >= 12) message[5 + 2 * (at % 4)] = static_cast<std::uint8_t>(any(4));
        break;
      case 4:
        message.resize(at);
        break;
      case 5:
        message.insert(message.end(), 1 + at % 12, static_cast<std::uint8_t>(any(3)));
        break;
      case 6:  // a piece of another message
        if (!other.empty()) {
          const std::size_t from = any(other.size());
          const std::size_t size = std::min<std::size_t>(1 + any(30), other.size() - from);
          const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
          message.insert(place(at), begin, begin + static_cast<std::ptrdiff_t>(size));
        }
        break;
      case 7:
        message.erase(place(at), place(std::min(message.size(), at + 1 + any(8))));
        break;
      case 8:  // a compression pointer
        if (at + 1 < message.size()) {
          message[at] = 0xc0;
          message[at + 1] = static_cast<std::uint8_t>(any(message.size() + 4));
        }
        break;
    }
  }
  return message;
}

}  // namespace shunt::testing
