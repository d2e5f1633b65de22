// Any octets as a name, in wire format and as text: what one side writes the other reads.
#include <algorithm>
#include <string>
#include <vector>

#include "dataplane/dns/name.h"
#include "tests/fuzz/require.h"

namespace {

using namespace shunt;
using namespace shunt::dns;
using shunt::testing::require;

void require_same(const Name& a, const Name& b) {
  require(a.length == b.length && a.labels == b.labels);
  require(std::ranges::equal(a.octets(), b.octets()));
  require(std::equal(a.offset.begin(), a.offset.begin() + a.labels + 1, b.offset.begin()));
  const HashKey key;
  std::uint64_t of_a[kMaxLabels + 1], of_b[kMaxLabels + 1];
  hash_suffixes(key, a, of_a);
  hash_suffixes(key, b, of_b);
  require(std::equal(of_a, of_a + a.labels + 1, of_b));
}

void check_wire(std::span<const std::uint8_t> wire) {
  static Name name;  // used again and again, as a worker does
  const std::size_t length = read_name(wire, name);
  if (length == 0) return;
  require(length == name.length && length <= wire.size() && length <= kMaxName && name.labels <= kMaxLabels);
  require(name.offset[name.labels] + 1u == length);
  require(skip_name(wire, 0) == length);
  require(equal_ignoring_case(wire.data(), name.wire.data(), length));
  const Result<Name> back = parse_name(to_text(wire.first(length)));
  require(back.has_value());
  require_same(name, *back);
}

void check_text(std::string_view text) {
  const Result<Name> name = parse_name(text);
  if (!name) {
    require(!name.error().empty() && name.error().size() < 300);
    return;
  }
  Name read;
  require(read_name(name->octets(), read) == name->length);
  require_same(*name, read);
  const std::string canonical = to_text(name->octets());
  const Result<Name> back = parse_name(canonical);
  require(back.has_value());
  require_same(*name, *back);
  require(to_text(back->octets()) == canonical);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check_wire({data, size});
  check_text({reinterpret_cast<const char*>(data), size});
  require(!to_text({data, size}).empty());
  return 0;
}
