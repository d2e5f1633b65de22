// The targets that are asked over TCP or TLS, by the ids that the snapshot gives them: those of upstreams
// with such a protocol; and any other's over TCP, for a stream client whose answer was truncated.
//
// A target keeps its connections across reloads that leave it as it is. One that is changed or gone is let
// go; questions in flight there are still answered.
#pragma once

#include <asio.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "control/generation.h"
#include "control/metrics.h"
#include "control/upstream_resolver.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class UpstreamStreams {
 public:
  using OpenSocket = std::function<Result<int>(int family, int type)>;
  struct Answer {
    std::vector<std::uint8_t> message;
    std::uint32_t target = 0;  ///< its id
    SocketAddress address;
  };
  using Callback = std::function<void(Result<Answer>)>;

  /// `open_in_mirror` makes sockets for upstreams with an outbound endpoint.
  UpstreamStreams(asio::io_context& io, Random& random, OpenSocket open_in_mirror);

  void set_generation(std::shared_ptr<const Generation> generation);

  /// Asks the targets with these ids, in this order. False, and no callback, where there are too many
  /// questions; otherwise one call, not from inside, with an error where no target answered.
  bool ask(const std::vector<std::uint32_t>& targets, std::vector<std::uint8_t> message,
           std::uint32_t timeout_ms, unsigned tries, Callback callback);
  /// A probe of one target: a connection is tried, whatever happened before.
  void probe(std::uint32_t target, std::vector<std::uint8_t> message, std::uint32_t timeout_ms,
             Callback callback);
  /// Whether the current generation has that target with that address.
  bool knows(std::uint32_t target, const SocketAddress& address) const;

  /// How questions to a target went; all zero for one that was never asked.
  TargetFigures figures(std::uint32_t target) const;
  /// Why the last connection or try failed, for people; empty once an answer came.
  std::string last_failure(std::uint32_t target) const;

  std::size_t connections() const;
  const UpstreamResolver& resolver() const { return resolver_; }

 private:
  using Clock = std::chrono::steady_clock;

  /// All that makes it another target, when it changes.
  struct Settings {
    std::string upstream;
    SocketAddress address;
    std::string tls_name, tls_trust;
    bool tls = false;
    bool mirrored = false;
    std::vector<IpAddress> sources;
    friend bool operator==(const Settings&, const Settings&) = default;
  };
  /// What is told of a target; outlives it.
  struct Record {
    std::string name;  ///< for the log
    TargetFigures figures;
    std::string last_failure, logged;
    Clock::time_point logged_at{};
  };
  struct Entry {
    Settings settings;
    std::shared_ptr<const UpstreamTrust> trust;
    std::shared_ptr<UpstreamTarget> target;  ///< null: never asked
    std::shared_ptr<Record> record;
  };

  /// The log gets the same failure of a target once in this time, and any of them once in the other.
  static constexpr std::chrono::minutes kSameAgain{10};
  static constexpr std::chrono::seconds kAnyAgain{10};

  static void note_answer(Record& record, std::chrono::nanoseconds latency, std::uint8_t rcode);
  static void note_failure(Record& record, const std::string& why);
  std::shared_ptr<UpstreamTarget> find(std::uint32_t id);
  bool send(UpstreamAsk ask, std::vector<std::uint32_t> ids, Callback callback);

  asio::io_context& io_;
  Random& random_;
  OpenSocket open_in_mirror_;
  UpstreamResolver resolver_;
  std::map<std::uint32_t, Entry> entries_;  ///< by target id
};

}  // namespace shunt::control
