// Names that never belong on the public Internet: answered here unless a rule of the user's says otherwise.
#include <array>
#include <cassert>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "conf/rule_lines.h"
#include "conf/rule_names.h"
#include "dataplane/dns/wire.h"
#include "dataplane/rules/trie_builder.h"

namespace shunt::conf {
namespace {

using rules::Action;
using rules::Cover;

/// Reverse zones without an answer, as prefixes: RFC 6303 sections 4.1 to 4.6, and RFC 7793 which adds the
/// shared addresses to them.
constexpr std::string_view kBlockedPrefixes[] = {
    "0.0.0.0/8",  // "this" network
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",  // private
    "100.64.0.0/10",   // shared between carriers and their customers
    "127.0.0.0/8",     // loopback
    "169.254.0.0/16",  // link-local
    "192.0.2.0/24",
    "198.51.100.0/24",
    "203.0.113.0/24",      // documentation
    "255.255.255.255/32",  // limited broadcast
    "::/128",              // unspecified
    "fd00::/8",            // locally assigned, private
    "fe80::/10",           // link-local
    "2001:db8::/32",       // documentation
};
/// No public name either, and one of those that Route 53 keeps to itself: machines without a domain have it.
constexpr std::string_view kLocalDomain = "localdomain";
constexpr std::string_view kLoopbacks[] = {"127.0.0.1/32", "::1/128"};

/// One of this file's own literals.
RuleName rule_name(std::string_view text) {
  RuleName name;
  const std::string error = parse_rule_name(text, name);
  assert(error.empty());
  return name;
}

}  // namespace

std::unique_ptr<const rules::RuleSet> build_builtin_rules(const dns::HashKey& key) {
  rules::RuleSetBuilder builder(key);
  const auto answer = [&](std::string_view name, dns::Type type, std::span<const std::uint8_t> rdata) {
    builder.add_answer(rule_name(name).names[0], Cover::kSuffix, static_cast<std::uint16_t>(type),
                       kBlockedTtl, rdata, 0);
  };
  // RFC 6761 section 6.3: localhost and all below it are the loopback address, always.
  constexpr std::array<std::uint8_t, 4> kIpv4{127, 0, 0, 1};
  std::array<std::uint8_t, 16> ipv6{};
  ipv6.back() = 1;
  for (const std::string_view name : {"localhost", "localhost.localdomain"}) {
    answer(name, dns::Type::kA, kIpv4);
    answer(name, dns::Type::kAaaa, ipv6);
  }
  const dns::Name localhost = rule_name("localhost").names[0];
  for (const std::string_view loopback : kLoopbacks)
    answer(loopback, dns::Type::kPtr, localhost.octets());
  for (const std::string_view prefix : kBlockedPrefixes)
    for (const dns::Name& zone : rule_name(prefix).names)
      builder.add(zone, Cover::kSuffix, Action::kBlockNxdomain, 0, 0);
  builder.add(rule_name(kLocalDomain).names[0], Cover::kSuffix, Action::kBlockNxdomain, 0, 0);
  return builder.build();
}

}  // namespace shunt::conf
