// Private zones towards the workers: a query whose match is a zone comes here (kMiss with `zone`), is looked
// up, and goes back as an answer that the worker caches. An alias that leaves the zones goes on through the
// rules: its target is asked of the worker, which treats it as any query of the client's network, and both
// are joined.
//
// A query belongs to the generation whose rules led it here: its routing says which. Should the worker have
// moved on before an alias's target is asked, all of it is looked up anew in the generation that is current.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "control/crossing.h"
#include "control/generation.h"
#include "control/zone_answer.h"
#include "dataplane/dns/query.h"

namespace shunt::control {

/// Tickets of aliases' targets have this bit; no others do.
inline constexpr std::uint64_t kAliasTicket = std::uint64_t{1} << 62;

/// Belongs to the control plane's thread.
class Zones {
 public:
  /// Of aliases' targets, in flight; more end in SERVFAIL.
  static constexpr std::size_t kMaxAliasesInFlight = 16384;

  /// Ends a stream client's query: `answer` is a whole message, or empty where there is none.
  using Whole = std::function<void(std::uint64_t ticket, std::span<const std::uint8_t> answer)>;
  /// A whole message, or why there is none.
  using WholeAnswer = std::function<void(Result<std::vector<std::uint8_t>>)>;
  /// Asks who truncated an answer again, over TCP or TLS: `message` is what came with it.
  using AskWhole = std::function<void(const Message& message, std::span<const std::uint8_t> truncated,
                                      const WholeAnswer& done)>;

  Zones(Crossing& crossing, const dns::HashKey& key, Whole whole, AskWhole ask_whole)
      : crossing_(crossing), key_(key), whole_(std::move(whole)), ask_whole_(std::move(ask_whole)) {}

  /// Takes a generation as the current one; queries of the one before may still come.
  void set_generation(std::shared_ptr<const Generation> generation);

  /// Answers a kMiss with `zone`. `query` is the packet's data.
  void answer(std::size_t worker, const Message& message, std::span<const std::uint8_t> query);
  /// Answers a stream client's query whose answer was too large for a worker; `query` has its id and flags.
  void answer_whole(std::size_t worker, const Message& message, std::span<const std::uint8_t> query);
  /// Takes the answer to an alias's target.
  void take_reply(const Message& message, std::span<const std::uint8_t> answer);
  /// Gives up what nobody answered in time: to be called a few times a second.
  void expire();

 private:
  using Clock = std::chrono::steady_clock;
  /// A network in a generation.
  struct View {
    std::shared_ptr<const Generation> generation;
    std::uint32_t network = 0;
  };
  /// One query under way.
  struct Query {
    std::size_t worker = 0;
    std::uint32_t slot = 0, serial = 0, upstream = 0;
    std::uint64_t ticket = 0;  ///< of a stream client that is answered from here; 0: the worker's slot is
    std::vector<std::uint8_t> message;
    dns::Question question;
    View view;
    unsigned tries = 0;
  };
  struct Alias {
    std::unique_ptr<Query> query;
    ZoneAnswer answer;
    Clock::time_point deadline;
  };

  std::optional<View> find_view(state::Routing routing) const;
  const conf::Zone* zone_of(const View& view, const dns::Name& name) const;
  void begin(std::size_t worker, const Message& message, std::span<const std::uint8_t> octets,
             std::uint64_t ticket);
  void run(std::unique_ptr<Query> query);
  void ask_alias(std::unique_ptr<Query> query, ZoneAnswer answer);
  void run_anew(std::unique_ptr<Query> query);
  void join(std::unique_ptr<Query> query, ZoneAnswer answer, std::span<const std::uint8_t> reply);
  void finish(const Query& query, const ZoneAnswer& answer);
  void finish_whole(const Query& query, const ZoneAnswer& answer);
  void fail(const Query& query, dns::ExtendedError error);

  Crossing& crossing_;
  const dns::HashKey& key_;
  Whole whole_;
  AskWhole ask_whole_;
  std::shared_ptr<const Generation> generation_, before_;
  std::map<std::uint64_t, Alias> aliases_;  ///< by ticket, and so by age
  std::uint64_t next_ticket_ = 1;
};

}  // namespace shunt::control
