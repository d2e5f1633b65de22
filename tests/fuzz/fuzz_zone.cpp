// Zone files from anywhere, names asked of them, and answers from elsewhere joined to theirs: none may do
// harm, and what comes out is a well-formed answer to the question.
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "conf/zone_file.h"
#include "control/zone_answer.h"
#include "control/zone_lookup.h"
#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"
#include "dataplane/dns/reply.h"
#include "require.h"

namespace {

using namespace shunt;
using shunt::testing::require;

bool is_in(const conf::Zone& zone, const dns::Name& name) {
  const unsigned labels = zone.apex().labels;
  return name.labels >= labels &&
         conf::as_text(control::suffix_of(name, labels)) == conf::as_text(zone.apex().octets());
}

void ask(const conf::Zone& zone, const dns::Name& name, std::uint16_t type,
         std::span<const std::uint8_t> foreign) {
  if (!is_in(zone, name)) return;
  std::vector<std::uint8_t> question(name.octets().begin(), name.octets().end());
  question.resize(question.size() + 4);
  store_be16(&question[question.size() - 4], type);
  store_be16(&question[question.size() - 2], dns::kClassIn);
  for (const std::size_t limit : {kMaxMessage, dns::kMaxWire}) {
    control::ZoneAnswer answer(question, limit,
                               [&zone](const dns::Name& n) { return is_in(zone, n) ? &zone : nullptr; });
    if (answer.next() && !answer.failed()) answer.join(foreign);
    const std::vector<std::uint8_t> wire = answer.finish();
    require(wire.size() <= limit);
    dns::Reply reply;
    dns::Name asked;
    require(dns::parse_reply(wire, reply, asked) == dns::ReplyVerdict::kGood);
    require(conf::as_text(asked.octets()) == conf::as_text(name.octets()) && reply.type == type);
  }
}

}  // namespace

// ldns 1.8 loses two octets of some RDATA that it can't read ("CERT 0 issue"): not ours to free.
extern "C" const char* __lsan_default_suppressions();
extern "C" const char* __lsan_default_suppressions() {
  return "leak:ldns_rdf_new_frm_data";
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  // The zone file ends at a line "%"; each line behind is a name to ask for, until one that is "%" again: the
  // rest is an answer from elsewhere.
  const std::size_t end = input.find("\n%\n");
  const std::string_view text = input.substr(0, end);
  std::string_view rest = end == input.npos ? std::string_view() : input.substr(end + 3);
  std::vector<conf::Diagnostic> errors;
  const auto zone = conf::read_zone_text(text, "fuzz.zone", errors);
  require((zone == nullptr) != errors.empty());
  static_cast<void>(conf::to_text(errors));
  if (zone == nullptr) return 0;
  const std::size_t behind = rest.find("%\n");
  const std::string_view names = rest.substr(0, behind);
  rest = behind == rest.npos ? std::string_view() : rest.substr(behind + 2);
  const std::span<const std::uint8_t> foreign(reinterpret_cast<const std::uint8_t*>(rest.data()),
                                              rest.size());
  constexpr std::array<std::uint16_t, 8> kTypes{1, 2, 5, 6, 16, 39, 43, 255};
  for (const std::uint16_t type : kTypes) {
    ask(*zone, zone->apex(), type, foreign);
    std::string_view left = names;
    while (!left.empty()) {
      const std::size_t stop = left.find('\n');
      if (const auto name = dns::parse_name(left.substr(0, stop))) ask(*zone, *name, type, foreign);
      left = stop == left.npos ? std::string_view() : left.substr(stop + 1);
    }
  }
  return 0;
}
