// DNS over HTTPS (RFC 8484), on HTTP/2 (RFC 9113): each request is a query, and each stream ends with its
// answer, in whatever order they come.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "control/counters.h"
#include "control/https_request.h"
#include "control/tcp_protocol.h"

struct nghttp2_session;

namespace shunt::control {

/// Requests that are none are answered here, by their status. What a client can make it hold is bounded: by
/// `streams` at a time, each with kMaxHeadOctets and kMaxMessage octets; and frames that are no requests by a
/// budget that requests fill up.
class HttpsProtocol final : public StreamProtocol {
 public:
  static constexpr std::size_t kMaxHeadOctets = 8192;  ///< as SETTINGS_MAX_HEADER_LIST_SIZE counts them

  /// `counters` outlives this.
  HttpsProtocol(std::string path, std::uint32_t streams, TcpCounters& counters);
  ~HttpsProtocol() override;
  HttpsProtocol(const HttpsProtocol&) = delete;
  HttpsProtocol& operator=(const HttpsProtocol&) = delete;

  std::span<std::uint8_t> room() override { return input_; }
  void added(std::size_t octets) override;
  Next next(Query& query) override;
  Fault fault() const override { return fault_; }
  void finish() override;
  bool reads_while_held() const override { return true; }

  std::optional<Clock::time_point> incomplete_since() const override;
  void excuse() override;

  void answer(std::uint32_t tag, std::span<const std::uint8_t> message) override;
  void drop(std::uint32_t tag) override;
  void output(std::vector<std::uint8_t>& to) override;
  std::size_t kept() const override { return kept_; }
  std::optional<Clock::time_point> kept_since() const override;

 private:
  struct Callbacks;  // what nghttp2 calls
  struct Stream {
    std::int32_t id = 0;
    Clock::time_point began;
    RequestHead head;
    std::size_t head_octets = 0;
    std::vector<std::uint8_t> message;
    bool ended = false;              ///< the client has said all
    bool get = false;                ///< its message came in its head
    bool judged = false;             ///< it is a query, or was answered by a status
    std::vector<std::uint8_t> body;  ///< of the response
    std::size_t sent = 0;            ///< octets of it
    Clock::time_point answered;
    std::size_t left() const { return body.size() - sent; }
  };
  enum class Cost : int { kFrame = 1, kEmptyData = 9, kReset = 29 };  // the latter two on top of the first

  void start();
  Stream* find(std::int32_t id);
  void spend(Cost cost) { budget_ -= static_cast<int>(cost); }
  void add_field(Stream& stream, std::string_view name, std::string_view value);
  void head_ended(Stream& stream);
  void add_data(Stream& stream, std::span<const std::uint8_t> data);
  void request_ended(Stream& stream);
  void refuse(Stream& stream, unsigned status);
  void respond(Stream& stream, unsigned status, std::string_view type, std::uint32_t max_age);
  void forget(std::int32_t id);

  std::string path_;
  std::uint32_t most_streams_;
  TcpCounters& counters_;
  nghttp2_session* session_ = nullptr;
  std::unordered_map<std::int32_t, std::unique_ptr<Stream>> streams_;
  std::deque<std::int32_t> ready_;
  std::vector<std::uint8_t> taken_;  ///< the message handed out last
  std::vector<std::uint8_t> plain_;  ///< for who doesn't speak HTTP/2
  std::size_t kept_ = 0;
  int budget_;
  std::size_t octets_ = 0;  ///< read, and not yet paid for
  bool started_ = false;
  bool finished_ = false;
  bool parted_ = false;  ///< the client has said that it will ask no more
  Fault fault_ = Fault::kNone;
  std::array<std::uint8_t, 4096> input_;
};

}  // namespace shunt::control
