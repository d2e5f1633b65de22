// DNS over TCP and TLS: a stream of messages, each behind a two-octet length (RFC 1035 section 4.2.2, RFC
// 7766 section 8, RFC 7858 section 3.3). Length and message may come in pieces of any size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "control/tcp_protocol.h"
#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {

/// A bounded buffer between reads and messages: a stream whose length no query has is bad from there on.
class TcpFraming final : public StreamProtocol {
 public:
  std::span<std::uint8_t> room() override {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    return std::span(buffer_).subspan(end_);
  }
  void added(std::size_t octets) override {
    if (finished_) return;
    if (begin_ == end_) began_ = Clock::now();
    end_ += octets;
  }
  Next next(Query& query) override {
    const std::size_t have = end_ - begin_;
    if (have < 2) return Next::kMore;
    const std::size_t length = load_be16(&buffer_[begin_]);
    if (length < dns::kHeaderSize || length > kMaxMessage) {
      fault_ = Fault::kBadLength;
      return Next::kMore;
    }
    if (have < 2 + length) return Next::kMore;
    query = {std::span(buffer_).subspan(begin_ + 2, length), 0};
    begin_ += 2 + length;
    began_ = Clock::now();
    return Next::kQuery;
  }
  Fault fault() const override { return fault_; }
  /// A message handed out stays readable until room().
  void finish() override {
    finished_ = true;
    begin_ = end_ = 0;
  }
  bool reads_while_held() const override { return false; }

  std::optional<Clock::time_point> incomplete_since() const override {
    return begin_ != end_ ? std::optional(began_) : std::nullopt;
  }
  void excuse() override { began_ = Clock::now(); }

  void answer(std::uint32_t, std::span<const std::uint8_t> message) override {
    std::uint8_t length[2];
    store_be16(length, static_cast<std::uint16_t>(message.size()));
    answers_.insert(answers_.end(), length, length + 2);
    answers_.insert(answers_.end(), message.begin(), message.end());
  }
  void drop(std::uint32_t) override {}
  void output(std::vector<std::uint8_t>& to) override {
    to.insert(to.end(), answers_.begin(), answers_.end());
    answers_.clear();
  }
  std::size_t kept() const override { return 0; }
  std::optional<Clock::time_point> kept_since() const override { return std::nullopt; }

 private:
  static constexpr std::size_t kRoom = 4096;
  static_assert(kRoom >= 2 + kMaxMessage);
  std::size_t begin_ = 0, end_ = 0;
  Clock::time_point began_;  ///< of the incomplete message
  Fault fault_ = Fault::kNone;
  bool finished_ = false;
  std::vector<std::uint8_t> answers_;
  std::array<std::uint8_t, kRoom> buffer_;
};

}  // namespace shunt::control
