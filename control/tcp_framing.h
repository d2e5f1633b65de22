// Cuts a TCP stream into DNS messages (RFC 1035 section 4.2.2, RFC 7766 section 8): a two-octet length, then
// that many octets. The length and the message may come in pieces of any size.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "dataplane/base/bytes.h"
#include "dataplane/base/limits.h"
#include "dataplane/dns/wire.h"

namespace shunt::control {

/// A bounded buffer between reads and messages: a stream whose length no query has is bad from there on.
class TcpFraming {
 public:
  enum class Next : std::uint8_t {
    kMessage,  ///< one more
    kMore,     ///< what is buffered is no whole message
    kBad,      ///< a length below a DNS header's or above kMaxMessage
  };

  /// Where the next read goes; never empty while next() says kMore. Ends the life of messages handed out.
  std::span<std::uint8_t> room() {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    return std::span(buffer_).subspan(end_);
  }
  /// `octets` of room() were filled.
  void added(std::size_t octets) { end_ += octets; }

  /// Takes the next message; `message` is valid until room().
  Next next(std::span<const std::uint8_t>& message) {
    const std::size_t have = end_ - begin_;
    if (have < 2) return Next::kMore;
    const std::size_t length = load_be16(&buffer_[begin_]);
    if (length < dns::kHeaderSize || length > kMaxMessage) return Next::kBad;
    if (have < 2 + length) return Next::kMore;
    message = std::span(buffer_).subspan(begin_ + 2, length);
    begin_ += 2 + length;
    return Next::kMessage;
  }
  /// Forgets what is buffered; a message handed out stays readable until room().
  void clear() { begin_ = end_ = 0; }
  /// Something is buffered that next() has not handed out.
  bool partial() const { return begin_ != end_; }

 private:
  static constexpr std::size_t kRoom = 4096;
  static_assert(kRoom >= 2 + kMaxMessage);
  std::size_t begin_ = 0, end_ = 0;
  std::array<std::uint8_t, kRoom> buffer_;
};

}  // namespace shunt::control
