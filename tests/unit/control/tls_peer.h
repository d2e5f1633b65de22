// The client's end of TLS, and of HTTP/2 over it, driven by poll() like Peer.
#pragma once

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/unit/control/loopback.h"

namespace shunt::testing {

/// A TLS client over a Peer's octets, through memory: what it must send leaves with poll().
class TlsPeer {
 public:
  struct Options {
    std::string_view protocol = "dot";  ///< ALPN; "": none
    int most_version = 0;               ///< as TLS1_2_VERSION; 0: any
    SSL_SESSION* session = nullptr;
    int receive_buffer = 0;
    std::string_view from;
  };

  explicit TlsPeer(std::uint16_t port) : TlsPeer(port, Options{}) {}
  TlsPeer(std::uint16_t port, const Options& options)
      : raw(Peer::tcp(port, options.receive_buffer, options.from)) {
    context_ = SSL_CTX_new(TLS_client_method());
    if (options.most_version != 0) SSL_CTX_set_max_proto_version(context_, options.most_version);
    ssl_ = SSL_new(context_);
    if (!options.protocol.empty()) {
      const std::string wire =
          std::string(1, static_cast<char>(options.protocol.size())) + std::string(options.protocol);
      SSL_set_alpn_protos(ssl_, reinterpret_cast<const unsigned char*>(wire.data()),
                          static_cast<unsigned>(wire.size()));
    }
    if (options.session != nullptr) SSL_set_session(ssl_, options.session);
    in_ = BIO_new(BIO_s_mem());
    out_ = BIO_new(BIO_s_mem());
    SSL_set_bio(ssl_, in_, out_);
    SSL_set_connect_state(ssl_);
  }
  ~TlsPeer() {
    // A session whose connection ends otherwise is not resumed.
    SSL_set_shutdown(ssl_, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    SSL_free(ssl_);
    SSL_CTX_free(context_);
  }
  TlsPeer(const TlsPeer&) = delete;
  TlsPeer& operator=(const TlsPeer&) = delete;

  void send(std::string_view octets) { unsent_ += octets; }
  void send(const std::vector<std::uint8_t>& octets) {
    send(std::string_view(reinterpret_cast<const char*>(octets.data()), octets.size()));
  }

  /// Takes what has come, and sends what there is. True, so that it can stand in a condition.
  bool poll() {
    raw.poll();
    if (!raw.received.empty()) {
      BIO_write(in_, raw.received.data(), static_cast<int>(raw.received.size()));
      raw.received.clear();
    }
    ERR_clear_error();
    if (!failed && SSL_is_init_finished(ssl_) == 0) check(SSL_do_handshake(ssl_));
    if (!failed && SSL_is_init_finished(ssl_) == 1) {
      if (!unsent_.empty() && SSL_write(ssl_, unsent_.data(), static_cast<int>(unsent_.size())) > 0)
        unsent_.clear();
      char buffer[16384];
      for (int got = 0; (got = SSL_read(ssl_, buffer, sizeof buffer)) > 0;)
        received.append(buffer, static_cast<std::size_t>(got));
      closed = (SSL_get_shutdown(ssl_) & SSL_RECEIVED_SHUTDOWN) != 0;
    }
    char buffer[16384];
    for (int got = 0; (got = BIO_read(out_, buffer, sizeof buffer)) > 0;)
      leaving_.append(buffer, static_cast<std::size_t>(got));
    leaving_.erase(0, raw.send(leaving_));
    return true;
  }
  bool ready() { return poll() && !failed && SSL_is_init_finished(ssl_) == 1; }
  bool ended() { return poll() && raw.ended; }

  std::vector<std::vector<std::uint8_t>> messages() {
    poll();
    std::vector<std::vector<std::uint8_t>> out;
    const auto* data = reinterpret_cast<const std::uint8_t*>(received.data());
    for (std::size_t at = 0; at + 2 <= received.size();) {
      const std::size_t length = load_be16(data + at);
      if (at + 2 + length > received.size()) break;
      out.emplace_back(data + at + 2, data + at + 2 + length);
      at += 2 + length;
    }
    return out;
  }

  std::int64_t serial() const {
    X509* const certificate = SSL_get1_peer_certificate(ssl_);
    std::int64_t value = 0;
    ASN1_INTEGER_get_int64(&value, X509_get0_serialNumber(certificate));
    X509_free(certificate);
    return value;
  }
  std::string protocol() const {
    const unsigned char* name = nullptr;
    unsigned length = 0;
    SSL_get0_alpn_selected(ssl_, &name, &length);
    return {reinterpret_cast<const char*>(name), length};
  }
  SSL* ssl() { return ssl_; }

  Peer raw;
  std::string received;
  bool failed = false;  ///< the handshake
  bool closed = false;  ///< the server has said that it ends

 private:
  void check(int result) {
    const int error = SSL_get_error(ssl_, result);
    failed = result != 1 && error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE;
  }

  SSL_CTX* context_;
  SSL* ssl_;
  BIO *in_, *out_;
  std::string unsent_, leaving_;
};

/// An HTTP/2 client.
class HttpPeer {
 public:
  struct Response {
    std::map<std::string, std::string> fields;
    std::string body;
    bool ended = false;
    std::optional<std::uint32_t> reset;
    std::string status() const {
      const auto found = fields.find(":status");
      return found == fields.end() ? "" : found->second;
    }
  };
  using Fields = std::vector<std::pair<std::string, std::string>>;

  explicit HttpPeer(std::uint16_t port, bool window_updates = true) : tls(port, {.protocol = "h2"}) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks,
        [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_length,
           const std::uint8_t* value, std::size_t value_length, std::uint8_t, void* user) {
          of(user)
              .responses[frame->hd.stream_id]
              .fields[std::string(reinterpret_cast<const char*>(name), name_length)] =
              std::string(reinterpret_cast<const char*>(value), value_length);
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t id, const std::uint8_t* data,
                      std::size_t length, void* user) {
          of(user).responses[id].body.append(reinterpret_cast<const char*>(data), length);
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          HttpPeer& self = of(user);
          if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0 && frame->hd.stream_id != 0)
            self.responses[frame->hd.stream_id].ended = true;
          if (frame->hd.type == NGHTTP2_RST_STREAM)
            self.responses[frame->hd.stream_id].reset = frame->rst_stream.error_code;
          if (frame->hd.type == NGHTTP2_GOAWAY) self.goaway = frame->goaway.error_code;
          return 0;
        });
    nghttp2_option* options = nullptr;
    nghttp2_option_new(&options);
    nghttp2_option_set_no_auto_window_update(options, window_updates ? 0 : 1);
    nghttp2_session_client_new2(&session, callbacks, this, options);
    nghttp2_option_del(options);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~HttpPeer() { nghttp2_session_del(session); }
  HttpPeer(const HttpPeer&) = delete;
  HttpPeer& operator=(const HttpPeer&) = delete;

  /// A request; without `whole` its end never comes. Returns the stream.
  std::int32_t request(const std::string& method, const std::string& path, const Fields& more = {},
                       const std::vector<std::uint8_t>& body = {}, bool whole = true) {
    Fields fields = {
        {":method", method}, {":scheme", "https"}, {":authority", "dns.gw.test"}, {":path", path}};
    fields.insert(fields.end(), more.begin(), more.end());
    std::vector<nghttp2_nv> list;
    for (auto& [name, value] : fields) {
      list.push_back({reinterpret_cast<std::uint8_t*>(name.data()),
                      reinterpret_cast<std::uint8_t*>(value.data()), name.size(), value.size(),
                      NGHTTP2_NV_FLAG_NONE});
    }
    Body& kept = bodies_.emplace_back(Body{body, 0, whole});
    nghttp2_data_provider provider{};
    provider.source.ptr = &kept;
    provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* to, std::size_t room,
                                std::uint32_t* flags, nghttp2_data_source* source, void*) -> ssize_t {
      Body& from = *static_cast<Body*>(source->ptr);
      const std::size_t octets = std::min(room, from.octets.size() - from.sent);
      std::memcpy(to, from.octets.data() + from.sent, octets);
      from.sent += octets;
      if (octets == 0 && !from.whole) return NGHTTP2_ERR_DEFERRED;
      if (from.sent == from.octets.size() && from.whole) *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(octets);
    };
    const bool has_body = !body.empty() || !whole;
    return nghttp2_submit_request(session, nullptr, list.data(), list.size(), has_body ? &provider : nullptr,
                                  nullptr);
  }
  std::int32_t post(const std::vector<std::uint8_t>& message) {
    return request("POST", "/dns-query", {{"content-type", "application/dns-message"}}, message);
  }

  bool poll() {
    for (;;) {
      const std::uint8_t* data = nullptr;
      const ssize_t octets = nghttp2_session_mem_send(session, &data);
      if (octets <= 0) break;
      tls.send(std::string_view(reinterpret_cast<const char*>(data), static_cast<std::size_t>(octets)));
    }
    tls.poll();
    if (!tls.received.empty()) {
      nghttp2_session_mem_recv(session, reinterpret_cast<const std::uint8_t*>(tls.received.data()),
                               tls.received.size());
      tls.received.clear();
    }
    return true;
  }
  bool ended(std::int32_t id) { return poll() && responses[id].ended; }

  TlsPeer tls;
  nghttp2_session* session = nullptr;
  std::map<std::int32_t, Response> responses;
  std::optional<std::uint32_t> goaway;

 private:
  struct Body {
    std::vector<std::uint8_t> octets;
    std::size_t sent;
    bool whole;
  };
  static HttpPeer& of(void* user) { return *static_cast<HttpPeer*>(user); }
  std::list<Body> bodies_;
};

}  // namespace shunt::testing
