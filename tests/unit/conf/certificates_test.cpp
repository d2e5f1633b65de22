// The `tls` table of an inbound endpoint, and the files that it names: each mistake is told at its place.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "conf/certificate.h"
#include "tests/support/certificates.h"
#include "tests/unit/conf/config_text.h"

namespace shunt::conf {
namespace {

using testing::CertificateOptions;
using testing::make_certificate;
using testing::TestCertificate;

class Certificates : public ::testing::Test {
 protected:
  Certificates() {
    std::string pattern = (std::filesystem::temp_directory_path() / "shunt-test-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    use(make_certificate());
  }
  ~Certificates() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  void write(const std::string& name, const std::string& text, mode_t mode = 0600) const {
    std::ofstream(folder_ + "/" + name, std::ios::trunc) << text;
    ::chmod((folder_ + "/" + name).c_str(), mode);
  }
  void use(const TestCertificate& certificate) const {
    write("gw.pem", certificate.chain);
    write("gw.key", certificate.key);
  }
  static std::string with(const std::string& tls) {
    return change("\n[[outbound]]", "tls = " + tls + "\n\n[[outbound]]");
  }
  Loaded load(const std::string& text, const LoadOptions& options = {}) const {
    return load_text(text, folder_ + "/shunt.toml", options);
  }
  /// One mistake, at the mark.
  void mistake(const std::string& tls, std::string_view message) const {
    const Marked marked = without_mark(with(tls));
    const Loaded loaded = load(marked.text);
    EXPECT_FALSE(loaded.config.has_value());
    ASSERT_EQ(loaded.errors.size(), 1u) << to_text(loaded.errors);
    EXPECT_EQ(loaded.errors[0].position.line, marked.position.line);
    EXPECT_EQ(loaded.errors[0].position.column, marked.position.column) << loaded.errors[0].message;
    EXPECT_NE(loaded.errors[0].message.find(message), std::string::npos) << loaded.errors[0].message;
    EXPECT_FALSE(loaded.errors[0].hint.empty());
  }
  void warning(const std::string& tls, std::string_view message) const {
    const Marked marked = without_mark(with(tls));
    const Loaded loaded = load(marked.text);
    EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
    ASSERT_EQ(loaded.warnings.size(), 1u) << to_text(loaded.warnings);
    EXPECT_EQ(loaded.warnings[0].position.column, marked.position.column);
    EXPECT_NE(loaded.warnings[0].message.find(message), std::string::npos) << loaded.warnings[0].message;
  }

  static constexpr const char* kGood = R"({ certificate = "gw.pem", key = "gw.key" })";
  static constexpr const char* kAtCertificate = R"({ certificate = <!>"gw.pem", key = "gw.key" })";
  static constexpr const char* kAtKey = R"({ certificate = "gw.pem", key = <!>"gw.key" })";
  std::string folder_;
};

TEST_F(Certificates, AreLoadedFromTheConfigurationsFolder) {
  const TestCertificate made = make_certificate();
  use(made);
  const Loaded loaded = load(with(kGood));
  ASSERT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_TRUE(loaded.warnings.empty()) << to_text(loaded.warnings);
  const auto& tls = loaded.config->inbounds[0].tls;
  ASSERT_TRUE(tls.has_value());
  EXPECT_EQ(tls->certificate, folder_ + "/gw.pem");
  EXPECT_EQ(tls->key, folder_ + "/gw.key");
  EXPECT_EQ(tls->https_path, "/dns-query");
  ASSERT_NE(tls->loaded, nullptr);
  Certificate same;
  ASSERT_TRUE(read_chain(made.chain, same) && read_key(made.key, same));
  EXPECT_EQ(*tls->loaded, same);
  EXPECT_EQ(EVP_PKEY_eq(tls->loaded->key.get(), same.key.get()), 1);
  EXPECT_NEAR(static_cast<double>(tls->loaded->not_after), static_cast<double>(std::time(nullptr) + 86400),
              60);
}

TEST_F(Certificates, AreLeftAloneWhereFilesAre) {
  const Loaded loaded =
      load(with(R"({ certificate = "none.pem", key = "none.key" })"), {.rule_files = false});
  ASSERT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_EQ(loaded.config->inbounds[0].tls->loaded, nullptr);
}

TEST_F(Certificates, AnAbsoluteNameIsTakenAsItIs) {
  const Loaded loaded = load(with("{ certificate = \"" + folder_ + "/gw.pem\", key = \"gw.key\" }"));
  EXPECT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
}

TEST_F(Certificates, BothFilesMustBeNamed) {
  mistake(R"(<!>{ certificate = "gw.pem" })", "tls: key is missing");
  mistake(R"(<!>{ key = "gw.key" })", "tls: certificate is missing");
  mistake(R"({ certificate = "gw.pem", key = "gw.key", <!>path = "/x" })", "unknown key \"path\"");
  mistake(R"(<!>"gw.pem")", "tls must be a table");
}

TEST_F(Certificates, AFileThatCannotBeReadIsNamedWithTheReason) {
  mistake(R"({ certificate = <!>"none.pem", key = "gw.key" })", "can't read");
  mistake(R"({ certificate = "gw.pem", key = <!>"none.key" })", "No such file or directory");
  mistake(R"({ certificate = <!>".", key = "gw.key" })", "Is a directory");
  ASSERT_EQ(::mkfifo((folder_ + "/fifo").c_str(), 0600), 0);
  mistake(R"({ certificate = <!>"fifo", key = "gw.key" })", "not a regular file");
  write("large.pem", std::string(kMaxPemOctets + 1, 'x'));
  mistake(R"({ certificate = <!>"large.pem", key = "gw.key" })", "larger than 1 MiB");
}

TEST_F(Certificates, WhatIsNoPemIsNoCertificateAndNoKey) {
  write("gw.pem", "nonsense");
  mistake(kAtCertificate, "holds no certificate in PEM form");
  write("gw.pem", "");
  mistake(kAtCertificate, "holds no certificate in PEM form");
  write("gw.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  mistake(kAtCertificate, "holds a certificate that can't be read");
  use(make_certificate());
  write("gw.key", "nonsense");
  mistake(kAtKey, "holds no private key in PEM form");
  write("gw.key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n");
  mistake(kAtKey, "holds a key that can't be read");
}

TEST_F(Certificates, AKeyOfAnotherCertificateIsNoKeyForThisOne) {
  write("gw.key", make_certificate().key);
  mistake(kAtKey, "holds another key than the certificate's");
  write("gw.key", make_certificate({.rsa_bits = 2048}).key);
  mistake(kAtKey, "holds another key than the certificate's");
}

TEST_F(Certificates, AnEncryptedKeyCannotBeUsed) {
  use(make_certificate({.passphrase = "secret"}));
  mistake(kAtKey, "holds a key that is encrypted");
}

TEST_F(Certificates, AKeyThatIsTooShortCannotBeUsed) {
  use(make_certificate({.rsa_bits = 1024}));
  mistake(kAtCertificate, "holds a certificate that can't be used");
}

TEST_F(Certificates, AChainIsTakenWholeOrNotAtAll) {
  const TestCertificate made = make_certificate();
  write("gw.key", made.key);
  write("gw.pem", made.chain + make_certificate({.name = "issuer"}).chain);
  EXPECT_TRUE(load(with(kGood)).config.has_value());
  write("gw.pem", made.chain + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
  mistake(kAtCertificate, "number 2 can't be read");
}

TEST_F(Certificates, ACertificateThatIsNotValidNowIsWarnedAbout) {
  use(make_certificate({.begins = -7200, .ends = -3600}));
  warning(kAtCertificate, "expired");
  use(make_certificate({.begins = 3600, .ends = 7200}));
  warning(kAtCertificate, "is not valid before");
}

TEST_F(Certificates, AKeyThatEveryoneMayReadIsWarnedAbout) {
  write("gw.key", make_certificate().key);
  const TestCertificate made = make_certificate();
  use(made);
  write("gw.key", made.key, 0644);
  warning(kAtKey, "everyone may read");
  write("gw.key", made.key, 0640);
  EXPECT_TRUE(load(with(kGood)).warnings.empty());
}

TEST_F(Certificates, AnEndpointWithoutMirrorIsWarnedAbout) {
  std::string text = with(kGood);
  text.replace(text.find("gateways ="), 8,
               "mirror = \"\"\nneighbours = { \"10.53.0.1\" = \"02:00:5e:00:00:01\" }\ngateways");
  const Loaded loaded = load(text);
  ASSERT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  ASSERT_EQ(loaded.warnings.size(), 1u) << to_text(loaded.warnings);
  EXPECT_NE(loaded.warnings[0].message.find("no port of its addresses has a mirror"), std::string::npos);
}

TEST_F(Certificates, TheHttpsPathIsThatOfAUrl) {
  const auto path = [](const std::string& text) {
    return R"({ certificate = "gw.pem", key = "gw.key", https_path = )" + text + " }";
  };
  const Loaded loaded = load(with(path("\"/a/b-c~d\"")));
  ASSERT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  EXPECT_EQ(loaded.config->inbounds[0].tls->https_path, "/a/b-c~d");
  mistake(path("<!>\"dns-query\""), "must begin with a slash");
  mistake(path("<!>\"/dns-query{?dns}\""), "can't stand in it");
  mistake(path("<!>\"/a?b\""), "can't stand in it");
  mistake(path("<!>\"/" + std::string(255, 'a') + "\""), "longer than 255");
}

// What the full example shows in a comment.
TEST(ShippedTls, IsRightOnceItIsNoComment) {
  const char* folder = std::getenv("SHUNT_CONF_DIR");
  ASSERT_NE(folder, nullptr);
  std::ifstream file(std::string(folder) + "/shunt.toml");
  std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t at = text.find("# tls ");
  ASSERT_NE(at, text.npos);
  text.erase(at, 2);
  const Loaded loaded = load_text(text, "shunt.toml", {.rule_files = false});
  ASSERT_TRUE(loaded.config.has_value()) << to_text(loaded.errors);
  const Tls tls = loaded.config->inbounds.at(0).tls.value_or(Tls{});
  EXPECT_EQ(tls.certificate, "gw.pem");
  EXPECT_EQ(tls.key, "gw.key");
  EXPECT_EQ(tls.https_path, Tls{}.https_path);
}

}  // namespace
}  // namespace shunt::conf
