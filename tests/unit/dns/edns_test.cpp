#include "dataplane/dns/edns.h"

#include <gtest/gtest.h>

#include "tests/support/dns_messages.h"

namespace shunt::dns {
namespace {

using namespace shunt::testing;

Bytes written(const OptFields& fields, std::size_t room) {
  ExactBuffer buffer(Bytes(room, 0xee));
  const std::size_t length = write_opt(buffer.data(), fields);
  return {buffer.data(), buffer.data() + length};
}

TEST(WriteOpt, WithoutOptions) {
  EXPECT_EQ(written({.udp_size = 1232, .dnssec_ok = false}, kOptSize),
            (Bytes{0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0}));
  EXPECT_EQ(written({.udp_size = 512, .dnssec_ok = true, .extended_rcode = 1}, kOptSize),
            (Bytes{0, 0, 41, 2, 0, 1, 0, 0x80, 0, 0, 0}));
}

TEST(WriteOpt, WithAnExtendedError) {
  EXPECT_EQ(written({.udp_size = 1232, .dnssec_ok = false, .error = ExtendedError::kOther},
                    kOptSize + kExtendedErrorSize),
            (Bytes{0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 6, 0, 15, 0, 2, 0, 0}))
      << "error 0 is one, too";
}

TEST(ReadOpt, ReadsWhatIsWritten) {
  const ExactBuffer exact(written(
      {.udp_size = 1400, .dnssec_ok = true, .extended_rcode = 9, .error = ExtendedError::kBlocked}, 17));
  Edns edns;
  ASSERT_TRUE(read_opt(exact.span(), 0, edns));
  EXPECT_TRUE(edns.present);
  EXPECT_TRUE(edns.dnssec_ok);
  EXPECT_FALSE(edns.foreign_options);
  EXPECT_EQ(edns.version, 0);
  EXPECT_EQ(edns.extended_rcode, 9);
  EXPECT_EQ(edns.udp_size, 1400);
  EXPECT_EQ(edns.record_offset, 0);
  EXPECT_EQ(edns.options_offset, kOptSize);
  EXPECT_EQ(edns.options_length, kExtendedErrorSize);
}

TEST(ReadOpt, EveryCutAndAnyOffset) {
  const Bytes whole = written({.udp_size = 1400, .dnssec_ok = true, .error = ExtendedError::kBlocked}, 17);
  for (std::size_t length = 0; length < whole.size(); ++length) {
    const ExactBuffer exact(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    Edns edns;
    EXPECT_FALSE(read_opt(exact.span(), 0, edns)) << length;
    EXPECT_FALSE(edns.present);
  }
  Edns edns;
  EXPECT_FALSE(read_opt(whole, 1, edns));
  EXPECT_FALSE(read_opt(whole, whole.size(), edns));
  EXPECT_FALSE(read_opt(whole, whole.size() + 1, edns));
}

TEST(ReadOpt, OtherTypesAndOwners) {
  Bytes record = written({.udp_size = 1400, .dnssec_ok = true}, kOptSize);
  Edns edns;
  record[2] = 1;
  EXPECT_FALSE(read_opt(record, 0, edns));
  record[2] = 41;
  EXPECT_TRUE(read_opt(record, 0, edns));
  record[0] = 0xc0;
  EXPECT_FALSE(read_opt(record, 0, edns));
}

TEST(HopOptions, AreThoseBetweenTwoHops) {
  for (unsigned code = 0; code < 65536; ++code) {
    const bool hop = code == 3 || code == 10 || code == 11 || code == 12 || code == 15;
    ASSERT_EQ(is_hop_option(static_cast<std::uint16_t>(code)), hop) << code;
  }
}

}  // namespace
}  // namespace shunt::dns
