// The NAME of a rule line: "onprem.corp", "*.onprem.corp", "=www.onprem.corp", ".", "10.20.0.0/15"; and its
// way back to text.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "dataplane/base/address.h"
#include "dataplane/base/result.h"
#include "dataplane/dns/name.h"
#include "dataplane/rules/rule.h"

namespace shunt::conf {

/// What a NAME stands for: one name, or the reverse zones of a prefix (128 at most).
struct RuleName {
  rules::Cover cover = rules::Cover::kSuffix;
  std::vector<dns::Name> names;
};

/// Reads a NAME into `into`, whose memory is used again. The error says what would be right; empty: none.
std::string parse_rule_name(std::string_view text, RuleName& into);

/// Reads a NAME of letters, digits, "-" and "_", as nearly all are, at the front of `text`, up to a blank or
/// the end: the same as parse_rule_name, without its cost. Returns the octets taken, or 0 where the NAME is
/// longer than kMaxPlainName or may be anything else; `name` and `cover` are then of no use.
std::size_t read_plain_name(std::string_view text, dns::Name& name, rules::Cover& cover);
inline constexpr std::size_t kMaxPlainName = 128;

/// Calls `use` with the reverse zones that are exactly `prefix`: for IPv4 on octet boundaries below
/// in-addr.arpa (RFC 1035 section 3.5), for IPv6 on nibble boundaries below ip6.arpa (RFC 3596 section 2.5).
/// 128 and 8 at most.
std::vector<dns::Name> reverse_zones(const Prefix& prefix);

/// A rule's name as it would be written, so that parse_rule_name reads the same rule from it.
std::string rule_name_text(std::span<const std::uint8_t> wire, rules::Cover cover);

/// Is `text` one of the names that hosts files carry for the host itself: localhost, localhost.localdomain,
/// local, broadcasthost, ip6-localhost and its like, or an address ("0.0.0.0 0.0.0.0")? They are no rules.
bool is_hosts_file_own_name(std::string_view text);

}  // namespace shunt::conf
