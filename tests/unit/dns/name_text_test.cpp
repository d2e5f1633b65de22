// Presentation format: what people write and read.
#include <gtest/gtest.h>

#include <string>

#include "dataplane/base/random.h"
#include "dataplane/dns/name.h"
#include "tests/support/dns_messages.h"

namespace shunt::dns {
namespace {

using shunt::testing::Bytes;
using shunt::testing::label;
using shunt::testing::repeated_labels;

Bytes wire_of(std::string_view text) {
  const Result<Name> name = parse_name(text);
  return name ? Bytes(name->octets().begin(), name->octets().end()) : Bytes{};
}
std::string error_of(std::string_view text) {
  const Result<Name> name = parse_name(text);
  return name ? "" : name.error();
}

TEST(ParseName, WithAndWithoutTrailingDotInAnyCase) {
  const Bytes expected = shunt::testing::wire_name("www.example.com");
  EXPECT_EQ(wire_of("www.example.com"), expected);
  EXPECT_EQ(wire_of("www.example.com."), expected);
  EXPECT_EQ(wire_of("WWW.EXAMPLE.COM"), expected);
  EXPECT_EQ(wire_of("."), Bytes{0});
}

TEST(ParseName, FindsLabelsAsReadNameDoes) {
  const Name name = parse_name("www.example.com").value();
  Name read;
  ASSERT_EQ(read_name(name.octets(), read), name.length);
  EXPECT_EQ(name.labels, read.labels);
  for (unsigned i = 0; i <= read.labels; ++i)
    EXPECT_EQ(name.offset[i], read.offset[i]);
}

TEST(ParseName, Escapes) {
  EXPECT_EQ(wire_of("a\\.b.c"), (Bytes{3, 'a', '.', 'b', 1, 'c', 0}));
  EXPECT_EQ(wire_of("\\000\\255"), (Bytes{2, 0, 255, 0}));
  EXPECT_EQ(wire_of("\\065\\A"), (Bytes{2, 'a', 'a', 0})) << "escaped letters have no case either";
  EXPECT_EQ(wire_of("a\\."), (Bytes{2, 'a', '.', 0})) << "the last dot is part of the label";
  EXPECT_EQ(wire_of("\\032\\\\"), (Bytes{2, ' ', '\\', 0}));
  EXPECT_EQ(wire_of("*._tcp"), (Bytes{1, '*', 4, '_', 't', 'c', 'p', 0}));
}

TEST(ParseName, ErrorsSayWhatIsWrong) {
  EXPECT_EQ(error_of(""), "an empty name: write \".\" for the root");
  EXPECT_EQ(error_of("a..b"), "\"a..b\" has an empty label");
  EXPECT_EQ(error_of(".a"), "\".a\" has an empty label");
  EXPECT_EQ(error_of(".."), "\"..\" has an empty label");
  EXPECT_EQ(error_of("a b"), "\"a b\" has a space or control character: write it as \\DDD");
  EXPECT_EQ(error_of("a\tb"), "\"a\tb\" has a space or control character: write it as \\DDD");
  EXPECT_EQ(error_of("a\\"), "\"a\\\" ends in a backslash");
  EXPECT_EQ(error_of("a\\25"), "\"a\\25\" has an escape that is not \\DDD with three digits");
  EXPECT_EQ(error_of("a\\2x5"), "\"a\\2x5\" has an escape that is not \\DDD with three digits");
  EXPECT_EQ(error_of("a\\256"), "\"a\\256\" has an escape above \\255");
  EXPECT_EQ(error_of("bücher.example"),
            "\"bücher.example\" is not ASCII: give an internationalized name as A-labels (\"xn--…\")");
  EXPECT_NE(error_of(std::string_view("a\0b", 3)), "");
}

TEST(ParseName, Bounds) {
  EXPECT_EQ(wire_of(std::string(63, 'a')).size(), 65u);
  EXPECT_NE(error_of(std::string(64, 'a')).find("has a label of more than 63 octets"), std::string::npos);
  const std::string label63(63, 'a'), three = label63 + "." + label63 + "." + label63 + ".";
  EXPECT_EQ(wire_of(three + std::string(61, 'a')).size(), 255u);
  EXPECT_EQ(wire_of(three + std::string(61, 'a') + ".").size(), 255u);
  EXPECT_NE(error_of(three + std::string(62, 'a')).find("has more than 255 octets"), std::string::npos);
  std::string many;
  for (int i = 0; i < 127; ++i)
    many += "a.";
  EXPECT_EQ(parse_name(many).value().labels, 127);
  EXPECT_NE(error_of(many + "a").find("has more than 255 octets"), std::string::npos);
  EXPECT_LT(error_of(std::string(1000000, '.')).size(), 200u);
}

TEST(ToText, EscapesWhatAZoneFileWouldMisread) {
  EXPECT_EQ(to_text(Bytes{0}), ".");
  EXPECT_EQ(to_text(Bytes{3, 'a', '.', 'b', 0}), "a\\.b.");
  EXPECT_EQ(to_text(Bytes{8, '\\', '"', '(', ')', ';', '@', '$', '-', 0}), "\\\\\\\"\\(\\)\\;\\@\\$-.");
  EXPECT_EQ(to_text(Bytes{5, 0, ' ', '\n', 0x7f, 0xff, 0}), "\\000\\032\\010\\127\\255.");
}

TEST(ToText, StaysWithinASpanThatLies) {
  const shunt::testing::ExactBuffer cut(Bytes{5, 'a', 'b'});
  EXPECT_EQ(to_text(cut.span()), "ab.");
  EXPECT_EQ(to_text({}), ".");
}

TEST(NameText, RandomNamesSurviveTheRoundTrip) {
  Random random(Random::Seed{7});
  for (int round = 0; round < 5000; ++round) {
    Bytes wire;
    while (wire.size() < 180 && random.below(6) != 0) {
      Bytes octets{static_cast<std::uint8_t>(1 + random.below(63))};
      for (unsigned i = 0; i < octets[0]; ++i)
        octets.push_back(static_cast<std::uint8_t>(random.next32()));
      shunt::testing::append(wire, octets);
    }
    wire.push_back(0);
    Name read;
    ASSERT_EQ(read_name(wire, read), wire.size());
    const Result<Name> back = parse_name(to_text(wire));
    ASSERT_TRUE(back) << back.error();
    ASSERT_EQ(Bytes(back->octets().begin(), back->octets().end()),
              Bytes(read.octets().begin(), read.octets().end()));
  }
}

}  // namespace
}  // namespace shunt::dns
