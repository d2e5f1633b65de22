#include "conf/certificates.h"

#include <sys/stat.h>

#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "conf/certificate.h"
#include "conf/check.h"
#include "conf/openssl.h"

namespace shunt::conf {
namespace {

constexpr std::string_view kFolder = "the path is taken from the folder of the configuration file";

std::string day_of(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M UTC", &parts)};
}

/// The files of one endpoint.
class Files {
 public:
  Files(Report& report, const Places& places, std::size_t index, const Inbound& inbound)
      : report_(report),
        places_(places),
        index_(index),
        title_(title("inbound", inbound.name) + ": tls"),
        tls_(*inbound.tls) {}

  std::shared_ptr<const Certificate> load() {
    const auto chain = read("certificate", tls_.certificate);
    const auto key = read("key", tls_.key);
    const OpenSslContext context(SSL_CTX_new(TLS_server_method()));
    if (context == nullptr || !chain || !key) return nullptr;
    Certificate loaded;
    const auto chain_used =
        read_chain(chain->view(), loaded).and_then([&] { return use_chain(context.get(), loaded); });
    if (!chain_used) {
      error("certificate", tls_.certificate, chain_used.error(),
            "the file begins with -----BEGIN CERTIFICATE-----: the endpoint's own first, then those that "
            "lead to its issuer");
      return nullptr;
    }
    const auto key_used =
        read_key(key->view(), loaded).and_then([&] { return use_key(context.get(), loaded); });
    if (!key_used) {
      error("key", tls_.key, key_used.error(),
            "the file holds -----BEGIN PRIVATE KEY-----, the certificate's, without a passphrase");
      return nullptr;
    }
    warn_of_time(loaded);
    warn_of_readers();
    return std::make_shared<const Certificate>(std::move(loaded));
  }

 private:
  Position at(std::string_view key) const { return places_.at("tls", index_, key); }

  std::optional<PemText> read(std::string_view key, const std::string& path) {
    if (path.empty()) return std::nullopt;  // reported by who read the table
    Result<PemText> text = read_pem_file(path);
    if (text) return std::move(*text);
    report_.error(at(key),
                  fmt::format("{}: {}: can't read {}: {}", title_, key, in_quotes(path), text.error()),
                  std::string(kFolder));
    return std::nullopt;
  }
  void error(std::string_view key, const std::string& path, const std::string& what, std::string hint) {
    report_.error(at(key), fmt::format("{}: {}: {} {}", title_, key, in_quotes(path), what), std::move(hint));
  }
  void warn_of_time(const Certificate& loaded) {
    const std::int64_t now = std::time(nullptr);
    const std::string what = fmt::format("{}: certificate: {}", title_, in_quotes(tls_.certificate));
    if (now > loaded.not_after)
      report_.warning(at("certificate"), fmt::format("{} expired {}", what, day_of(loaded.not_after)),
                      "clients that check it will refuse the endpoint: renew it, then shuntctl reload");
    if (now < loaded.not_before)
      report_.warning(at("certificate"),
                      fmt::format("{} is not valid before {}", what, day_of(loaded.not_before)),
                      "clients that check it will refuse the endpoint; is the clock right?");
  }
  void warn_of_readers() {
    struct stat info {};
    if (stat(tls_.key.c_str(), &info) != 0 || (info.st_mode & S_IROTH) == 0) return;
    report_.warning(at("key"), fmt::format("{}: key: everyone may read {}", title_, in_quotes(tls_.key)),
                    fmt::format("chmod o= {}", tls_.key));
  }

  Report& report_;
  const Places& places_;
  std::size_t index_;
  std::string title_;
  const Tls& tls_;
};

/// TLS is taken by the kernel behind a mirror.
void warn_of_mirrors(const Config& config, const Inbound& inbound, Position where, Report& report) {
  const bool mirrored =
      std::any_of(inbound.addresses.begin(), inbound.addresses.end(), [&config](const IpAddress& address) {
        const int port = port_of(config, address);
        return port < 0 || !config.ports[static_cast<std::size_t>(port)].mirror.empty();
      });
  if (mirrored || inbound.addresses.empty()) return;
  report.warning(
      where, fmt::format("{}: tls: no port of its addresses has a mirror", title("inbound", inbound.name)),
      "TCP, and TLS over it, is taken through the mirror: give the port one");
}

}  // namespace

void load_certificates(Config& config, const Places& places, Report& report) {
  for (std::size_t i = 0; i < config.inbounds.size(); ++i) {
    Inbound& inbound = config.inbounds[i];
    if (!inbound.tls) continue;
    inbound.tls->loaded = Files(report, places, i, inbound).load();
    warn_of_mirrors(config, inbound, places.at("inbound", i, "tls"), report);
  }
}

}  // namespace shunt::conf
