#include "dataplane/net/local_addresses.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace shunt::net {
namespace {

IpAddress address(const std::string& text) {
  return IpAddress::parse(text).value();
}

TEST(LocalAddresses, EmptyHasNone) {
  const LocalAddresses none;
  EXPECT_EQ(none.find(address("10.0.0.1")), nullptr);
  EXPECT_EQ(none.find(IpAddress{}), nullptr);
  const LocalAddresses empty(std::span<const LocalAddress>{});
  EXPECT_EQ(empty.find(IpAddress{}), nullptr);
}

TEST(LocalAddresses, FindsEachWithItsRole) {
  std::vector<LocalAddress> given;
  for (unsigned i = 0; i < 1000; ++i) {
    const std::string low = std::to_string(i / 250) + "." + std::to_string(i % 250);
    given.push_back({address("10.53." + low), static_cast<std::uint16_t>(i), i % 2 == 0});
    given.push_back({address("fd00::" + std::to_string(i)), LocalAddress::kNoEndpoint, true});
  }
  const LocalAddresses table(given);
  EXPECT_EQ(table.all().size(), given.size());
  for (const LocalAddress& one : given) {
    const LocalAddress* const found = table.find(one.address);
    ASSERT_NE(found, nullptr) << one.address.to_string();
    EXPECT_EQ(found->address, one.address);
    EXPECT_EQ(found->endpoint, one.endpoint);
    EXPECT_EQ(found->outbound, one.outbound);
  }
  for (const char* other : {"10.54.0.0", "10.53.9.9", "fd00::ffff", "::", "::10.53.0.1"}) {
    EXPECT_EQ(table.find(address(other)), nullptr) << other;
  }
}

TEST(LocalAddresses, RolesOfOneAddressAreJoined) {
  const std::vector<LocalAddress> given = {{address("10.0.0.1"), LocalAddress::kNoEndpoint, true},
                                           {address("10.0.0.1"), 7, false, true},
                                           {address("10.0.0.1"), LocalAddress::kNoEndpoint, false}};
  const LocalAddresses table(given);
  ASSERT_EQ(table.all().size(), 1u);
  EXPECT_EQ(table.find(address("10.0.0.1"))->endpoint, 7);
  EXPECT_TRUE(table.find(address("10.0.0.1"))->outbound);
  EXPECT_TRUE(table.find(address("10.0.0.1"))->encrypted);
}

}  // namespace
}  // namespace shunt::net
