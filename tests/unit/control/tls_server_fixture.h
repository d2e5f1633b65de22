// A TcpServer with an endpoint for each kind of stream.
#pragma once

#include <memory>
#include <string>

#include "control/tls_context.h"
#include "tests/support/certificates.h"
#include "tests/unit/control/tcp_server_fixture.h"
#include "tests/unit/control/tls_peer.h"

namespace shunt::control {

inline conf::Tls tls_of(const TestCertificate& made, const std::string& path = "/dns-query") {
  conf::Tls tls;
  tls.certificate = "gw.pem";
  tls.key = "gw.key";
  tls.https_path = path;
  auto loaded = std::make_shared<conf::Certificate>();
  EXPECT_TRUE(conf::read_chain(made.chain, *loaded) && conf::read_key(made.key, *loaded));
  tls.loaded = loaded;
  return tls;
}

class TlsServerTest : public TcpServerTest {
 protected:
  void start_tls(const TcpLimits& limits = quick()) {
    start(limits);
    auto made = TlsContext::make(tls_of(make_certificate()));
    ASSERT_TRUE(made) << made.error();
    context_ = *made;
    ASSERT_TRUE(server_->set_endpoints({plain(), tls()}));
    tls_port_ = last_port_;
    ASSERT_TRUE(server_->set_endpoints({plain(), tls(), https()}));
    https_port_ = last_port_;
  }
  static TcpEndpoint plain() { return {loopback_address(0), 7}; }
  TcpEndpoint tls() const { return {loopback_address(0, "127.0.0.2"), 7, StreamKind::kTls, context_}; }
  TcpEndpoint https() const { return {loopback_address(0, "127.0.0.3"), 7, StreamKind::kHttps, context_}; }
  std::uint64_t counter_of(StreamKind kind, TcpCounter which) const { return server_->counters(kind)[which]; }
  void answer(const Taken& query, std::size_t octets = 0) {
    server_->answer(query.ticket, answer_to(query.message, octets));
  }

  std::shared_ptr<const TlsContext> context_;
  std::uint16_t tls_port_ = 0, https_port_ = 0;
};

}  // namespace shunt::control
