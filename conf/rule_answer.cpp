#include "conf/rule_answer.h"

#include <fmt/format.h>
#include <ldns/ldns.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <memory>

#include "dataplane/base/bytes.h"
#include "dataplane/dns/wire.h"

namespace shunt::conf {
namespace {

/// Owner (the root), type, class, TTL and RDLENGTH of a record in wire format.
constexpr std::size_t kHeader = 11;

struct FreeRecord {
  void operator()(ldns_rr* rr) const { ldns_rr_free(rr); }
};
using Record = std::unique_ptr<ldns_rr, FreeRecord>;

struct FreeMemory {
  void operator()(void* p) const { std::free(p); }
};
template <typename T>
using Allocated = std::unique_ptr<T, FreeMemory>;

std::vector<std::uint8_t> wire_record(std::uint16_t type, std::span<const std::uint8_t> rdata) {
  std::vector<std::uint8_t> wire(kHeader + rdata.size());
  store_be16(&wire[1], type);
  store_be16(&wire[3], dns::kClassIn);
  store_be16(&wire[9], static_cast<std::uint16_t>(rdata.size()));
  std::ranges::copy(rdata, wire.begin() + kHeader);
  return wire;
}

Record read_record(std::span<const std::uint8_t> wire) {
  ldns_rr* rr = nullptr;
  std::size_t at = 0;
  if (ldns_wire2rr(&rr, wire.data(), wire.size(), &at, LDNS_SECTION_ANSWER) != LDNS_STATUS_OK) return nullptr;
  return Record(rr);
}

std::vector<std::uint8_t> write_record(const ldns_rr* rr) {
  std::uint8_t* octets = nullptr;
  std::size_t size = 0;
  if (ldns_rr2wire(&octets, rr, LDNS_SECTION_ANSWER, &size) != LDNS_STATUS_OK) return {};
  const Allocated<std::uint8_t> owned(octets);
  return {octets, octets + size};
}

// RFC 9460 section 2.2: each SvcParamKey once, in ascending order. ldns takes any octets for them.
bool has_ordered_parameters(std::span<const std::uint8_t> parameters) {
  int last = -1;
  while (!parameters.empty()) {
    if (parameters.size() < 4) return false;
    const int key = load_be16(&parameters[0]);
    const std::size_t end = std::size_t{4} + load_be16(&parameters[2]);
    if (key <= last || end > parameters.size()) return false;
    last = key;
    parameters = parameters.subspan(end);
  }
  return true;
}

bool has_good_parameters(const ldns_rr* rr) {
  for (std::size_t i = 0; i < ldns_rr_rd_count(rr); ++i) {
    const ldns_rdf* const rdf = ldns_rr_rdf(rr, i);
    if (ldns_rdf_get_type(rdf) == LDNS_RDF_TYPE_SVCPARAMS &&
        !has_ordered_parameters(std::span(ldns_rdf_data(rdf), ldns_rdf_size(rdf))))
      return false;
  }
  return true;
}

}  // namespace

std::string type_text(std::uint16_t type) {
  const Allocated<char> text(ldns_rr_type2str(static_cast<ldns_rr_type>(type)));
  return text ? text.get() : "TYPE" + std::to_string(type);
}

bool is_well_formed(std::uint16_t type, std::span<const std::uint8_t> rdata) {
  const std::vector<std::uint8_t> wire = wire_record(type, rdata);
  const Record read = read_record(wire);
  const std::size_t least = ldns_rr_descriptor_minimum(ldns_rr_descript(type));
  return read && write_record(read.get()) == wire && ldns_rr_rd_count(read.get()) >= least &&
         has_good_parameters(read.get());
}

std::span<const std::string_view> common_types() {
  static constexpr std::array<std::string_view, 13> kTypes = {
      "A", "AAAA", "CNAME", "TXT", "MX", "SRV", "PTR", "NS", "CAA", "SOA", "HTTPS", "SVCB", "NAPTR"};
  return kTypes;
}

Result<AnswerRecord> parse_record(std::uint16_t type, std::string_view rdata) {
  const std::string line = ". 0 IN " + type_text(type) + " " + std::string(rdata);
  ldns_rr* parsed = nullptr;
  ldns_rdf* previous = nullptr;
  const ldns_status status = ldns_rr_new_frm_str(&parsed, line.c_str(), 0, nullptr, &previous);
  ldns_rdf_deep_free(previous);
  if (status != LDNS_STATUS_OK) return Failure(ldns_get_errorstr_by_id(status));
  const Record rr(parsed);
  const std::vector<std::uint8_t> wire = write_record(rr.get());
  // What was given as \# octets may be anything.
  if (wire.size() < kHeader || ldns_rr_get_type(rr.get()) != type ||
      !is_well_formed(type, std::span(wire).subspan(kHeader)))
    return Failure("the record's data is malformed");
  return AnswerRecord{type, {wire.begin() + kHeader, wire.end()}};
}

namespace {

// A field as a rule line can have it. ldns leaves "#" as it is, which begins a comment there; as "\#" it may
// be taken for the mark of generic data (RFC 3597), as "\035" for nothing else. So does it leave quotes in
// names, and a name may look like an option.
std::string escape_field(std::string_view text, bool is_name) {
  std::string escaped;
  if (text.starts_with("id=") || text.starts_with("ttl=")) escaped += '\\';
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && is_name) {
      escaped += "\\034";
      continue;
    }
    if (text[i] == '"') quoted = !quoted;
    if (text[i] == '#' && !quoted) {
      escaped += "\\035";
      continue;
    }
    escaped += text[i];
    if (text[i] == '\\' && i + 1 < text.size()) escaped += text[++i];
  }
  return escaped;
}

// RFC 3597 section 5.
std::string generic_text(std::span<const std::uint8_t> rdata) {
  std::string text = "\\# " + std::to_string(rdata.size());
  if (!rdata.empty()) text += ' ';
  for (const std::uint8_t octet : rdata)
    fmt::format_to(std::back_inserter(text), "{:02x}", octet);
  return text;
}

}  // namespace

std::string record_text(std::uint16_t type, std::span<const std::uint8_t> rdata) {
  std::string fields;
  const Record rr = read_record(wire_record(type, rdata));
  for (std::size_t i = 0; rr && i < ldns_rr_rd_count(rr.get()); ++i) {
    const ldns_rdf* const rdf = ldns_rr_rdf(rr.get(), i);
    const Allocated<char> field(ldns_rdf2str(rdf));
    if (!field) continue;
    std::string_view shown = field.get();
    while (shown.ends_with(' '))
      shown.remove_suffix(1);
    fields.append(fields.empty() ? "" : " ");
    fields.append(escape_field(shown, ldns_rdf_get_type(rdf) == LDNS_RDF_TYPE_DNAME));
  }
  // ldns doesn't read all that it writes.
  const auto read_back = parse_record(type, fields);
  if (fields.empty() || !read_back || !std::ranges::equal(read_back->rdata, rdata))
    fields = generic_text(rdata);
  return type_text(type) + " " + fields;
}

}  // namespace shunt::conf
