#include "conf/record_type.h"

#include <strings.h>

#include <charconv>
#include <string>

#include "dataplane/dns/wire.h"

// Last: it defines true and false as macros.
#include <ldns/rr.h>

namespace shunt::conf {

std::uint16_t read_type(std::string_view text) {
  constexpr std::size_t kGeneric = 4;  // "TYPE"
  if (text.size() > kGeneric && strncasecmp(text.data(), "TYPE", kGeneric) == 0) {
    // ldns takes "TYPE65x" for TYPE65, and makes no difference between TYPE65537 and TYPE1.
    std::uint16_t type = 0;
    const auto [end, error] = std::from_chars(text.data() + kGeneric, text.data() + text.size(), type);
    return error == std::errc() && end == text.data() + text.size() ? type : 0;
  }
  if (text.find('\0') != text.npos) return 0;
  return static_cast<std::uint16_t>(ldns_get_rr_type_by_name(std::string(text).c_str()));
}

std::uint16_t parse_type(std::string_view text) {
  constexpr std::uint16_t kFirstMeta = 128, kLastMeta = 255;
  const std::uint16_t type = read_type(text);
  const bool meta =
      (type >= kFirstMeta && type <= kLastMeta) || type == static_cast<std::uint16_t>(dns::Type::kOpt);
  return meta ? 0 : type;
}

}  // namespace shunt::conf
