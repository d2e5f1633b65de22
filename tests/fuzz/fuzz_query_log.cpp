// Any octets as the message of a query that is logged: what comes out is one line of JSON in ASCII, and a
// message of dnstap that can be read.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <protozero/pbf_reader.hpp>

#include "control/query_dnstap.h"
#include "control/query_json.h"
#include "tests/fuzz/require.h"

namespace {

using namespace shunt;
using namespace shunt::control;
using shunt::testing::require;

void check_json(const std::string& line) {
  require(std::all_of(line.begin(), line.end(), [](char c) { return c >= 0x20 && c < 0x7f; }));
  require(nlohmann::json::parse(line, nullptr, false).is_object());
}

void check_dnstap(const std::string& octets) {
  protozero::pbf_reader whole(octets);
  unsigned messages = 0;
  while (whole.next()) {
    if (whole.tag() == 14) {
      protozero::pbf_reader message = whole.get_message();
      while (message.next())
        message.skip();
      ++messages;
    } else {
      whole.skip();
    }
  }
  require(messages == 1);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto octets = std::make_unique<std::uint8_t[]>(size - 1);  // ends where the message ends
  std::copy(data + 1, data + size, octets.get());
  QueryRecord record;
  record.asked_us = 1'700'000'000'000'000;
  record.ended_us = record.asked_us + data[0];
  record.client = {*IpAddress::parse((data[0] & 8) != 0 ? "10.0.0.1" : "fd00::1"), 4000};
  record.end = static_cast<state::QueryEnd>(data[0] % 7);
  if ((data[0] & 16) != 0) record.stream = StreamKind::kHttps;
  record.message = {octets.get(), size - 1};
  static QueryPlaces places({1, 2});
  places.find(record, 0);
  check_json(query_json(record));
  check_dnstap(query_dnstap(record, {"host", "shunt"}));
  return 0;
}
