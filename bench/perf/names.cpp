#include "bench/perf/names.h"

#include <strings.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <fstream>
#include <sstream>

#include "dataplane/dns/name.h"
#include "dataplane/net/checksum.h"

namespace shunt::perf {
namespace {

constexpr std::size_t kDraws = 1 << 22;
constexpr std::size_t kOptSize = 11;
constexpr std::size_t kQuestionTail = 4;  // type and class

struct TypeName {
  const char* text;
  std::uint16_t type;
};
constexpr std::array kTypes{TypeName{"A", 1},      TypeName{"NS", 2},      TypeName{"CNAME", 5},
                            TypeName{"SOA", 6},    TypeName{"PTR", 12},    TypeName{"MX", 15},
                            TypeName{"TXT", 16},   TypeName{"AAAA", 28},   TypeName{"SRV", 33},
                            TypeName{"DS", 43},    TypeName{"DNSKEY", 48}, TypeName{"SVCB", 64},
                            TypeName{"HTTPS", 65}, TypeName{"ANY", 255},   TypeName{"CAA", 257}};

void mix_case(dns::Name& name, std::mt19937_64& random) {
  for (std::size_t label = 0; label < name.labels; ++label) {
    const std::size_t start = name.offset[label] + std::size_t{1};
    for (std::size_t i = start; i < start + name.wire[name.offset[label]]; ++i) {
      if (name.wire[i] >= 'a' && name.wire[i] <= 'z' && (random() & 1) != 0) name.wire[i] ^= 0x20;
    }
  }
}

}  // namespace

std::uint16_t parse_type(std::string_view text) {
  for (const TypeName& known : kTypes) {
    if (text.size() == std::string_view(known.text).size() &&
        strncasecmp(text.data(), known.text, text.size()) == 0)
      return known.type;
  }
  constexpr std::string_view kGeneric = "TYPE";
  if (text.size() <= kGeneric.size() || strncasecmp(text.data(), kGeneric.data(), kGeneric.size()) != 0)
    return 0;
  std::uint16_t type = 0;
  const auto [end, error] = std::from_chars(text.data() + kGeneric.size(), text.data() + text.size(), type);
  return error == std::errc() && end == text.data() + text.size() ? type : std::uint16_t{0};
}

// Names of unequal length, one behind the other; laid out evenly once all are known.
struct Questions::Builder {
  const NameOptions& options;
  std::mt19937_64& random;
  std::vector<std::uint8_t> octets;
  std::vector<std::uint16_t> lengths;

  Result<void> add(std::string_view text, std::uint16_t type) {
    auto name = dns::parse_name(text);
    if (!name) return Failure("the name \"" + std::string(text) + "\": " + name.error());
    if (options.mixed_case) mix_case(*name, random);
    octets.insert(octets.end(), name->wire.begin(), name->wire.begin() + name->length);
    std::array<std::uint8_t, kQuestionTail> tail;
    store_be16(tail.data(), type);
    store_be16(tail.data() + 2, dns::kClassIn);
    octets.insert(octets.end(), tail.begin(), tail.end());
    lengths.push_back(static_cast<std::uint16_t>(name->length + kQuestionTail));
    return {};
  }

  Result<void> from_pattern(std::uint16_t type) {
    const std::size_t at = options.pattern.find("%d");
    if (at == std::string::npos && options.count > 1)
      return Failure("--names \"" + options.pattern + "\" has no %d: all names would be the same one");
    for (std::uint32_t i = 0; i < options.count; ++i) {
      std::string text = options.pattern;
      if (at != std::string::npos) text.replace(at, 2, std::to_string(i));
      if (auto added = add(text, type); !added) return added;
    }
    return {};
  }

  Result<void> from_file(std::uint16_t default_type) {
    std::ifstream file(options.file);
    if (!file) return Failure("cannot read " + options.file);
    std::string line;
    for (unsigned number = 1; std::getline(file, line); ++number) {
      std::istringstream words(line);
      std::string name, type_text;
      if (!(words >> name) || name.starts_with('#')) continue;
      std::uint16_t type = default_type;
      if (words >> type_text) type = parse_type(type_text);
      const std::string where = options.file + ":" + std::to_string(number) + ": ";
      if (type == 0) return Failure(where + "unknown type " + type_text);
      if (auto added = add(name, type); !added) return Failure(where + added.error());
    }
    if (lengths.empty()) return Failure(options.file + " holds no names");
    return {};
  }
};

Result<Questions> Questions::make(const NameOptions& options, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::uint16_t type = parse_type(options.type);
  if (type == 0) return Failure("--type: unknown type " + options.type);
  Builder builder{options, random, {}, {}};
  if (auto built = options.file.empty() ? builder.from_pattern(type) : builder.from_file(type); !built)
    return Failure(built.error());

  Questions q;
  q.count_ = static_cast<std::uint32_t>(builder.lengths.size());
  const std::size_t opt = options.edns == 0 ? 0 : kOptSize;
  const std::size_t longest = *std::max_element(builder.lengths.begin(), builder.lengths.end()) + opt;
  q.stride_ = (sizeof(Question) + (longest + 15) / 16 * 16 + sizeof(Line) - 1) / sizeof(Line);
  q.table_.resize(q.stride_ * q.count_);
  const std::uint8_t* from = builder.octets.data();
  for (std::uint32_t i = 0; i < q.count_; ++i) {
    auto& to = *reinterpret_cast<Question*>(q.table_[i * q.stride_].octets.data());
    to.length = builder.lengths[i];
    to.whole_length = static_cast<std::uint16_t>(to.length + opt);
    std::copy_n(from, to.length, to.octets());
    from += to.length;
    if (opt != 0) {
      to.octets()[to.length + 2] = static_cast<std::uint8_t>(dns::Type::kOpt);
      store_be16(to.octets() + to.length + 3, options.edns);
    }
    to.sum = net::fold(net::add_octets(0, to.octets(), to.whole_length));
  }
  q.draw_order(options, random);
  return q;
}

void Questions::draw_order(const NameOptions& options, std::mt19937_64& random) {
  if (options.order == Order::kSequential) return;
  sequence_.resize(kDraws);
  if (options.order == Order::kUniform) {
    std::uniform_int_distribution<std::uint32_t> draw(0, count_ - 1);
    std::generate(sequence_.begin(), sequence_.end(), [&] { return draw(random); });
    return;
  }
  std::vector<double> sums(count_);
  double sum = 0;
  for (std::uint32_t i = 0; i < count_; ++i)
    sums[i] = sum += std::pow(i + 1.0, -options.zipf);
  std::uniform_real_distribution<double> draw(0, sum);
  std::generate(sequence_.begin(), sequence_.end(), [&] {
    const auto at = std::upper_bound(sums.begin(), sums.end(), draw(random));
    return std::min(static_cast<std::uint32_t>(at - sums.begin()), count_ - 1);
  });
}

}  // namespace shunt::perf
