// Messages as real servers and clients send them, made with ldns, and hostile variants of them.
#pragma once

// Before ldns.h, which otherwise makes macros of bool, false and true; they break the standard's own headers.
#include <stdbool.h>

#include <ldns/ldns.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "dataplane/base/random.h"
#include "tests/support/dns_messages.h"

namespace shunt::testing {

struct FreePacket {
  void operator()(ldns_pkt* p) const { ldns_pkt_free(p); }
};
using Packet = std::unique_ptr<ldns_pkt, FreePacket>;

/// What ldns makes of `wire`, or null; `status` tells why.
Packet read_with_ldns(std::span<const std::uint8_t> wire, ldns_status& status);

/// Answers of all common types, with compression, with and without EDNS, positive and negative.
std::vector<Bytes> answer_corpus();
/// Queries of all common types, with and without EDNS and options.
std::vector<Bytes> query_corpus();

/// One to four random changes: octets, counts, cuts, insertions, pieces moved or taken from `other`.
Bytes mutate(Bytes message, const Bytes& other, Random& random);

}  // namespace shunt::testing
