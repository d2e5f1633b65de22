// DNS over HTTPS: requests, their statuses, and floods.
#include <gtest/gtest.h>

#include "control/https_request.h"
#include "dataplane/dns/reply.h"
#include "tests/unit/control/tls_server_fixture.h"

namespace shunt::control {
namespace {

constexpr StreamKind kHttps = StreamKind::kHttps;

std::string base64url(const Bytes& octets) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  std::string out;
  std::uint32_t bits = 0;
  unsigned count = 0;
  for (const std::uint8_t octet : octets) {
    bits = bits << 8 | octet;
    for (count += 8; count >= 6; count -= 6)
      out += kDigits[bits >> (count - 6) & 63];
  }
  if (count != 0) out += kDigits[bits << (6 - count) & 63];
  return out;
}

RequestHead get(const std::string& query) {
  return {.method = "GET", .path = "/dns-query" + query};
}
RequestHead post(const std::string& type, const std::string& length = "") {
  return {.method = "POST", .path = "/dns-query", .content_type = type, .content_length = length};
}

TEST(HttpsRequest, AGetBringsItsMessage) {
  for (unsigned id = 0; id < 300; ++id) {
    const Bytes message = query(id, "a" + std::string(id % 7, 'b') + ".example");
    for (const std::string& path : {"?dns=" + base64url(message), "?ct=x&dns=" + base64url(message) + "&z"}) {
      const HeadVerdict verdict = judge_head(get(path), "/dns-query");
      EXPECT_EQ(verdict.status, 0u);
      EXPECT_EQ(verdict.message, message);
    }
  }
}

TEST(HttpsRequest, EarnsItsStatus) {
  const auto status = [](const RequestHead& head) { return judge_head(head, "/dns-query").status; };
  for (const char* bad : {"", "?", "?dns", "?dns=", "?dns=AAAA", "?dns=AAABAAABAAAAAAAA!",
                          "?dns=AAABAAABAAAAAAAA=", "?dns=AAAAAAAAAAAAAAAAA", "?dns=+/+/+/+/+/+/+/+/+/",
                          "?ds=AAABAAABAAAAAAAAAAAA"})
    EXPECT_EQ(status(get(bad)), 400u) << bad;
  EXPECT_EQ(status(get("?dns=" + std::string(1937, 'A'))), 400u);  // no base64 has that length
  EXPECT_EQ(status(get("?dns=" + std::string(1938, 'A'))), 413u);
  EXPECT_EQ(status(get("?dns=" + std::string(1936, 'A'))), 0u);
  for (const char* path : {"/", "", "/dns-quer", "/dns-query/", "/dns-queryx?dns=AAAA", "dns-query"})
    EXPECT_EQ(status({.method = "GET", .path = path}), 404u) << path;
  for (const char* method : {"HEAD", "PUT", "get", "OPTIONS", ""})
    EXPECT_EQ(status({.method = method, .path = "/dns-query"}), 405u) << method;
  EXPECT_EQ(status(post("application/dns-message")), 0u);
  EXPECT_EQ(status(post("Application/DNS-Message ; charset=x", "1452")), 0u);
  for (const char* type :
       {"", "text/plain", "application/dns-messages", "application/dns", "application/dns-json"})
    EXPECT_EQ(status(post(type)), 415u) << type;
  EXPECT_EQ(status(post("application/dns-message", "1453")), 413u);
  EXPECT_EQ(status(post("application/dns-message", "99999999999999999999999")), 413u);
  for (const char* length : {"11", "0", "-20", "20x", "x"})
    EXPECT_EQ(status(post("application/dns-message", length)), 400u) << length;
}

TEST(HttpsRequest, Base64urlIsTakenStrictly) {
  EXPECT_EQ(decode_base64url(""), Bytes{});
  EXPECT_EQ(decode_base64url("AA"), Bytes{0});
  EXPECT_EQ(decode_base64url("_-8"), (Bytes{0xff, 0xef}));
  for (const char* bad : {"A", "AAAAA", "AA==", "A+A", "A/A", "A A", "A\n"})
    EXPECT_FALSE(decode_base64url(bad)) << bad;
}

Bytes answer_with(unsigned ttl, unsigned rcode = 0, bool soa = false, unsigned minimum = 0) {
  Bytes message = MessageBuilder(1).question(wire_name("www.example.com")).build();
  message[2] |= 0x80;
  message[3] = static_cast<std::uint8_t>(rcode);
  message[soa ? 9 : 7] = 1;
  append(message, Bytes{0xc0, 12, 0, static_cast<std::uint8_t>(soa ? 6 : 1), 0, 1});
  append16(message, ttl >> 16);
  append16(message, ttl & 0xffff);
  if (!soa) {
    append(message, Bytes{0, 4, 192, 0, 2, 1});
    return message;
  }
  append(message, Bytes{0, 22, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1});
  append16(message, minimum >> 16);
  append16(message, minimum & 0xffff);
  return message;
}

TEST(HttpsRequest, AgeFollowsTheTtls) {
  EXPECT_EQ(max_age(answer_with(300)), 300u);
  EXPECT_EQ(max_age(answer_with(0)), 0u);
  EXPECT_EQ(max_age(answer_with(0x80000000)), 0u);
  EXPECT_EQ(max_age(answer_with(300, 2)), 0u);
  EXPECT_EQ(max_age(answer_with(300, 3, true, 60)), 60u);
  EXPECT_EQ(max_age(answer_with(30, 3, true, 60)), 30u);
  EXPECT_EQ(max_age(answer_with(300, 0, true, 60)), 60u);
  EXPECT_EQ(max_age(answer_to(query(1))), 0u);
  EXPECT_EQ(max_age(Bytes(12, 0)), 0u);
}

TEST_F(TlsServerTest, APostIsAnswered) {
  start_tls();
  HttpPeer peer(https_port_);
  const std::int32_t id = peer.post(query(0));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 1; }));
  EXPECT_EQ(peer.tls.protocol(), "h2");
  EXPECT_EQ(taken_[0].message, query(0));
  server_->answer(taken_[0].ticket, answer_with(77));
  ASSERT_TRUE(run([&] { return peer.ended(id); }));
  HttpPeer::Response& response = peer.responses[id];
  const Bytes body(response.body.begin(), response.body.end());
  EXPECT_EQ(body, answer_with(77));
  EXPECT_EQ(response.status(), "200");
  EXPECT_EQ(response.fields["content-type"], "application/dns-message");
  EXPECT_EQ(response.fields["cache-control"], "max-age=77");
  EXPECT_EQ(response.fields["content-length"], std::to_string(body.size()));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::requests), 1u);
  EXPECT_EQ(counter_of(kHttps, TcpCounter::queries), 1u);
  EXPECT_EQ(server_->queries_in_flight(kHttps), 0u);
}

TEST_F(TlsServerTest, StreamsAreAnsweredOutOfOrder) {
  start_tls();
  HttpPeer peer(https_port_);
  std::vector<std::int32_t> ids;
  for (unsigned i = 0; i < 50; ++i)
    ids.push_back(i % 2 == 0 ? peer.post(query(i))
                             : peer.request("GET", "/dns-query?dns=" + base64url(query(i))));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 50; }));
  for (std::size_t i = 50; i-- > 0;) {
    answer(taken_[i], 100 + load_be16(taken_[i].message.data()));
    ASSERT_TRUE(run([&] { return peer.ended(ids[load_be16(taken_[i].message.data())]); }));
  }
  for (unsigned i = 0; i < 50; ++i)
    EXPECT_EQ(peer.responses[ids[i]].body.size(), 100 + i);
}

TEST_F(TlsServerTest, RequestsThatAreNoneGetTheirStatusAndNothingElseSuffers) {
  start_tls();
  HttpPeer peer(https_port_);
  const HttpPeer::Fields type = {{"content-type", "application/dns-message"}};
  const std::map<std::int32_t, std::string> wanted = {
      {peer.request("GET", "/other"), "404"},
      {peer.request("GET", "/dns-query"), "400"},
      {peer.request("PUT", "/dns-query", type, query(1)), "405"},
      {peer.request("POST", "/dns-query", {}, query(1)), "415"},
      {peer.request("POST", "/dns-query", type, Bytes(11)), "400"},
      {peer.request("POST", "/dns-query", type, Bytes(kMaxMessage + 1)), "413"},
      {peer.request("POST", "/dns-query", type, Bytes(100000)), "413"},
      {peer.request("POST", "/dns-query", type, Bytes(100000), false), "413"},
      {peer.request("GET", "/dns-query", {{"x", std::string(9000, 'y')}}), "431"},
  };
  const std::int32_t good = peer.post(query(1));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 1; }));
  answer(taken_[0]);
  EXPECT_TRUE(run([&] { return peer.ended(good); }));
  for (const auto& want : wanted) {
    EXPECT_TRUE(run([&] { return peer.ended(want.first); })) << want.second;
    EXPECT_EQ(peer.responses[want.first].status(), want.second);
  }
  EXPECT_EQ(counter_of(kHttps, TcpCounter::requests_bad), wanted.size());
  EXPECT_EQ(taken_.size(), 1u);
  EXPECT_EQ(peer.goaway, std::nullopt);
}

TEST_F(TlsServerTest, AQueryThatIsDroppedEndsItsStream) {
  start_tls();
  HttpPeer peer(https_port_);
  const std::int32_t id = peer.post(query(1));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 1; }));
  server_->drop(taken_[0].ticket);
  EXPECT_TRUE(run([&] { return peer.poll() && peer.responses[id].reset.has_value(); }));
  const std::int32_t next = peer.post(query(2));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 2; }));
  answer(taken_[1]);
  EXPECT_TRUE(run([&] { return peer.ended(next); }));
}

TEST_F(TlsServerTest, StreamsBeyondTheLimitAreRefusedOrWait) {
  TcpLimits limits = quick();
  limits.queries_per_connection = 5;
  start_tls(limits);
  HttpPeer peer(https_port_);
  std::vector<std::int32_t> ids;
  for (unsigned i = 0; i < 20; ++i)
    ids.push_back(peer.post(query(i)));
  std::size_t answered = 0;
  // The client holds back once it has heard of the limit; what it sent before is refused, to be tried again.
  ASSERT_TRUE(run([&] {
    peer.poll();
    EXPECT_LE(server_->queries_in_flight(kHttps), 5u);
    while (answered < taken_.size())
      answer(taken_[answered++]);
    return std::all_of(ids.begin(), ids.end(), [&](std::int32_t id) {
      return peer.responses[id].ended || peer.responses[id].reset == NGHTTP2_REFUSED_STREAM;
    });
  }));
  EXPECT_GE(answered, 5u);
}

TEST_F(TlsServerTest, LargeAnswersWaitForTheClientsWindow) {
  start_tls();
  HttpPeer peer(https_port_);
  std::vector<std::int32_t> ids;
  for (unsigned i = 0; i < 3; ++i)
    ids.push_back(peer.post(query(i)));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 3; }));
  for (const Taken& t : taken_)
    answer(t, 65535);
  for (const std::int32_t id : ids) {
    ASSERT_TRUE(run([&] { return peer.ended(id); }));
    EXPECT_EQ(peer.responses[id].body.size(), 65535u);
  }
}

TEST_F(TlsServerTest, AClientThatNeverOpensItsWindowIsClosed) {
  TcpLimits limits = quick();
  limits.write_ms = 100;
  start_tls(limits);
  HttpPeer peer(https_port_, false);
  for (unsigned i = 0; i < 3; ++i)
    peer.post(query(i));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 3; }));
  for (const Taken& t : taken_)
    answer(t, 60000);
  EXPECT_TRUE(run([&] { return peer.poll() && server_->connections() == 0; }));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_slow_reader), 1u);
}

TEST_F(TlsServerTest, AnswersKeptForAClientAreBounded) {
  TcpLimits limits = quick();
  limits.unsent_octets = 128 * 1024;
  start_tls(limits);
  HttpPeer peer(https_port_, false);
  for (unsigned i = 0; i < 20; ++i)
    peer.post(query(i));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 20; }));
  for (const Taken& t : taken_)
    answer(t, 60000);
  EXPECT_TRUE(connected(0));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_slow_reader), 1u);
}

TEST_F(TlsServerTest, ARequestThatNeverEndsIsASlowSender) {
  TcpLimits limits = quick();
  limits.message_ms = 80;
  start_tls(limits);
  HttpPeer peer(https_port_);
  peer.request("POST", "/dns-query", {{"content-type", "application/dns-message"}}, Bytes(20), false);
  EXPECT_TRUE(run([&] { return peer.poll() && server_->connections(kHttps) == 1; }));
  EXPECT_TRUE(run([&] { return peer.poll() && server_->connections() == 0; }));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_slow_sender), 1u);
}

TEST_F(TlsServerTest, PingsDoNotKeepAnIdleConnection) {
  TcpLimits limits = quick();
  limits.idle_ms = 150;
  start_tls(limits);
  HttpPeer peer(https_port_);
  auto pinged = std::chrono::steady_clock::now();
  EXPECT_TRUE(run([&] {
    if (std::chrono::steady_clock::now() - pinged > milliseconds(20)) {
      pinged = std::chrono::steady_clock::now();
      nghttp2_submit_ping(peer.session, NGHTTP2_FLAG_NONE, nullptr);
    }
    return peer.poll() && counter_of(kHttps, TcpCounter::closed_idle) == 1;
  }));
}

TEST_F(TlsServerTest, AFloodOfPingsIsClosed) {
  start_tls();
  HttpPeer peer(https_port_);
  ASSERT_TRUE(run([&] { return peer.poll() && counter_of(kHttps, TcpCounter::handshakes) == 1; }));
  for (int i = 0; i < 3000; ++i)
    nghttp2_submit_ping(peer.session, NGHTTP2_FLAG_NONE, nullptr);
  EXPECT_TRUE(run([&] { return peer.poll() && server_->connections() == 0; }));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood), 1u);
}

TEST_F(TlsServerTest, AFloodOfSettingsIsClosed) {
  start_tls();
  HttpPeer peer(https_port_);
  ASSERT_TRUE(run([&] { return peer.poll() && counter_of(kHttps, TcpCounter::handshakes) == 1; }));
  std::string flood;
  for (int i = 0; i < 3000; ++i)
    flood.append("\0\0\0\4\0\0\0\0\0", 9);
  peer.poll();
  peer.tls.send(flood);
  EXPECT_TRUE(run([&] { return peer.poll() && server_->connections() == 0; }));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood), 1u);
}

TEST_F(TlsServerTest, RapidResetsAreClosedBeforeTheyCostMuch) {
  start_tls();
  HttpPeer peer(https_port_);
  ASSERT_TRUE(run([&] { return peer.poll() && counter_of(kHttps, TcpCounter::handshakes) == 1; }));
  EXPECT_TRUE(run([&] {
    for (int i = 0; i < 10; ++i) {
      const std::int32_t id = peer.post(query(1));
      peer.poll();
      nghttp2_submit_rst_stream(peer.session, NGHTTP2_FLAG_NONE, id, NGHTTP2_CANCEL);
    }
    for (const Taken& t : taken_)
      answer(t);
    taken_.clear();
    return peer.poll() && server_->connections() == 0;
  }));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood), 1u);
  EXPECT_LT(counter_of(kHttps, TcpCounter::queries), 200u);
}

std::string frame(std::size_t octets, unsigned type, unsigned flags, unsigned stream) {
  std::string out = {static_cast<char>(octets >> 16), static_cast<char>(octets >> 8),
                     static_cast<char>(octets), static_cast<char>(type), static_cast<char>(flags)};
  for (const unsigned shift : {24u, 16u, 8u, 0u})
    out += static_cast<char>(stream >> shift);
  return out;
}
const std::string kHello = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(0, 4, 0, 0);

/// Frames without end, behind a good beginning: the connection is closed before it has cost much.
class HttpsFlood : public TlsServerTest {
 protected:
  void flood(const std::string& frames) {
    start_tls();
    TlsPeer peer(https_port_, {.protocol = "h2"});
    ASSERT_TRUE(run([&] { return peer.ready(); }));
    peer.send(kHello + frames);
    EXPECT_TRUE(run([&] { return peer.poll() && server_->connections() == 0; }));
    EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood) + counter_of(kHttps, TcpCounter::closed_error),
              1u);
    EXPECT_LT(counter_of(kHttps, TcpCounter::queries), 200u);
    EXPECT_TRUE(peer.received.size() < 64000) << peer.received.size();
  }
  static std::string repeat(const std::string& what, int times) {
    std::string out;
    for (int i = 0; i < times; ++i)
      out += what;
    return out;
  }
};

TEST_F(HttpsFlood, OfContinuations) {
  flood(frame(1, 1, 0, 1) + "\x82" + repeat(frame(0, 9, 0, 1), 20000));
}

TEST_F(HttpsFlood, IsNotReadToItsEnd) {
  start_tls();
  TlsPeer peer(https_port_, {.protocol = "h2"});
  ASSERT_TRUE(run([&] { return peer.ready(); }));
  peer.send(kHello + repeat(frame(0, 4, 0, 0), 2000));
  std::size_t sent = 0;
  EXPECT_TRUE(run([&] {
    peer.send(std::string(16384, 'x'));
    sent += 16384;
    return peer.poll() && server_->connections() == 0;
  }));
  EXPECT_LT(sent, 1u << 20);
}

TEST_F(HttpsFlood, OfFramesOfNoKnownType) {
  flood(repeat(frame(0, 0x77, 0, 0), 80000));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood), 1u);
}

TEST_F(HttpsFlood, OfFramesThatNeedNoAnswer) {
  flood(repeat(frame(8, 6, 1, 0) + std::string(8, 'x'), 2000));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood), 1u);
}

TEST_F(HttpsFlood, OfDataThatNobodyTakes) {
  // To a request that has its answer: a GET of another path.
  const std::string fields = std::string("\x82\x87\x04\x02/x\x41\x01") + "a";
  flood(frame(fields.size(), 1, 4, 1) + fields + repeat(frame(1, 0, 0, 1) + "x", 80000));
}

TEST_F(HttpsFlood, OfEmptyDataInARequest) {
  const std::string fields = std::string("\x83\x87\x04\x0a/dns-query\x41\x01") + "a";
  flood(frame(fields.size(), 1, 4, 1) + fields + repeat(frame(0, 0, 0, 1), 20000));
}

TEST_F(HttpsFlood, OfStreamsThatTheServerIsMadeToReset) {
  // A window update by nothing is an error of its stream: what was asked there has been handed over already.
  std::string frames;
  for (unsigned stream = 1; stream < 8000; stream += 2) {
    const std::string fields =
        std::string("\x82\x87\x04\x2e") + "/dns-query?dns=" + std::string(31, 'A') + "\x41\x01" + "a";
    frames += frame(fields.size(), 1, 5, stream) + fields + frame(4, 8, 0, stream) + std::string(4, '\0');
  }
  flood(frames);
}

TEST_F(TlsServerTest, AClientThatPartsIsNoErrorAndKeepsNothingOpen) {
  start_tls();
  HttpPeer peer(https_port_);
  const std::int32_t id = peer.post(query(1));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 1; }));
  nghttp2_submit_goaway(peer.session, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  run_for(io_, milliseconds(20));
  ASSERT_TRUE(peer.poll());
  run_for(io_, milliseconds(20));
  EXPECT_EQ(server_->connections(), 1u) << "it waits for an answer";
  answer(taken_[0]);
  // Without another word of the client's.
  EXPECT_TRUE(run_until(
      io_, [&] { return server_->connections() == 0; }, milliseconds(1000)))
      << "the end that writing found was acted on late";
  EXPECT_TRUE(peer.ended(id));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_error), 0u);
}

TEST_F(TlsServerTest, BodiesMayEndInAnEmptyFrame) {
  start_tls();
  TlsPeer peer(https_port_, {.protocol = "h2"});
  ASSERT_TRUE(run([&] { return peer.ready(); }));
  peer.send(kHello);
  const Bytes message = query(1);
  const std::string fields = std::string("\x83\x87\x04\x0a/dns-query\x41\x01") + "a" +
                             std::string("\x0f\x10\x17") + "application/dns-message";
  for (unsigned i = 0; i < 600; ++i) {
    const unsigned stream = 2 * i + 1;
    peer.send(frame(fields.size(), 1, 4, stream) + fields + frame(message.size(), 0, 0, stream) +
              std::string(message.begin(), message.end()) + frame(0, 0, 1, stream));
    ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == i + 1; })) << i;
    answer(taken_[i]);
  }
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood), 0u);
}

TEST_F(TlsServerTest, AClientThatOnlyAsksNeverIsAFlood) {
  start_tls();
  HttpPeer peer(https_port_);
  for (unsigned i = 0; i < 2000; ++i) {
    const std::int32_t id = peer.post(query(i & 0xff));
    ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == i + 1; })) << i;
    answer(taken_[i], 1000);
    ASSERT_TRUE(run([&] { return peer.ended(id); })) << i;
  }
  EXPECT_EQ(counter_of(kHttps, TcpCounter::closed_flood), 0u);
}

TEST_F(TlsServerTest, Http1IsToldTheVersionInItsOwnWords) {
  start_tls();
  TlsPeer none(https_port_, {.protocol = ""}), other(https_port_, {.protocol = "http/1.1"});
  none.send(std::string_view("GET /dns-query?dns=AAAB HTTP/1.1\r\nHost: x\r\n\r\n"));
  EXPECT_TRUE(run([&] { return none.poll() && none.closed; }));
  EXPECT_TRUE(none.received.starts_with("HTTP/1.1 505 ")) << none.received;
  const std::size_t body = none.received.find("\r\n\r\n") + 4;
  EXPECT_NE(none.received.find("Content-Length: " + std::to_string(none.received.size() - body)),
            std::string::npos);
  EXPECT_TRUE(run([&] { return other.poll() && other.failed; }));
  EXPECT_EQ(counter_of(kHttps, TcpCounter::handshakes_failed), 1u);
}

TEST_F(TlsServerTest, FramesThatAreNoneEndTheConnection) {
  start_tls();
  const std::string preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  for (const std::string& garbage :
       {std::string(200, '\xff'), std::string("\0\0\5\1\4\0\0\0\1\xff\xff\xff\xff\xff", 14)}) {
    TlsPeer peer(https_port_, {.protocol = "h2"});
    peer.send(preface + garbage);
    EXPECT_TRUE(run([&] { return peer.poll() && (peer.closed || peer.raw.ended); }));
    EXPECT_TRUE(connected(0));
  }
  EXPECT_TRUE(taken_.empty());
}

TEST_F(TlsServerTest, ARemovedHttpsEndpointAnswersWhatIsInFlight) {
  start_tls();
  HttpPeer peer(https_port_);
  const std::int32_t id = peer.post(query(1));
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 1; }));
  ASSERT_TRUE(server_->set_endpoints({plain(), tls()}));
  ASSERT_TRUE(run([&] { return peer.poll() && peer.goaway.has_value(); }));
  EXPECT_EQ(*peer.goaway, static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
  answer(taken_[0], 30000);
  EXPECT_TRUE(run([&] { return peer.ended(id); }));
  EXPECT_TRUE(run([&] { return peer.poll() && peer.tls.closed; }));
}

TEST_F(TlsServerTest, OverloadIsAnsweredByServfailOverHttpsToo) {
  start_tls();
  overloaded_ = true;
  HttpPeer peer(https_port_);
  const std::int32_t id = peer.post(query(5));
  ASSERT_TRUE(run([&] { return peer.ended(id); }));
  EXPECT_EQ(peer.responses[id].status(), "200");
  EXPECT_EQ(peer.responses[id].fields["cache-control"], "max-age=0");
  EXPECT_EQ(peer.responses[id].body[3] & 0xf, 2);
}

TEST_F(TlsServerTest, DestructionWithStreamsOpen) {
  start_tls();
  HttpPeer peer(https_port_);
  peer.post(query(1));
  peer.request("POST", "/dns-query", {{"content-type", "application/dns-message"}}, Bytes(20), false);
  ASSERT_TRUE(run([&] { return peer.poll() && taken_.size() == 1; }));
  answer(taken_[0], 65535);
  server_.reset();
  run_for(io_, milliseconds(20));
}

}  // namespace
}  // namespace shunt::control
