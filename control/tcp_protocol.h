// What the octets of a client's stream mean: DNS messages behind their lengths (tcp_framing.h), or requests
// of HTTP/2 (https_protocol.h). Pure: it reads and writes memory only, and its connection does the waiting.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace shunt::control {

class StreamProtocol {
 public:
  using Clock = std::chrono::steady_clock;

  enum class Next : std::uint8_t {
    kQuery,  ///< one more
    kMore,   ///< what is buffered is no whole query
  };
  /// Why the stream can't go on.
  enum class Fault : std::uint8_t {
    kNone,
    kBadLength,  ///< a length that no query has
    kBroken,     ///< not the protocol
    kFlood,      ///< too much that is no query
    kParted,     ///< no fault: the client has said goodbye, and has all answers
  };
  struct Query {
    std::span<const std::uint8_t> message;  ///< 12 to kMaxMessage octets; valid until room()
    std::uint32_t tag = 0;                  ///< the protocol's own mark, for answer()
  };

  virtual ~StreamProtocol() = default;

  /// Where the next read goes; never empty while the connection reads. Ends the life of messages handed out.
  virtual std::span<std::uint8_t> room() = 0;
  /// `octets` of room() were filled.
  virtual void added(std::size_t octets) = 0;
  /// Takes the next query.
  virtual Next next(Query& query) = 0;
  /// Set by added(), next() or output(): close the connection, after what output() has.
  virtual Fault fault() const = 0;
  /// Takes no more queries; what comes from here on is looked at only as far as answers under way need it.
  virtual void finish() = 0;
  /// Whether added() is to be called though queries are held back: answers under way may need it.
  virtual bool reads_while_held() const = 0;

  /// When the oldest query began that isn't whole yet.
  virtual std::optional<Clock::time_point> incomplete_since() const = 0;
  /// Counts that time from now on: the wait so far was ours.
  virtual void excuse() = 0;

  /// The answer to the query of that tag; it may be kept until the client has room for it.
  virtual void answer(std::uint32_t tag, std::span<const std::uint8_t> message) = 0;
  /// The query of that tag gets no answer.
  virtual void drop(std::uint32_t tag) = 0;
  /// Appends what is to be written now.
  virtual void output(std::vector<std::uint8_t>& to) = 0;
  /// Octets of answers that output() can't give yet, because the client hasn't made room.
  virtual std::size_t kept() const = 0;
  /// When the oldest of these was given.
  virtual std::optional<Clock::time_point> kept_since() const = 0;
};

}  // namespace shunt::control
