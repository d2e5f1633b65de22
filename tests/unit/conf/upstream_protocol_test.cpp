// The protocol of an upstream: udp, tcp, tls, and what tls needs.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "conf/trust.h"
#include "tests/support/signed_certificates.h"
#include "tests/unit/conf/config_text.h"

namespace shunt::conf {
namespace {

using testing::Certificate;

/// kBase with further keys of its second upstream, the one without outbound.
std::string with(std::string_view keys) {
  return change("\n[[rules]]", std::string(keys) + "\n\n[[rules]]");
}

/// A file below the system's folder for temporary ones.
class File {
 public:
  explicit File(std::string_view text) {
    std::string pattern = (std::filesystem::temp_directory_path() / "shunt-trust-XXXXXX").string();
    ::close(::mkstemp(pattern.data()));
    path = pattern;
    std::ofstream(path, std::ios::binary) << text;
  }
  ~File() { std::filesystem::remove(path); }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  std::string key() const { return "tls_ca = \"" + path + "\""; }
  std::string path;
};

TEST(UpstreamProtocol, TlsHasItsOwnPortAndANameWithoutTheLastDot) {
  const Config c = load_right(change("targets = [\"192.0.2.53\"]",
                                     "targets = [\"192.0.2.53\", \"192.0.2.54:8853\", \"2001:db8::1\"]",
                                     with("protocol = \"tls\"\ntls_name = \"dns.corp.example.\"")));
  const Upstream& u = c.upstreams.at(1);
  EXPECT_EQ(u.protocol, Protocol::kTls);
  EXPECT_EQ(u.tls_name, "dns.corp.example");
  EXPECT_EQ(u.tls_trust, "");
  EXPECT_EQ(u.targets.at(0).port, 853);
  EXPECT_EQ(u.targets.at(1).port, 8853);
  EXPECT_EQ(u.targets.at(2).port, 853);
  EXPECT_EQ(c.upstreams.at(0).protocol, Protocol::kUdp);
}

TEST(UpstreamProtocol, TcpStaysAtPort53) {
  const Config c = load_right(with("protocol = \"tcp\""));
  EXPECT_EQ(c.upstreams.at(1).protocol, Protocol::kTcp);
  EXPECT_EQ(c.upstreams.at(1).targets.at(0).port, 53);
}

TEST(UpstreamProtocol, TlsWithAnAddressForAName) {
  EXPECT_EQ(load_right(with("protocol = \"tls\"\ntls_name = \"192.0.2.53\"")).upstreams.at(1).tls_name,
            "192.0.2.53");
}

TEST(UpstreamProtocol, UnknownWord) {
  expect_mistake(with("protocol = <!>\"dot\""), "\"dot\"", "\"tls\"");
}

TEST(UpstreamProtocol, TlsWithoutAName) {
  expect_mistake(with("protocol = <!>\"tls\""), "protocol \"tls\" needs tls_name", "tls_name = ");
}

TEST(UpstreamProtocol, TlsKeysWithoutTls) {
  expect_mistake(with("tls_name = <!>\"dns.example\""), "tls_name is for protocol \"tls\" only",
                 "protocol = \"tls\"");
  const File file(Certificate::authority("ca").pem());
  expect_mistake(with("protocol = \"tcp\"\ntls_ca = <!>\"" + file.path + "\""),
                 "tls_ca is for protocol \"tls\" only", "protocol = \"tls\"");
}

TEST(UpstreamProtocol, NamesThatNoCertificateIsLookedUpBy) {
  for (const std::string name : {"", ".", "*.example", "dns..example", "dns example", "d\u00f6ns.example"})
    expect_mistake(with("protocol = \"tls\"\ntls_name = <!>\"" + name + "\""), "tls_name ", "tls_name = ");
}

TEST(UpstreamProtocol, TrustIsReadAtLoad) {
  const Certificate one = Certificate::authority("one"), two = Certificate::authority("two");
  const File file("a comment\n" + one.pem() + two.pem());
  const Config c = load_right(with("protocol = \"tls\"\ntls_name = \"a.example\"\n" + file.key()));
  EXPECT_EQ(c.upstreams.at(1).tls_trust, "a comment\n" + one.pem() + two.pem());
}

TEST(UpstreamProtocol, TrustIsRelativeToTheConfiguration) {
  const File file(Certificate::authority("one").pem());
  const std::filesystem::path path(file.path);
  const std::string text =
      with("protocol = \"tls\"\ntls_name = \"a.example\"\ntls_ca = \"" + path.filename().string() + "\"");
  EXPECT_TRUE(load_text(text, (path.parent_path() / "shunt.toml").string(), {}).config);
  EXPECT_FALSE(load_text(text, "/nowhere/shunt.toml", {}).config);
}

void expect_bad_trust(const std::string& path, std::string_view what) {
  expect_mistake(with("protocol = \"tls\"\ntls_name = \"a.example\"\ntls_ca = <!>\"" + path + "\""), what,
                 "tls_ca = ");
}

TEST(UpstreamProtocol, TrustThatIsNotThere) {
  expect_bad_trust("/nowhere/ca.pem", "can't be read: No such file or directory");
}

TEST(UpstreamProtocol, TrustThatIsAFolder) {
  expect_bad_trust("/tmp", "can't be read: Is a directory");
}

TEST(UpstreamProtocol, TrustWithoutACertificate) {
  const File empty(""), text("hello\n"), key(Certificate::authority("a").key_pem());
  for (const File* file : {&empty, &text, &key})
    expect_bad_trust(file->path, "holds no certificate in PEM form");
}

TEST(UpstreamProtocol, TrustWithABrokenCertificate) {
  const std::string good = Certificate::authority("a").pem();
  std::string broken = good;
  broken.replace(broken.find('\n') + 10, 4, "!!!!");
  const File second(good + broken), cut(good + good.substr(0, good.size() / 2));
  for (const File* file : {&second, &cut})
    expect_bad_trust(file->path, "is broken at its certificate number 2");
}

TEST(UpstreamProtocol, TrustLargerThanAnyList) {
  const File file(std::string((4u << 20) + 1, '\n'));
  expect_bad_trust(file.path, "can't be read: it is larger than 4 MiB");
}

TEST(UpstreamProtocol, TcpNeedsAMirror) {
  const std::string no_mirror = change("gateways = [\"10.53.0.1\"]",
                                       "gateways = [\"10.53.0.1\"]\nmirror = \"\"\n"
                                       "neighbours = { \"10.53.0.1\" = \"02:00:00:00:00:01\" }");
  expect_mistake(change("targets = [\"192.168.1.53\"]", "targets = [\"192.168.1.53\"]\nprotocol = <!>\"tcp\"",
                        no_mirror),
                 "port \"lan\" has no mirror", "give the port a mirror");
}

}  // namespace
}  // namespace shunt::conf
