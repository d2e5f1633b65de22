// Targets that lead back here: a forwarder that sends the questions it gets to us again, whatever the way and
// the addresses in between.
//
// A question that goes round is never answered: so when one is left unanswered, its target is asked for a
// name below the one in question, with a label that nobody can guess (state/target_loops.h). If that comes to
// one of our endpoints, on its way to the same target, the name and all below it lead back. Then the parents
// are tried, one after the other, until one doesn't come back: the highest that does is what the target isn't
// asked for any more. It may still answer other names: a zone that is forwarded in circles takes nothing else
// down.
//
// What was found is tried again at every interval, and dropped after two tries that didn't come back.
//
// Rules for a name alone ("=name") have nothing below it, so such a loop isn't found: equal questions in
// flight share one, so it turns once and ends with the timeout.
//
// Free of sockets, clocks and DPDK, so that every way round can be played to it.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "dataplane/base/random.h"
#include "dataplane/dns/name.h"
#include "dataplane/state/target_loops.h"

namespace shunt::control {

/// Belongs to the control plane's thread.
class LoopGuard {
 public:
  using Clock = std::chrono::steady_clock;
  using Time = Clock::time_point;

  struct Hooks {
    /// Workers are to look out for this tag (0: for none) of the target's.
    std::function<void(std::uint32_t target, std::uint64_t tag)> expect;
    /// Sends the question (a DNS message, id 0) to the target; ended() follows, not from inside. False: it
    /// could not be sent.
    std::function<bool(std::uint32_t target, std::vector<std::uint8_t> question)> ask;
    /// A worker met the tag.
    std::function<bool(std::uint32_t target, std::uint64_t tag)> came_back;
    /// These names (TargetLoops::kMax at most) and all below them lead back now. `news` is for people.
    std::function<void(std::uint32_t target, const std::vector<dns::Name>& names, const std::string& news)>
        avoid;
  };
  struct Settings {
    std::chrono::milliseconds interval{1000};  ///< between tries of what was found
  };

  LoopGuard(Random& random, Hooks hooks) : random_(random), hooks_(std::move(hooks)) {}

  /// The targets there are. Those not named are forgotten; one that is new starts without loops.
  void set_targets(const std::map<std::uint32_t, Settings>& targets);
  /// One is another's now: it starts anew.
  void forget(std::uint32_t target) { targets_.erase(target); }

  /// The target left a question for this name (wire format, lower case) unanswered.
  void suspect(std::uint32_t target, std::span<const std::uint8_t> name, Time now);
  /// The question that ask() sent was answered, or will not be.
  void ended(std::uint32_t target, Time now);
  /// Every few hundred milliseconds.
  void tick(Time now);

  /// Names that lead back, as text.
  std::vector<std::string> names(std::uint32_t target) const;
  bool leads_back(std::uint32_t target, const dns::Name& name) const;
  /// Since when, where names() are any.
  Time since(std::uint32_t target) const;

 private:
  /// Suspicions of a target are looked into no more often than this.
  static constexpr std::chrono::milliseconds kPause{500};
  /// However long a question may take, a probe is over then.
  static constexpr std::chrono::milliseconds kLongest{5000};
  static constexpr unsigned kMisses = 2;

  struct Loop {
    dns::Name name;
    Time since, next_probe;
    unsigned missed = 0;
  };
  struct Probe {
    dns::Name name;
    std::uint64_t tag = 0;
    Time deadline;
  };
  struct Target {
    Settings settings;
    std::vector<Loop> loops;
    std::optional<Probe> probe;
    std::optional<dns::Name> highest;  ///< found to lead back, while its parents are tried: not told yet
    Time next_suspicion;
  };

  void probe(std::uint32_t id, Target& target, const dns::Name& name, Time now);
  void looked(std::uint32_t id, Target& target, Time now);
  void found(std::uint32_t id, Target& target, const dns::Name& name, Time now);
  void tell_highest(std::uint32_t id, Target& target);
  void missed(std::uint32_t id, Target& target, const dns::Name& name, Time now);
  void publish(std::uint32_t id, const Target& target, const std::string& news);

  Random& random_;
  Hooks hooks_;
  std::map<std::uint32_t, Target> targets_;
};

}  // namespace shunt::control
