#include "bench/perf/names.h"

#include <strings.h>
#include <sys/mman.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <new>
#include <random>
#include <sstream>

#include "dataplane/dns/name.h"
#include "dataplane/net/checksum.h"

namespace shunt::perf {
namespace {

constexpr std::size_t kLine = 64;
constexpr std::size_t kHugePage = 2 << 20;
constexpr std::size_t kOptSize = 11;
constexpr std::size_t kQuestionTail = 4;  // type and class
constexpr std::uint8_t kDoBit = 0x80;
constexpr std::size_t kVariants = 256;

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

/// "A:3,AAAA:1": types, and how often each is asked for beside the others.
struct TypeMix {
  std::vector<std::uint16_t> types;
  std::vector<double> weights;

  static Result<TypeMix> parse(const std::string& text);
  /// For a share of 0 to 1 of all that is asked.
  std::uint16_t at(double share) const {
    double sum = 0, all = 0;
    for (const double weight : weights)
      all += weight;
    for (std::size_t i = 0; i < types.size(); ++i) {
      sum += weights[i];
      if (share * all < sum) return types[i];
    }
    return types.back();
  }
};

Result<TypeMix> TypeMix::parse(const std::string& text) {
  TypeMix mix;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    const std::size_t colon = part.find(':');
    const std::string name = part.substr(0, colon);
    mix.types.push_back(parse_type(name));
    if (mix.types.back() == 0) return Failure("--type: unknown type " + name);
    std::uint32_t weight = 1;
    if (colon != std::string::npos) {
      const char* const end = part.data() + part.size();
      const auto [stop, error] = std::from_chars(part.data() + colon + 1, end, weight);
      if (error != std::errc() || stop != end || weight == 0)
        return Failure("--type: \"" + part + "\": a weight is a whole number above 0, as in A:3,AAAA:1");
    }
    mix.weights.push_back(weight);
  }
  if (mix.types.empty()) return Failure("--type: no type given");
  return mix;
}

void sum_up(Question& question) {
  question.sum = net::fold(net::add_octets(0, question.octets(), question.length));
  question.whole_sum = net::fold(net::add_octets(0, question.octets(), question.whole_length));
}

// Names of unequal length, one behind the other; laid out evenly once all are known.
class Builder {
 public:
  Builder(const NameOptions& options, std::mt19937_64& random) : options_(options), random_(random) {}

  Result<void> add(std::string_view text, std::uint16_t type);
  Result<void> from_pattern(const TypeMix& types);
  Result<void> from_file(const TypeMix& types);
  QuestionTable lay_out() const;

 private:
  std::uint16_t draw_type(const TypeMix& types) {
    return types.types.size() == 1 ? types.types[0]
                                   : types.at(std::uniform_real_distribution<double>()(random_));
  }
  void write_opt(std::uint8_t* to) const {
    to[2] = static_cast<std::uint8_t>(dns::Type::kOpt);
    store_be16(to + 3, options_.edns);
    if (options_.dnssec) to[7] = kDoBit;
  }

  const NameOptions& options_;
  std::mt19937_64& random_;
  std::vector<std::uint8_t> octets_;
  std::vector<std::uint16_t> lengths_;
};

Result<void> Builder::add(std::string_view text, std::uint16_t type) {
  auto name = dns::parse_name(text);
  if (!name) return Failure("the name \"" + std::string(text) + "\": " + name.error());
  if (options_.mixed_case) mix_case(*name, random_);
  octets_.insert(octets_.end(), name->wire.begin(), name->wire.begin() + name->length);
  std::array<std::uint8_t, kQuestionTail> tail;
  store_be16(tail.data(), type);
  store_be16(tail.data() + 2, dns::kClassIn);
  octets_.insert(octets_.end(), tail.begin(), tail.end());
  lengths_.push_back(static_cast<std::uint16_t>(name->length + kQuestionTail));
  return {};
}

Result<void> Builder::from_pattern(const TypeMix& types) {
  const std::size_t at = options_.pattern.find("%d");
  if (at == std::string::npos && options_.count > 1)
    return Failure("--names \"" + options_.pattern + "\" has no %d: all names would be the same one");
  for (std::uint32_t i = 0; i < options_.count; ++i) {
    std::string text = options_.pattern;
    if (at != std::string::npos) text.replace(at, 2, std::to_string(i));
    if (auto added = add(text, draw_type(types)); !added) return added;
  }
  return {};
}

Result<void> Builder::from_file(const TypeMix& types) {
  std::ifstream file(options_.file);
  if (!file) return Failure("cannot read " + options_.file);
  std::string line;
  for (unsigned number = 1; std::getline(file, line); ++number) {
    std::istringstream words(line);
    std::string name, type_text;
    if (!(words >> name) || name.starts_with('#')) continue;
    const std::uint16_t type = words >> type_text ? parse_type(type_text) : draw_type(types);
    const std::string where = options_.file + ":" + std::to_string(number) + ": ";
    if (type == 0) return Failure(where + "unknown type " + type_text);
    if (auto added = add(name, type); !added) return Failure(where + added.error());
  }
  if (lengths_.empty()) return Failure(options_.file + " holds no names");
  return {};
}

QuestionTable Builder::lay_out() const {
  const std::size_t opt = options_.edns == 0 ? 0 : kOptSize;
  QuestionTable table(lengths_.size(), *std::max_element(lengths_.begin(), lengths_.end()) + opt);
  const std::uint8_t* from = octets_.data();
  for (std::size_t i = 0; i < lengths_.size(); ++i) {
    Question& to = table[i];
    to.length = lengths_[i];
    to.whole_length = static_cast<std::uint16_t>(to.length + opt);
    std::copy_n(from, to.length, to.octets());
    from += to.length;
    if (opt != 0) write_opt(to.octets() + to.length);
    sum_up(to);
  }
  return table;
}

/// Where the digits lie in the wire format, found by a difference: escapes make text and wire differ.
Result<std::size_t> find_digits(const std::string& pattern, std::size_t at) {
  std::array<dns::Name, 2> names;
  for (std::size_t i = 0; i < names.size(); ++i) {
    std::string text = pattern;
    text.replace(at, 2, std::string(FreshNames::kDigits, static_cast<char>('0' + i)));
    auto name = dns::parse_name(text);
    if (!name) return Failure(name.error());
    names[i] = *name;
  }
  const auto differ = std::mismatch(names[0].wire.begin(), names[0].wire.end(), names[1].wire.begin());
  return static_cast<std::size_t>(differ.first - names[0].wire.begin());
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

QuestionTable::QuestionTable(std::size_t count, std::size_t longest) : count_(count) {
  // Copies and comparisons read whole blocks of sixteen octets.
  stride_ = (sizeof(Question) + (longest + 15) / 16 * 16 + kLine - 1) / kLine * kLine;
  const std::size_t size = (stride_ * count + kHugePage - 1) / kHugePage * kHugePage;
  octets_.reset(static_cast<std::byte*>(std::aligned_alloc(kHugePage, size)));
  if (octets_ == nullptr) throw std::bad_alloc();
  madvise(octets_.get(), size, MADV_HUGEPAGE);  // no more than advice
  std::fill_n(octets_.get(), stride_ * count, std::byte{0});
}

Result<QuestionTable> make_questions(const NameOptions& options, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto types = TypeMix::parse(options.type);
  if (!types) return Failure(types.error());
  Builder builder(options, random);
  if (auto built = options.file.empty() ? builder.from_pattern(*types) : builder.from_file(*types); !built)
    return Failure(built.error());
  return builder.lay_out();
}

FreshNames::Alphabet FreshNames::make_alphabet(bool mixed_case, std::uint64_t seed) {
  Alphabet alphabet;
  for (std::size_t i = 0; i < alphabet.digits.size(); ++i) {
    alphabet.digits[i] = "0123456789abcdef"[i];
    if (i >= 10 && mixed_case && (seed >> i & 1) != 0) alphabet.digits[i] ^= 0x20;
  }
  return alphabet;
}

Result<FreshNames> FreshNames::make(const NameOptions& options, std::uint64_t seed, std::uint64_t key) {
  const std::string option = "--miss-names \"" + options.miss_pattern + "\"";
  const std::size_t at = options.miss_pattern.find("%d");
  if (at == std::string::npos) return Failure(option + " has no %d: all names would be the same one");
  const auto types = TypeMix::parse(options.type);
  if (!types) return Failure(types.error());
  const auto offset = find_digits(options.miss_pattern, at);
  if (!offset) return Failure(option + ": " + offset.error());

  // Types in proportion, shuffled: variants are taken in turn.
  std::mt19937_64 random(seed + 1);
  std::vector<std::uint16_t> drawn(types->types.size() == 1 && !options.mixed_case ? 1 : kVariants);
  for (std::size_t i = 0; i < drawn.size(); ++i)
    drawn[i] = types->at((static_cast<double>(i) + 0.5) / static_cast<double>(drawn.size()));
  std::shuffle(drawn.begin(), drawn.end(), random);
  std::string text = options.miss_pattern;
  text.replace(at, 2, std::string(kDigits, '0'));
  FreshNames fresh;
  Builder builder(options, random);
  for (const std::uint16_t type : drawn) {
    if (auto added = builder.add(text, type); !added) return Failure(option + ": " + added.error());
    fresh.alphabets_.push_back(make_alphabet(options.mixed_case, random()));
  }
  fresh.variants_ = builder.lay_out();
  fresh.mask_ = drawn.size() - 1;
  fresh.key_ = key;
  fresh.digits_offset_ = *offset;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    Question& question = fresh.variants_[i];
    std::fill_n(question.octets() + *offset, kDigits, std::uint8_t{0});
    sum_up(question);
  }
  return fresh;
}

}  // namespace shunt::perf
