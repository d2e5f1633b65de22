#include "conf/rule_names.h"

#include <algorithm>
#include <array>

#include "conf/rule_tokens.h"

namespace shunt::conf {
namespace {

using rules::Cover;

/// Characters that a name on the wire may hold, but that in a rule mean another syntax was taken for this one
/// (a URL, an ad blocker's pattern, a list with commas). A backslash in front says that they are meant.
constexpr std::string_view kUnlikely = "|^,:;()[]{}<>!?&%$\"'`";

bool is_digits(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

/// "ADDRESS/BITS", also where the address is misspelt; not "0/25.2.0.192.in-addr.arpa" (RFC 2317).
bool is_prefix_form(std::string_view text) {
  const std::size_t slash = text.rfind('/');
  if (slash == text.npos || (slash > 0 && text[slash - 1] == '\\')) return false;
  return is_digits(text.substr(slash + 1)) || IpAddress::parse(text.substr(0, slash)).has_value();
}

/// Wildcards inside, and characters that say another syntax was meant; empty where there is neither.
std::string check_characters(std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\\') {
      ++i;
    } else if (c == '*') {
      return "a * may only stand in front, as in *.onprem.corp (or write \\* where the name really has one)";
    } else if (kUnlikely.find(c) != kUnlikely.npos) {
      return std::string("a name has no \"") + c + "\" (or write \\" + c + " where it really has one)";
    }
  }
  return {};
}

IpAddress masked(IpAddress address, unsigned length) {
  for (unsigned bit = length; bit < 128; ++bit)
    address.octets[bit / 8] &= static_cast<std::uint8_t>(~(0x80u >> bit % 8));
  return address;
}

/// As Prefix::parse, but bits behind the prefix may be set within its last label: "fd00:12::/30" are the
/// zones of fd00:10::/30. Bits further behind are a mistake in the length, or in the address.
Result<Prefix> parse_prefix(std::string_view text) {
  Result<Prefix> prefix = Prefix::parse_interface(text);
  if (!prefix) return prefix;
  const unsigned unit = prefix->is_v4() ? 8 : 4;
  const unsigned boundary = (prefix->length + unit - 1) / unit * unit;
  if (masked(prefix->address, boundary) != prefix->address) return Prefix::parse(text);
  prefix->address = masked(prefix->address, prefix->length);
  return prefix;
}

void append_label(dns::Name& name, std::string_view label) {
  name.offset[name.labels++] = static_cast<std::uint8_t>(name.length - 1);
  name.wire[name.length - 1u] = static_cast<std::uint8_t>(label.size());
  std::copy(label.begin(), label.end(), name.wire.begin() + name.length);
  name.length = static_cast<std::uint8_t>(name.length + label.size() + 1);
  name.wire[name.length - 1u] = 0;
  name.offset[name.labels] = static_cast<std::uint8_t>(name.length - 1);
}

/// One zone for each value that the last unit (an octet or a nibble) of the prefix can take.
template <typename UnitAt, typename UnitText>
std::vector<dns::Name> zones(unsigned bits, unsigned unit_bits, UnitAt unit_at, UnitText unit_text,
                             std::string_view family) {
  const unsigned units = (bits + unit_bits - 1) / unit_bits;
  const unsigned count = 1u << (units * unit_bits - bits);
  std::vector<dns::Name> found(count);
  for (unsigned i = 0; i < count; ++i) {
    for (unsigned k = units; k-- > 0;)
      append_label(found[i], unit_text(k + 1 == units ? unit_at(k) + i : unit_at(k)));
    append_label(found[i], family);
    append_label(found[i], "arpa");
  }
  return found;
}

}  // namespace

std::vector<dns::Name> reverse_zones(const Prefix& prefix) {
  if (prefix.is_v4()) {
    const std::uint8_t* const octets = prefix.address.v4_octets();
    return zones(
        prefix.length - 96u, 8, [&](unsigned k) { return unsigned{octets[k]}; },
        [](unsigned octet) { return std::to_string(octet); }, "in-addr");
  }
  const auto& octets = prefix.address.octets;
  return zones(
      prefix.length, 4, [&](unsigned k) { return k % 2 == 0 ? octets[k / 2] >> 4u : octets[k / 2] & 0xfu; },
      [](unsigned nibble) { return std::string(1, "0123456789abcdef"[nibble]); }, "ip6");
}

std::string parse_rule_name(std::string_view text, RuleName& into) {
  into.cover = Cover::kSuffix;
  into.names.clear();
  std::string_view rest = text;
  if (rest.size() >= 2 && rest.front() == '"' && rest.back() == '"') rest = rest.substr(1, rest.size() - 2);
  if (rest.starts_with('=')) {
    into.cover = Cover::kExact;
    rest.remove_prefix(1);
    if (rest.starts_with("*."))
      return "= is one name and *. are those below it: only one of them can stand here";
    if (rest.empty()) return "a name must follow the =";
  } else if (rest.starts_with("*.")) {
    into.cover = Cover::kBelow;
    rest.remove_prefix(2);
    if (rest.empty()) rest = ".";
  }
  if (is_prefix_form(rest)) {
    if (into.cover != Cover::kSuffix) return "a prefix stands for whole zones: it takes no = and no *.";
    const Result<Prefix> prefix = parse_prefix(rest);
    if (!prefix) return prefix.error();
    into.names = reverse_zones(*prefix);
    return {};
  }
  if (IpAddress::parse(rest)) {
    const Prefix host{*IpAddress::parse(rest), 128};
    return "an address is not a name: write " + host.to_string() + " for its reverse name";
  }
  if (std::string error = check_characters(rest); !error.empty()) return error;
  Result<dns::Name> name = dns::parse_name(rest);
  if (!name) return name.error();
  into.names.push_back(*name);
  return {};
}

std::size_t read_plain_name(std::string_view text, dns::Name& name, Cover& cover) {
  /// What an octet becomes in a name; 0: it is not plain.
  static constexpr auto kPlain = [] {
    std::array<std::uint8_t, 256> plain{};
    for (unsigned c = '0'; c <= '9'; ++c)
      plain[c] = static_cast<std::uint8_t>(c);
    for (unsigned c = 'a'; c <= 'z'; ++c)
      plain[c] = plain[c - 'a' + 'A'] = static_cast<std::uint8_t>(c);
    plain['-'] = '-';
    plain['_'] = '_';
    return plain;
  }();
  std::size_t i = 0;
  cover = Cover::kSuffix;
  if (text.starts_with('=')) {
    cover = Cover::kExact;
    i = 1;
  } else if (text.starts_with("*.")) {
    cover = Cover::kBelow;
    i = 2;
  }
  const std::size_t most = std::min(text.size(), kMaxPlainName);
  std::size_t start = 0, at = 1;  // of the label's length octet, and behind its last octet
  unsigned labels = 0;
  for (; i < most; ++i) {
    const std::uint8_t c = kPlain[static_cast<std::uint8_t>(text[i])];
    if (c != 0) {
      name.wire[at++] = c;
      continue;
    }
    if (text[i] != '.') break;
    const std::size_t length = at - start - 1;
    if (length == 0 || length > dns::kMaxLabel) return 0;
    name.wire[start] = static_cast<std::uint8_t>(length);
    name.offset[labels++] = static_cast<std::uint8_t>(start);
    start = at++;
  }
  if (i < text.size() && text[i] != ' ' && text[i] != '\t') return 0;
  if (const std::size_t length = at - start - 1; length > 0) {
    if (length > dns::kMaxLabel) return 0;
    name.wire[start] = static_cast<std::uint8_t>(length);
    name.offset[labels++] = static_cast<std::uint8_t>(start);
    start = at;
  }
  // What ends in a label of digits may be an address.
  if (labels == 0 || is_digits({reinterpret_cast<const char*>(&name.wire[name.offset[labels - 1] + 1u]), 1}))
    return 0;
  name.wire[start] = 0;
  name.offset[labels] = static_cast<std::uint8_t>(start);
  name.labels = static_cast<std::uint8_t>(labels);
  name.length = static_cast<std::uint8_t>(start + 1);
  return i;
}

std::string rule_name_text(std::span<const std::uint8_t> wire, Cover cover) {
  std::string text = cover == Cover::kExact ? "=" : cover == Cover::kBelow ? "*." : "";
  const std::string name = dns::to_text(wire);
  const std::string_view body =
      name == "." ? std::string_view(name) : std::string_view(name).substr(0, name.size() - 1);
  std::size_t i = 0;
  if (IpAddress::parse(body)) {
    // All digits and dots, and yet a name: its first digit as an escape tells it from an address.
    text.append("\\0").append(std::to_string(int{body[0]}));
    i = 1;
  }
  for (; i < body.size(); ++i) {
    const char c = body[i];
    if (c == '\\') {  // escaped already
      text += c;
      text += body[++i];
      continue;
    }
    // A digit behind a slash, or an "=" in front, would read as another form.
    if (c == '*' || c == '#' || c == '=' || c == '/' || kUnlikely.find(c) != kUnlikely.npos) text += '\\';
    text += c;
  }
  return text;
}

bool is_hosts_file_own_name(std::string_view text) {
  static constexpr std::array<std::string_view, 5> kOwn = {"localhost", "localhost.localdomain", "local",
                                                           "localhost.local", "broadcasthost"};
  return std::ranges::find(kOwn, text) != kOwn.end() || text.starts_with("ip6-") ||
         IpAddress::parse(text).has_value();
}

}  // namespace shunt::conf
