#include "dataplane/dns/name.h"

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <vector>

#include "dataplane/base/random.h"
#include "tests/support/dns_messages.h"

namespace shunt::dns {
namespace {

using shunt::testing::append;
using shunt::testing::Bytes;
using shunt::testing::ExactBuffer;
using shunt::testing::label;
using shunt::testing::pointer;
using shunt::testing::repeated_labels;
using shunt::testing::wire_name;

std::size_t read(const Bytes& wire, Name& out) {
  const ExactBuffer exact(wire);
  return read_name(exact.span(), out);
}

/// The longest name: three labels of 63 octets and one of 61, 255 octets with the root.
Bytes longest_name() {
  Bytes wire = repeated_labels(3, 63);
  wire.pop_back();
  append(wire, label(std::string(61, 'z')));
  wire.push_back(0);
  return wire;
}

TEST(ReadName, LowersAndFindsLabels) {
  Name name;
  EXPECT_EQ(read(wire_name("WwW.Example.COM"), name), 17u);
  EXPECT_EQ(name.length, 17);
  EXPECT_EQ(name.labels, 3);
  EXPECT_EQ(to_text(name.octets()), "www.example.com.");
  EXPECT_EQ(name.offset[0], 0);
  EXPECT_EQ(name.offset[1], 4);
  EXPECT_EQ(name.offset[2], 12);
  EXPECT_EQ(name.offset[3], 16) << "the root's";
}

TEST(ReadName, TheRootHasNoLabels) {
  Name name;
  EXPECT_EQ(read({0}, name), 1u);
  EXPECT_EQ(name.length, 1);
  EXPECT_EQ(name.labels, 0);
  EXPECT_EQ(name.offset[0], 0);
  EXPECT_EQ(name.wire[0], 0);
}

TEST(ReadName, OnlyLettersChangeCase) {
  // Every octet value as a label of its own, and all of them within longer labels.
  for (unsigned value = 0; value < 256; ++value) {
    Name name;
    const auto octet = static_cast<std::uint8_t>(value);
    ASSERT_EQ(read({1, octet, 0}, name), 3u);
    const bool upper = octet >= 'A' && octet <= 'Z';
    EXPECT_EQ(name.wire[1], upper ? octet + 32 : octet) << value;
    Bytes wire = label(std::string(20, static_cast<char>(octet)));
    wire.push_back(0);
    ASSERT_EQ(read(wire, name), 22u);
    for (unsigned i = 1; i < 21; ++i)
      ASSERT_EQ(name.wire[i], upper ? octet + 32 : octet);
  }
}

TEST(ReadName, EveryLengthIsReadExactlyWithAndWithoutOctetsBehind) {
  for (std::size_t length = 3; length <= 64; ++length) {
    for (std::size_t behind : {0u, 1u, 4u, 15u, 16u, 40u}) {
      Bytes wire = label(std::string(length - 2, 'Q'));
      wire.push_back(0);
      wire.resize(wire.size() + behind, 'X');
      Name name;
      name.wire.fill(0xee);
      ASSERT_EQ(read(wire, name), length);
      ASSERT_EQ(name.length, length);
      ASSERT_EQ(to_text(name.octets()), std::string(length - 2, 'q') + ".") << behind;
    }
  }
}

TEST(ReadName, NameOf255Octets) {
  const Bytes wire = longest_name();
  ASSERT_EQ(wire.size(), 255u);
  Name name;
  EXPECT_EQ(read(wire, name), 255u);
  EXPECT_EQ(name.labels, 4);
  EXPECT_EQ(name.offset[4], 254);
  EXPECT_EQ(Bytes(name.wire.begin(), name.wire.begin() + 255), wire);
}

TEST(ReadName, NameOf256Octets) {
  Bytes wire = repeated_labels(3, 63);
  wire.pop_back();
  append(wire, label(std::string(62, 'z')));
  wire.push_back(0);
  ASSERT_EQ(wire.size(), 256u);
  Name name;
  EXPECT_EQ(read(wire, name), 0u);
}

TEST(ReadName, LabelOf63Octets) {
  Name name;
  EXPECT_EQ(read(repeated_labels(1, 63), name), 65u);
  EXPECT_EQ(name.labels, 1);
}

TEST(ReadName, Name127Labels) {
  Name name;
  const Bytes wire = repeated_labels(127, 1);
  ASSERT_EQ(wire.size(), 255u);
  EXPECT_EQ(read(wire, name), 255u);
  EXPECT_EQ(name.labels, 127);
  EXPECT_EQ(name.offset[126], 252);
  EXPECT_EQ(name.offset[127], 254);
  EXPECT_EQ(read(repeated_labels(128, 1), name), 0u);
}

TEST(ReadName, LabelTypes0x40And0x80AndCompression) {
  Name name;
  for (unsigned type = 0x40; type < 0x100; ++type) {
    Bytes wire = label("ab");
    wire.push_back(static_cast<std::uint8_t>(type));
    append(wire, Bytes(300));
    EXPECT_EQ(read(wire, name), 0u) << type;
  }
}

TEST(ReadName, EveryCutIsAnError) {
  const Bytes whole = wire_name("www.example.com");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    Name name;
    EXPECT_EQ(read(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)), name), 0u)
        << length;
  }
}

TEST(SkipName, PlainAndCompressed) {
  Bytes message(kHeaderSize, 0);
  append(message, wire_name("example.com"));  // at 12, 13 octets
  append(message, label("www"));              // at 25
  append(message, pointer(12));               // at 29
  append(message, pointer(25));               // at 31
  const ExactBuffer exact(message);
  EXPECT_EQ(skip_name(exact.span(), 12), 25u);
  EXPECT_EQ(skip_name(exact.span(), 25), 31u);
  EXPECT_EQ(skip_name(exact.span(), 31), 33u);
  EXPECT_EQ(skip_name(exact.span(), 33), 0u) << "behind the message";
  EXPECT_EQ(skip_name(exact.span(), 500), 0u);
}

std::size_t skip_at_12(const Bytes& name) {
  Bytes message(kHeaderSize, 0);
  append(message, name);
  const ExactBuffer exact(message);
  return skip_name(exact.span(), kHeaderSize);
}

TEST(SkipName, PointersThatDoNotPointBackwards) {
  EXPECT_EQ(skip_at_12(pointer(12)), 0u) << "to itself";
  EXPECT_EQ(skip_at_12(pointer(13)), 0u) << "forwards";
  EXPECT_EQ(skip_at_12(pointer(0x3fff)), 0u) << "far behind the message";
  EXPECT_EQ(skip_at_12(pointer(0)), 0u) << "into the header";
  EXPECT_EQ(skip_at_12(pointer(11)), 0u) << "into the header";
  Bytes loop = label("a");
  append(loop, pointer(12));
  EXPECT_EQ(skip_at_12(loop), 0u) << "to its own first label";
}

TEST(SkipName, LabelTypesCutsAndLengths) {
  EXPECT_EQ(skip_at_12({0x40, 0}), 0u);
  EXPECT_EQ(skip_at_12({0x80, 0}), 0u);
  EXPECT_EQ(skip_at_12({0xbf, 0xff}), 0u);
  EXPECT_EQ(skip_at_12({}), 0u);
  EXPECT_EQ(skip_at_12({0xc0}), 0u) << "half a pointer";
  EXPECT_EQ(skip_at_12({3, 'a', 'b'}), 0u);
  EXPECT_EQ(skip_at_12({1, 'a'}), 0u) << "no root";
  EXPECT_EQ(skip_at_12(longest_name()), kHeaderSize + 255);
  EXPECT_EQ(skip_at_12(repeated_labels(128, 1)), 0u);
}

TEST(EqualIgnoringCase, AllLengthsAndEveryPosition) {
  for (std::size_t length = 1; length <= 255; length += (length < 70 ? 1 : 37)) {
    Bytes a(length, 'a'), b(length, 'A');
    EXPECT_TRUE(equal_ignoring_case(ExactBuffer(a).data(), ExactBuffer(b).data(), length)) << length;
    for (std::size_t i = 0; i < length; ++i) {
      Bytes c = b;
      c[i] = 'B';
      ASSERT_FALSE(equal_ignoring_case(ExactBuffer(a).data(), ExactBuffer(c).data(), length))
          << length << " " << i;
    }
  }
}

TEST(EqualIgnoringCase, OctetsThatDifferBy32AreNotAllLetters) {
  for (auto [a, b] : {std::pair{'@', '`'}, {'[', '{'}, {'0', 'P'}, {'_', '\x7f'}, {'-', 'm'}}) {
    EXPECT_FALSE(equal_ignoring_case(Bytes{1, static_cast<std::uint8_t>(a), 0}.data(),
                                     Bytes{1, static_cast<std::uint8_t>(b), 0}.data(), 3));
  }
  EXPECT_FALSE(equal_ignoring_case(Bytes{1, 0xc1, 0}.data(), Bytes{1, 0xe1, 0}.data(), 3))
      << "Latin-1 is not ASCII";
}

TEST(LowerCase, AgreesWithReadName) {
  const Bytes wire = longest_name();
  std::array<std::uint8_t, kNameBuffer> from{}, to{};
  std::copy(wire.begin(), wire.end(), from.begin());
  for (std::size_t i = 1; i < 64; ++i)
    from[i] = static_cast<std::uint8_t>('A' + i % 26);
  lower_case(from.data(), to.data(), wire.size());
  Name name;
  ASSERT_EQ(read_name(std::span(from).first(255), name), 255u);
  EXPECT_TRUE(std::equal(to.begin(), to.begin() + 255, name.wire.begin()));
}

// --- the hash chain

std::vector<std::uint64_t> chain(const HashKey& key, std::string_view text) {
  const Name name = parse_name(text).value();
  std::vector<std::uint64_t> into(name.labels + 1u);
  hash_suffixes(key, name, into.data());
  return into;
}

TEST(HashChain, EverySuffixHasItsOwnHashAndSharesThoseAbove) {
  const HashKey key;
  const auto www = chain(key, "www.example.com"), com = chain(key, "com"),
             example = chain(key, "example.com");
  ASSERT_EQ(www.size(), 4u);
  EXPECT_EQ(www[0], root_hash(key));
  EXPECT_EQ(www[1], com[1]);
  EXPECT_EQ(www[2], example[2]);
  EXPECT_EQ(std::set<std::uint64_t>(www.begin(), www.end()).size(), 4u);
  EXPECT_EQ(chain(key, ".").front(), root_hash(key));
}

TEST(HashChain, StridesKeepTheLevelsApart) {
  const HashKey key;
  const Name name = parse_name("a.b.c").value();
  std::vector<std::uint64_t> into(4 * 32, 7);
  hash_suffixes(key, name, &into[5], 32);
  const auto expected = chain(key, "a.b.c");
  for (std::size_t i = 0; i < into.size(); ++i)
    EXPECT_EQ(into[i], i % 32 == 5 ? expected[i / 32] : 7) << i;
}

TEST(HashChain, DoesNotDependOnOctetsBehindTheName) {
  const HashKey key;
  Random random(Random::Seed{1});
  for (std::size_t length = 1; length <= 63; ++length) {
    Name name = parse_name(std::string(length, 'x') + ".y").value();
    std::uint64_t before[3], after[3];
    hash_suffixes(key, name, before);
    for (std::size_t i = name.length; i < kNameBuffer; ++i)
      name.wire[i] = static_cast<std::uint8_t>(random.next32());
    hash_suffixes(key, name, after);
    ASSERT_TRUE(std::equal(before, before + 3, after)) << length;
  }
}

TEST(HashChain, LabelBoundariesCount) {
  const HashKey key;
  const std::vector<std::uint64_t> dotted = chain(key, "a\\.b"), split = chain(key, "a.b");
  EXPECT_NE(dotted.back(), split.back());
  EXPECT_NE(chain(key, "ab.c").back(), chain(key, "a.bc").back());
  EXPECT_NE(chain(key, "a\\000").back(), chain(key, "a").back()) << "a NUL at the end";
  EXPECT_NE(chain(key, "\\000").back(), chain(key, "\\000\\000").back());
}

TEST(HashChain, TheKeyDecides) {
  Random random(Random::Seed{2});
  const HashKey one{random.next64(), random.next64()}, two{random.next64(), random.next64()};
  EXPECT_EQ(chain(one, "example.com"), chain(one, "EXAMPLE.com"));
  EXPECT_NE(chain(one, "example.com").back(), chain(two, "example.com").back());
}

TEST(HashChain, NearNamesDoNotCollideInAHundredThousand) {
  const HashKey key;
  std::set<std::uint64_t> seen;
  std::array<unsigned, 256> low{};
  for (int i = 0; i < 100000; ++i) {
    const std::uint64_t h = chain(key, "host-" + std::to_string(i) + ".example.com").back();
    seen.insert(h);
    ++low[h & 0xff];
  }
  EXPECT_EQ(seen.size(), 100000u);
  for (unsigned count : low) {  // 391 expected, standard deviation 20
    EXPECT_GT(count, 280u);
    EXPECT_LT(count, 500u);
  }
}

TEST(HashChain, EveryOctetOfEveryLengthCounts) {
  const HashKey key;
  for (std::size_t length = 1; length <= 63; ++length) {
    std::set<std::uint64_t> seen;
    for (std::size_t i = 0; i <= length; ++i) {
      std::string text(length, 'a');
      if (i < length) text[i] = 'b';
      seen.insert(chain(key, text).back());
    }
    EXPECT_EQ(seen.size(), length + 1) << length;
  }
}

TEST(HashChain, TheLongestNamesAreHashedWithinTheirBuffer) {
  const HashKey key;
  for (const Bytes& wire : {longest_name(), repeated_labels(127, 1)}) {
    const auto name = std::make_unique<Name>();  // on the heap: AddressSanitizer sees its end
    ASSERT_EQ(read_name(wire, *name), 255u);
    std::vector<std::uint64_t> into(name->labels + 1u);
    hash_suffixes(key, *name, into.data());
    EXPECT_EQ(std::set<std::uint64_t>(into.begin(), into.end()).size(), into.size());
  }
}

}  // namespace
}  // namespace shunt::dns
