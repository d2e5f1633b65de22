// The command line: what is taken, and that nothing is read and ignored.
#include "bench/perf/options.h"

#include <gtest/gtest.h>

#include <vector>

namespace shunt::perf {
namespace {

struct Parsed {
  bool taken = false;
  int exit_code = -1;
  Options options;
};

Parsed parse(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "shuntperf");
  std::vector<char*> argv;
  for (std::string& argument : arguments)
    argv.push_back(argument.data());
  Parsed parsed;
  testing::internal::CaptureStderr();
  testing::internal::CaptureStdout();
  parsed.taken = parse_options(static_cast<int>(argv.size()), argv.data(), parsed.options, parsed.exit_code);
  testing::internal::GetCapturedStdout();
  testing::internal::GetCapturedStderr();
  return parsed;
}

Parsed parse_clients(const std::vector<std::string>& more) {
  std::vector<std::string> arguments{"--role",   "clients",    "--device", "net_null0",
                                     "--target", "192.0.2.53", "--from",   "192.0.2.1"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return parse(arguments);
}

TEST(Options, Defaults) {
  const Parsed parsed = parse_clients({});
  ASSERT_TRUE(parsed.taken);
  EXPECT_FALSE(parsed.options.search.on);
  EXPECT_EQ(parsed.options.names.miss_share, 0);
  EXPECT_EQ(parsed.options.client.target.port, 53);
}

TEST(Options, Search) {
  const Parsed parsed =
      parse_clients({"--search", "--search-loss", "0.5", "--search-from", "2000", "--search-to", "1e6",
                     "--search-seconds", "0.5", "--search-precision", "5", "--search-steps", "12"});
  ASSERT_TRUE(parsed.taken);
  const SearchOptions& s = parsed.options.search;
  EXPECT_TRUE(s.on);
  EXPECT_EQ(s.loss_percent, 0.5);
  EXPECT_EQ(s.from, 2000);
  EXPECT_EQ(s.to, 1e6);
  EXPECT_EQ(s.seconds, 0.5);
  EXPECT_EQ(s.precision_percent, 5);
  EXPECT_EQ(s.steps, 12U);
}

TEST(Options, HelpAndVersionAreNoMistakes) {
  for (const char* option : {"--help", "--version"}) {
    const Parsed parsed = parse({option});
    EXPECT_FALSE(parsed.taken);
    EXPECT_EQ(parsed.exit_code, 0);
  }
}

TEST(Options, WrongUsage) {
  const std::vector<std::vector<std::string>> mistakes{
      {"--search", "--rate", "1000"},
      {"--search", "--seconds", "5"},
      {"--search-loss", "1"},
      {"--search", "--search-from", "5000", "--search-to", "4000"},
      {"--edns-share", "0.5"},
      {"--dnssec"},
      {"--edns", "1232", "--edns-share", "1.5"},
      {"--miss-names", "x%d.example"},
      {"--miss-share", "-0.1"},
      {"--in-flight", "100"},
      {"--first-port", "65000", "--ports", "1000"},
      {"--from", "2001:db8::1"},
      {"--nonsense"},
  };
  for (const auto& mistake : mistakes) {
    const Parsed parsed = parse_clients(mistake);
    EXPECT_FALSE(parsed.taken) << mistake[0] << " " << mistake.back();
    EXPECT_EQ(parsed.exit_code, 2) << mistake[0];
  }
  EXPECT_FALSE(
      parse({"--role", "upstream", "--device", "net_null0", "--serve", "192.0.2.53", "--search"}).taken);
  EXPECT_FALSE(parse({"--role", "upstream", "--device", "net_null0"}).taken);
}

}  // namespace
}  // namespace shunt::perf
